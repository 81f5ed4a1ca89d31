/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every send: what leaves is looked at before the real call (an upstream query gets its mark, a client's answer ends
 * its wait) and after it (what has left is counted).
 *
 * Datagrams bear their mark as a control message, so that threads sharing a socket cannot mix theirs; connections
 * bear it as a socket option, set before each query's bytes. Where the kernel refuses the mark, the query leaves
 * without it, for the resolver must go on answering (unless CONNMARK_ON_FAILURE=drop: withhold.h); but never with
 * another client's.
 */
#ifndef SHIM_TX_H
#define SHIM_TX_H

#include "decide.h"
#include "dns.h"
#include "fdtab.h"
#include "thread.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

/*
 * How the program's own call is made where nothing is to be changed: the wrappers differ only in this. ctx is the
 * wrapper's.
 */
typedef ssize_t tx_plain_fn(void *ctx);

/**
 * Sends one message on any descriptor.
 *
 * @param app    the program's call in the form of sendmsg
 * @param plain  the program's call as it made it
 * @return as the program's call
 */
ssize_t tx_send(int fd, const struct msghdr *app, int flags, tx_plain_fn *plain, void *ctx);

/** sendmmsg, all of it (tx_batch.c). */
int tx_sendmmsg(int fd, struct mmsghdr *vec, unsigned vlen, int flags);

/** connect: a TCP connection is marked before it, so that its SYN, route and source address are right. */
int tx_connect(int fd, const struct sockaddr *to, socklen_t len);

/* ---- what the files of the sending side share ---- */

/* One datagram on its way. */
struct tx_datagram {
	bool answer;		    /* it says that it is one: perhaps a client's */
	bool refused;		    /* it must not leave: its socket bears another client's mark */
	bool withheld;		    /* it must not leave, and the program not know: withhold.h */
	bool changed;		    /* msg is to be sent in place of the program's */
	struct msghdr msg;	    /* with the mark among its control messages */
	struct decision decision;   /* of an upstream query; of it also: */
	uint32_t borne;		    /* the mark that it leaves with */
	const uint8_t *question_at; /* the message's start ... */
	size_t end;		    /* ... and where its question ends */
};

/** The state of a descriptor that sends something of ours, and the thread entered; NULL: straight through. */
struct fd_state *tx_begin(struct thread **t, int fd);

/**
 * Looks at a datagram and, where it is an upstream query, gives it its mark.
 *
 * @param control, size  room for its control messages and the mark
 * @param scratch        room for its start, where that lies in pieces
 */
void tx_prepare(struct thread *t, int fd, struct fd_state *st, const struct msghdr *app,
		void *control, size_t size, uint8_t scratch[DNS_HEAD_MAX], struct tx_datagram *out);

/** A datagram that must not leave: counted, said and traced. Returns as withhold. */
bool tx_withhold(int fd, struct fd_state *st, const struct tx_datagram *d);

/** A datagram that is an upstream query has left. */
void tx_query_left(int fd, struct fd_state *st, const struct msghdr *app,
		   const struct tx_datagram *d);

/** A message that says of itself that it is an answer. have: so much of it is there, a header at least; or 0. */
static inline bool tx_is_answer(const uint8_t *msg, size_t have)
{
	return have && dns_says_answer(msg);
}

/** Is it one, with nothing to do to it before it leaves? Its (UDP) socket bears no mark of ours. */
static inline bool tx_is_plain_answer(const struct fd_state *st, const struct msghdr *app)
{
	const struct iovec *first = app->msg_iov;

	return !(fd_flags(st) & FD_MARKED) && app->msg_iovlen && first && first->iov_base &&
	       first->iov_len >= DNS_HEADER_LEN && tx_is_answer(first->iov_base, first->iov_len);
}

/** A datagram that is an answer is about to leave. errno is kept. */
void tx_answer_leaves(int fd, struct fd_state *st, const struct msghdr *app);

/** Did the kernel refuse the mark, and not a firewall the packet? Looks at errno; n: what the call returned. */
bool tx_refused_mark(ssize_t n);

/** Is this where DNS over TLS is served? */
bool tx_is_tls_port(const struct sockaddr *to, socklen_t len);

/** One write on a TCP connection (tx_stream.c). */
ssize_t tx_stream(int fd, struct fd_state *st, const struct msghdr *app, int flags,
		  tx_plain_fn *plain, void *ctx);

#endif
