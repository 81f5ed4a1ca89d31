// SPDX-License-Identifier: GPL-2.0-or-later
#include "tx.h"

#include "caps.h"
#include "cmsg.h"
#include "events.h"
#include "iov.h"
#include "log.h"
#include "mark.h"
#include "real.h"
#include "route.h"
#include "sent.h"
#include "sock.h"
#include "withhold.h"

#include <errno.h>

enum { TX_CONTROL = 512 }; /* the program's control messages and our mark */

static bool is_udp(const struct fd_state *st)
{
	return (fd_flags(st) & FD_KIND) == FD_UDP;
}

struct fd_state *tx_begin(struct thread **t, int fd)
{
	*t = thread_enter();
	struct fd_state *st = *t ? sock_known(fd) : NULL;

	if (*t && !st)
		thread_leave(*t);
	return st;
}

/* The start of a message in one piece, up to where its question may end; 0: there is not even a header. */
static size_t start_of(const struct msghdr *app, uint8_t scratch[DNS_HEAD_MAX], const uint8_t **msg)
{
	size_t have = iov_readable(app->msg_iov, app->msg_iovlen);

	if (have < DNS_HEADER_LEN)
		return 0;
	if (have > DNS_HEAD_MAX)
		have = DNS_HEAD_MAX;
	*msg = iov_head(app->msg_iov, app->msg_iovlen, scratch, &have);
	return have;
}

/* ---- an upstream query ---- */

/* Does the datagram need a control message? Not where its socket says the same, and nothing can say otherwise. */
static bool needs_message(int fd, struct fd_state *st, const struct msghdr *app, uint32_t whole)
{
	if (app->msg_controllen || !mark_is(fd, st, whole))
		return true;
	/* marked by setsockopt: another thread may do the same to the same socket at any moment */
	return fd_flags(st) & FD_MARKED;
}

/* Gives a datagram the mark `whole`. Control messages that do not fit leave the socket's own mark as the only way. */
static void mark_datagram(int fd, struct fd_state *st, const struct msghdr *app, uint32_t whole,
			  void *control, size_t size, struct tx_datagram *out)
{
	enum marking marking = MARK_DONE;

	if (app->msg_controllen && !app->msg_control)
		return; /* the kernel refuses it (EFAULT) */
	if (mark_needs_socket(st))
		marking = mark_socket(fd, st, whole);
	out->borne = marking == MARK_DONE ? whole : mark_now(fd, st);
	if (!needs_message(fd, st, app, whole))
		return;
	size_t used = cmsg_add_mark(control, size, app->msg_control,
				    app->msg_control ? app->msg_controllen : 0, whole,
				    shim.config.mask);

	if (!used)
		marking = mark_socket(fd, st, whole);
	out->refused = marking == MARK_STALE;
	out->withheld = marking != MARK_DONE && withhold_applies();
	out->changed = used && marking == MARK_DONE;
	out->borne = marking == MARK_DONE ? whole : mark_now(fd, st);
	if (!out->changed)
		return;
	out->borne = whole;
	out->msg = *app;
	out->msg.msg_control = control;
	out->msg.msg_controllen = used;
}

/* Of several threads that send by a new socket only one is the first. */
static bool is_first(struct fd_state *st)
{
	return !(fd_flags(st) & FD_SENT) && !(fd_set_flags(st, FD_SENT) & FD_SENT);
}

static void query_leaves(struct thread *t, int fd, struct fd_state *st, const struct msghdr *app,
			 void *control, size_t size, struct tx_datagram *out)
{
	bool first = is_first(st);
	struct attrib_socket socket = {.fd = fd, .gen = fd_gen(st)};

	uint32_t mark = decide_query(t, socket, first ? BY_NEW_SOCKET : BY_SOCKET, out->question_at,
				     out->end, &out->decision);

	out->withheld = decision_unknown(&out->decision) && withhold_applies();
	if (shim.config.dry_run || out->withheld)
		return;
	uint32_t whole = mark_for(fd, st, mark);

	if (first)
		route_follow(fd, st, whole);
	mark_datagram(fd, st, app, whole, control, size, out);
}

/* Something else leaves by a socket that bears a client's mark from before: that goes. */
static void clear_stale(int fd, struct fd_state *st, struct tx_datagram *out)
{
	if (!(fd_flags(st) & FD_MARKED))
		return;
	uint32_t whole = mark_for(fd, st, shim.config.default_mark);

	out->refused = mark_socket(fd, st, whole) == MARK_STALE;
}

