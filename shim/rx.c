// SPDX-License-Identifier: GPL-2.0-or-later
#include "rx.h"

#include "events.h"
#include "intakes.h"
#include "iov.h"
#include "log.h"
#include "real.h"
#include "sock.h"
#include "thread.h"

#include <errno.h>
#include <string.h>

enum {
	WHOLE_MAX = 4096, /* of an answer in several pieces, as much is looked at */
};

/* ---- events ---- */

/* A message that came in. who: its sender, were it a client's query. */
struct arrival {
	struct thread *t;
	struct fd_state *st;
	struct attrib_owner who;
};

static void from_socket(struct arrival *in, struct thread *t, struct fd_state *st, int fd,
			uint8_t proto)
{
	in->t = t;
	in->st = st;
	attrib_owner_begin(&in->who, fd, fd_gen(st), proto);
}

static void from_peer(struct arrival *in)
{
	sock_ends(in->who.fd, in->st, &in->who.flow.local, &in->who.flow.client);
}

/*
 * On a socket that sends queries upstream, a "query" that comes in is somebody's trick: its sender would be taken for
 * a client, and the mark of that flow is another client's.
 */
bool rx_serves_clients(const struct fd_state *st)
{
	uint32_t flags = fd_flags(st);

	return !(flags & FD_SENT) || flags & FD_ANSWERED;
}

static void client_query(struct arrival *in, const uint8_t *msg, size_t have)
{
	size_t end = dns_question_end(msg, have);

	if (end)
		event_client_query(in->t, &in->who, msg, end);
}

/* ---- datagrams ---- */

/* A connected socket's sender is its peer; a bound one's datagrams come to where it is bound. */
static void find_ends(struct arrival *in, const struct sockaddr *name, socklen_t named,
		      const struct endpoint *local)
{
	struct flow *flow = &in->who.flow;
	uint32_t flags = fd_flags(in->st);

	if (name)
		endpoint_from(&flow->client, name, named);
	if (!flow->client.family && flags & FD_CONNECTED)
		from_peer(in);
	if (local->family)
		flow->local = *local;
	else if (!flow->local.family && flags & FD_SERVER && !in->st->local.wildcard)
		flow->local = in->st->local;
}

/* A datagram's receiving call, as far as its bytes do not tell. */
struct receipt {
	const struct sockaddr *name; /* the sender's; NULL: not asked for */
	socklen_t named;	     /* so much of it is there */
	const struct cmsg_told *told;
};

static void query_arrived(struct thread *t, struct fd_state *st, int fd, const struct receipt *r,
			  const uint8_t *data, size_t have)
{
	struct arrival in;

	from_socket(&in, t, st, fd, IPPROTO_UDP);
	find_ends(&in, r->name, r->named, &r->told->local);
	if (r->told->marked) {
		in.who.mark = r->told->mark;
		in.who.state = MARK_KNOWN;
		in.who.how = MARK_HOW_PACKET;
	}
	client_query(&in, data, have);
	if (t->intake)
		intakes_note_reader(st, t);
}

static void datagram(struct thread *t, struct fd_state *st, int fd, const struct receipt *r,
		     const uint8_t *data, size_t have)
{
	if (dns_says_answer(data))
		event_upstream_answer(t, (struct attrib_socket){fd, fd_gen(st)}, data, have);
	else if (rx_serves_clients(st))
		query_arrived(t, st, fd, r, data, have);
}

static void datagram_in_pieces(struct thread *t, struct fd_state *st, int fd,
			       const struct receipt *r, const struct msghdr *msg, size_t n)
{
	uint8_t scratch[WHOLE_MAX];
	size_t have = n < sizeof(scratch) ? n : sizeof(scratch);

	have = iov_gather(msg->msg_iov, msg->msg_iovlen, 0, scratch, have);
	if (have >= DNS_HEADER_LEN)
		datagram(t, st, fd, r, scratch, have);
}