void tx_prepare(struct thread *t, int fd, struct fd_state *st, const struct msghdr *app,
		void *control, size_t size, uint8_t scratch[DNS_HEAD_MAX], struct tx_datagram *out)
{
	const uint8_t *msg = NULL;
	size_t have = start_of(app, scratch, &msg);

	out->changed = out->refused = out->withheld = out->decision.made = false;
	out->question_at = msg;
	out->answer = tx_is_answer(msg, have);
	out->end = out->answer ? 0 : dns_question_end(msg, have);
	if (out->end)
		query_leaves(t, fd, st, app, control, size, out);
	else
		clear_stale(fd, st, out);
	if (out->refused && !out->withheld) {
		log_cause(LOG_stale_mark, 0);
		sent_not(fd, st, &out->decision, out->question_at, out->end);
	}
}

bool tx_withhold(int fd, struct fd_state *st, const struct tx_datagram *d)
{
	struct thread *t = withhold(fd) ? thread_enter() : NULL;

	if (!t)
		return false;
	sent_not(fd, st, &d->decision, d->question_at, d->end);
	thread_leave(t);
	return true;
}

void tx_query_left(int fd, struct fd_state *st, const struct msghdr *app,
		   const struct tx_datagram *d)
{
	struct thread *t = thread_enter();

	if (!t)
		return;
	sent_query(&(struct sent){
		.fd = fd,
		.st = st,
		.decision = &d->decision,
		.borne = d->borne,
		.instead = SENT_REFUSED,
		.to = app->msg_name,
		.to_len = app->msg_namelen,
		.msg = d->question_at,
		.end = d->end,
	});
	thread_leave(t);
}

/* ---- a client's answer ---- */

static void answer_leaves(struct thread *t, int fd, struct fd_state *st, const struct msghdr *app,
			  const uint8_t *msg, size_t have)
{
	struct attrib_owner who;

	if (!(fd_flags(st) & FD_ANSWERED) && dns_question_end(msg, have))
		fd_set_flags(st, FD_ANSWERED);
	attrib_owner_begin(&who, fd, fd_gen(st), IPPROTO_UDP);
	if (app->msg_name)
		endpoint_from(&who.flow.client, app->msg_name, app->msg_namelen);
	else
		sock_ends(fd, st, &who.flow.local, &who.flow.client);
	event_client_answer(t, &who, msg, have);
}

static void answer_in_pieces_leaves(struct thread *t, int fd, struct fd_state *st,
				    const struct msghdr *app)
{
	uint8_t scratch[DNS_HEAD_MAX];
	const uint8_t *msg = NULL;
	size_t have = start_of(app, scratch, &msg);

	if (tx_is_answer(msg, have))
		answer_leaves(t, fd, st, app, msg, have);
}

void tx_answer_leaves(int fd, struct fd_state *st, const struct msghdr *app)
{
	struct thread *t = thread_enter();
	int saved = errno;

	if (!t)
		return;
	if (app->msg_iovlen == 1 && app->msg_iov->iov_len >= DNS_HEADER_LEN)
		answer_leaves(t, fd, st, app, app->msg_iov->iov_base, app->msg_iov->iov_len);
	else
		answer_in_pieces_leaves(t, fd, st, app);
	thread_leave(t);
	errno = saved;
}

/* ---- one datagram ---- */

bool tx_refused_mark(ssize_t n)
{
	return n < 0 && (errno == EINVAL || (errno == EPERM && !caps_can_mark()));
}

/* The socket that we knew is gone, and its number is something else by now: known no more. */
static bool gone(int fd, ssize_t n)
{
	if (n >= 0 || errno != ENOTSOCK)
		return false;
	fd_forget(fd);
	return true;
}

/* The program is told that the datagram has left, unless there is no socket any more. */
static ssize_t withheld(int fd, struct fd_state *st, struct tx_datagram *d,
			const struct msghdr *app, int saved, tx_plain_fn *plain, void *ctx)
{
	bool stays = tx_withhold(fd, st, d);

	d->decision.made = false;
	errno = saved;
	return stays ? (ssize_t)iov_total(app->msg_iov, app->msg_iovlen) : plain(ctx);
}