/* n may be more than there was room for (MSG_TRUNC). */
static void datagram_arrived(struct thread *t, struct fd_state *st, int fd, const struct receipt *r,
			     const struct msghdr *msg, size_t n)
{
	const struct iovec *first = msg->msg_iov;
	bool whole = msg->msg_iovlen == 1 || (msg->msg_iovlen && first->iov_len >= n);

	if (whole && n > first->iov_len)
		n = first->iov_len;
	if (n < DNS_HEADER_LEN)
		return;
	if (whole)
		datagram(t, st, fd, r, first->iov_base, n);
	else
		datagram_in_pieces(t, st, fd, r, msg, n);
}

void rx_datagram(int fd, struct fd_state *st, uint32_t gen, const uint8_t *data, size_t n,
		 const struct sockaddr *name, socklen_t named)
{
	static const struct cmsg_told nothing;
	bool same = fd_gen(st) == gen && (fd_flags(st) & FD_KIND) == FD_UDP;
	struct thread *t = n >= DNS_HEADER_LEN && same ? thread_enter() : NULL;
	int saved = errno;

	if (!t)
		return;
	datagram(t, st, fd, &(struct receipt){name, named, &nothing}, data, n);
	thread_leave(t);
	errno = saved;
}

/* ---- streams ---- */

static void stream_message(void *ctx, const uint8_t *msg, size_t have, size_t length)
{
	struct arrival *in = ctx;

	(void)length;
	if (have < DNS_HEADER_LEN)
		return;
	if (dns_says_answer(msg)) {
		in->st->unanswered -= in->st->unanswered > 0;
		event_upstream_answer(in->t, (struct attrib_socket){in->who.fd, in->who.fd_gen},
				      msg, have);
	} else if (rx_serves_clients(in->st)) {
		if (!in->who.flow.client.family)
			from_peer(in);
		client_query(in, msg, have);
	}
}

static void stream_arrived(struct thread *t, struct fd_state *st, int fd, const struct msghdr *msg,
			   size_t n, bool discarded)
{
	struct arrival in;

	from_socket(&in, t, st, fd, IPPROTO_TCP);
	t->tcp_fd = fd;
	fd_lock_streams(st, fd);
	if (discarded && n)
		st->rx.alien =
			true; /* MSG_TRUNC (tcp(7)): gone unread, and with it our place in the stream */
	for (size_t i = 0; i < msg->msg_iovlen && n && !st->rx.alien; i++) {
		size_t piece = msg->msg_iov[i].iov_len < n ? msg->msg_iov[i].iov_len : n;

		stream_feed(&st->rx, &fd_store, msg->msg_iov[i].iov_base, piece, stream_message,
			    &in);
		n -= piece;
	}
	fd_unlock_streams(fd);
}

/* ---- one receive ---- */

/* A UDP socket that has sent no query may be a server's: then the ends of each datagram must be
 * known. */
static bool needs_ends(uint32_t flags)
{
	return (flags & (FD_KIND | FD_SENT | FD_CONNECTED)) == FD_UDP;
}

static void serve(int fd, struct fd_state *st)
{
	struct thread *t = thread_enter();

	if (!t)
		return;
	sock_serve(fd, st);
	thread_leave(t);
}

static bool prepare(int fd, struct fd_state *st, int recv_flags)
{
	if (needs_ends(fd_flags(st)) && !(fd_flags(st) & FD_SERVER))
		serve(fd, st);
	uint32_t flags = fd_flags(st);

	if ((flags & (FD_KIND | FD_BLOCKING)) == (FD_UDP | FD_BLOCKING) &&
	    !(recv_flags & MSG_DONTWAIT))
		thread_turn_ends(); /* this receive is the thread's event wait */
	return flags & FD_CONTROL;
}

static void substitute_control(struct rx *rx, const struct msghdr *app)
{
	/* A program's buffer of this size has room for ours too; a smaller one is replaced. */
	if (app->msg_control && app->msg_controllen >= RX_CONTROL)
		return;
	rx->msg.msg_control = rx->control;
	rx->msg.msg_controllen = sizeof(rx->control);
}

void rx_begin(struct rx *rx, int fd, struct fd_state *st, const struct msghdr *app, int flags)
{
	rx->fd = fd;
	rx->st = st;
	rx->own_control = prepare(fd, st, flags);
	rx->own_name = !app->msg_name && needs_ends(fd_flags(st));
	rx->gone = false;
	rx->observe = !(flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB));
	rx->discards = flags & MSG_TRUNC && (fd_flags(st) & FD_KIND) == FD_TCP;
	rx->name_room = rx->own_name ? sizeof(rx->name) : app->msg_namelen;
	rx->gen = fd_gen(st);
	rx->substituted = rx->own_name || rx->own_control;
	if (rx->substituted)
		rx->msg = *app;
	if (rx->own_control)
		substitute_control(rx, app);
	if (rx->own_name) {
		rx->msg.msg_name = &rx->name;
		rx->msg.msg_namelen = sizeof(rx->name);
	}
}

ssize_t rx_receive(struct rx *rx, int flags)
{
	int saved = errno;
	ssize_t n = REAL(recvmsg)(rx->fd, &rx->msg, flags);

	rx->gone = n < 0 && errno == ENOTSOCK;
	if (rx->gone) {
		fd_forget(rx->fd);
		errno = saved;
	}
	return n;
}

/* Which messages only we asked for. */
static unsigned hidden(const struct fd_state *st)
{
	uint32_t flags = fd_flags(st);

	return (flags & FD_ASKED4 ? 0 : CMSG_HIDE_LOCAL4) |
	       (flags & FD_ASKED6 ? 0 : CMSG_HIDE_LOCAL6) |
	       (flags & FD_ASKED_MARK ? 0 : CMSG_HIDE_MARK);
}

void rx_restore(const struct rx *rx, bool own_name, const struct msghdr *got, struct msghdr *app,
		struct cmsg_told *told)
{
	int flags = got->msg_flags;
	size_t room = app->msg_control ? app->msg_controllen : 0;

	if (rx->own_control)
		app->msg_controllen = cmsg_hide(app->msg_control, room, got->msg_control,
						got->msg_controllen, hidden(rx->st), told, &flags);
	else
		app->msg_controllen = got->msg_controllen;
	if (!own_name)
		app->msg_namelen = got->msg_namelen;
	app->msg_flags = flags;
}

void rx_arrived(const struct rx *rx, const struct msghdr *seen, socklen_t name_room, size_t n,
		const struct cmsg_told *told)
{
	struct thread *t = rx->observe && fd_gen(rx->st) == rx->gen ? thread_enter() : NULL;

	if (!t)
		return;
	/* of a longer name the kernel tells the length, and gives what there is room for */
	socklen_t named = seen->msg_namelen < name_room ? seen->msg_namelen : name_room;

	uint32_t kind = fd_flags(rx->st) & FD_KIND;

	if (kind == FD_UDP)
		datagram_arrived(t, rx->st, rx->fd, &(struct receipt){seen->msg_name, named, told},
				 seen, n);
	else if (kind == FD_TCP)
		stream_arrived(t, rx->st, rx->fd, seen, n, rx->discards);
	thread_leave(t);
}

ssize_t rx_end(struct rx *rx, struct msghdr *app, ssize_t n)
{
	struct cmsg_told told = {.marked = false};
	int saved = errno;

	if (n < 0)
		return n;
	if (rx->substituted)
		rx_restore(rx, rx->own_name, &rx->msg, app, &told);
	rx_arrived(rx, rx->substituted ? &rx->msg : app, rx->name_room, (size_t)n, &told);
	errno = saved;
	return n;
}