static ssize_t send_marked(int fd, struct fd_state *st, struct tx_datagram *d, int flags,
			   tx_plain_fn *plain, void *ctx)
{
	int saved = errno;
	ssize_t n = REAL(sendmsg)(fd, &d->msg, flags);
	int why = errno;
	bool is_gone = gone(fd, n);

	if (!is_gone && !tx_refused_mark(n))
		return n;
	if (!is_gone && withhold_applies()) {
		mark_say_failed(why);
		return withheld(fd, st, d, &d->msg, saved, plain, ctx);
	}
	errno = saved; /* the program's own call begins only now */
	n = plain(ctx);
	if (is_gone)
		d->decision.made = false; /* it went to a file, or the like */
	if (n < 0 || is_gone)
		return n;
	saved = errno;
	mark_say_failed(why);
	d->borne = mark_now(fd, st);
	errno = saved;
	return n;
}

static ssize_t send_datagram(int fd, struct fd_state *st, const struct msghdr *app, int flags,
			     tx_plain_fn *plain, void *ctx)
{
	struct thread *t = thread_enter();
	_Alignas(struct cmsghdr) char control[TX_CONTROL];
	uint8_t scratch[DNS_HEAD_MAX];
	struct tx_datagram d;
	int saved = errno;

	if (!t)
		return plain(ctx);
	tx_prepare(t, fd, st, app, control, sizeof(control), scratch, &d);
	thread_leave(t);
	if (d.withheld)
		return withheld(fd, st, &d, app, saved, plain, ctx);
	if (d.refused) {
		errno = EPERM;
		return -1;
	}
	if (d.answer)
		tx_answer_leaves(fd, st, app);
	errno = saved;
	ssize_t n = d.changed ? send_marked(fd, st, &d, flags, plain, ctx) : plain(ctx);

	if (!d.decision.made || n < 0)
		return n;
	saved = errno;
	tx_query_left(fd, st, app, &d);
	errno = saved;
	return n;
}

/* Nothing of ours, or nothing can be said of it. */
static ssize_t send_undecided(int fd, const struct msghdr *app, tx_plain_fn *plain, void *ctx)
{
	bool undecided = app && (!thread_may_enter() || !fd_find(fd));
	ssize_t n = undecided ? withhold_undecided(fd, app) : 0;

	return n ? n : plain(ctx);
}

ssize_t tx_send(int fd, const struct msghdr *app, int flags, tx_plain_fn *plain, void *ctx)
{
	struct fd_state *st = app ? sock_ours(fd) : NULL;

	if (!st)
		return withhold_applies() ? send_undecided(fd, app, plain, ctx) : plain(ctx);
	if (!is_udp(st))
		return tx_stream(fd, st, app, flags, plain, ctx);
	if (tx_is_plain_answer(st, app)) {
		tx_answer_leaves(fd, st, app);
		return plain(ctx);
	}
	return send_datagram(fd, st, app, flags, plain, ctx);
}

/* ---- connect ---- */

/* RFC 7858: a connection to this port is made for TLS, and one of few that all clients' queries share. */
bool tx_is_tls_port(const struct sockaddr *to, socklen_t len)
{
	enum { PORT_DOMAIN_S = 853 };
	struct endpoint end;

	return to && endpoint_from(&end, to, len) && end.port == htons(PORT_DOMAIN_S);
}

static enum marking before_tcp(struct thread *t, int fd, struct fd_state *st,
			       const struct sockaddr *to, socklen_t len)
{
	bool tls = tx_is_tls_port(to, len);

	if (fd_flags(st) & FD_LIVE) /* the answer to an earlier connect, asked for again */
		return MARK_DONE;
	fd_set_flags(st, FD_SENT | (tls ? FD_TLS : 0));
	return shim.config.dry_run
		       ? MARK_DONE
		       : mark_socket(fd, st, mark_for(fd, st, decide_connection(t, tls, NULL)));
}

int tx_connect(int fd, const struct sockaddr *to, socklen_t len)
{
	struct thread *t;
	struct fd_state *st = tx_begin(&t, fd);
	int saved = errno, ret;

	if (!st)
		return REAL(connect)(fd, to, len);
	bool udp = is_udp(st);
	enum marking marking = udp ? MARK_DONE : before_tcp(t, fd, st, to, len);

	thread_leave(t);
	if (marking == MARK_STALE) {
		log_cause(LOG_stale_mark, 0);
		errno = EPERM;
		return -1;
	}
	errno = saved;
	ret = REAL(connect)(fd, to, len);
	saved = errno;
	if (udp && ret == 0)
		sock_connected(st, to, len);
	errno = saved;
	return ret;
}
