// SPDX-License-Identifier: GPL-2.0-or-later
#include "tx.h"

#include "cmsg.h"
#include "decide.h"
#include "iov.h"
#include "log.h"
#include "mark.h"
#include "real.h"
#include "sock.h"
#include "thread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

enum {
	TX_CONTROL = 512,   /* the program's control messages and our mark */
	BATCH_MAX = 32,	    /* messages of a sendmmsg handled at once */
	BATCH_CONTROL = 128 /* room for each one's */
};

/* What a message that is to be sent means. */
enum meaning {
	TX_NOTHING, /* to us */
	TX_QUERY,   /* an upstream query */
	TX_ANSWER,  /* a client's answer */
};

static bool is_udp(const struct fd_state *st)
{
	return (fd_flags(st) & FD_KIND) == FD_UDP;
}

/* The state of a descriptor that sends something of ours; NULL: the call goes straight through. */
static struct fd_state *begin(struct thread **t, int fd)
{
	*t = thread_enter();
	struct fd_state *st = *t ? sock_known(fd) : NULL;

	if (*t && !st)
		thread_leave(*t);
	return st;
}

/* ---- datagrams
 * --------------------------------------------------------------------------------------------- */

static enum meaning meaning_of(const struct msghdr *app, struct dns_message *parsed)
{
	uint8_t scratch[DNS_HEAD_MAX];
	size_t have = iov_readable(app->msg_iov, app->msg_iovlen);

	if (have < DNS_HEADER_LEN)
		return TX_NOTHING;
	if (have > sizeof(scratch) && app->msg_iov[0].iov_len < have)
		have = sizeof(scratch);
	const uint8_t *data = iov_head(app->msg_iov, app->msg_iovlen, scratch, &have);

	if (!dns_parse(attrib_key(shim.attrib), data, have, parsed))
		return TX_NOTHING;
	return parsed->answer ? TX_ANSWER : TX_QUERY;
}

/* A datagram's mark, and the message that carries it. */
struct marked {
	bool changed; /* msg is to be sent in place of the program's */
	struct msghdr msg;
};

/* Does the datagram need a control message? Not where its socket says the same, and nothing can say
 * otherwise. */
static bool needs_message(const struct fd_state *st, const struct msghdr *app, uint32_t whole)
{
	if (app->msg_controllen || !mark_is_current(st, whole))
		return true;
	/* marked by setsockopt: another thread may do the same to the same socket at any moment */
	return fd_flags(st) & FD_MARKED;
}

/* Gives a datagram the mark `whole`. Control messages that do not fit leave the socket's own mark
 * as the only way. */
static void mark_datagram(int fd, struct fd_state *st, const struct msghdr *app, uint32_t whole,
			  void *control, size_t size, struct marked *out)
{
	out->changed = false;
	if (shim.config.dry_run)
		return;
	if (mark_needs_socket(st))
		mark_socket(fd, st, whole);
	if (!needs_message(st, app, whole))
		return;
	size_t used = cmsg_add_mark(control, size, app->msg_control,
				    app->msg_control ? app->msg_controllen : 0, whole,
				    shim.config.mask);

	if (!used) {
		mark_socket(fd, st, whole);
		return;
	}
	out->msg = *app;
	out->msg.msg_control = control;
	out->msg.msg_controllen = used;
	out->changed = true;
}

static void query_leaves(struct thread *t, int fd, struct fd_state *st, const struct msghdr *app,
			 const struct dns_message *query, void *control, size_t size,
			 struct marked *out)
{
	if (!(fd_flags(st) & FD_SENT))
		fd_set_flags(st, FD_SENT);
	uint32_t mark = decide_query(t, fd, st, query);

	mark_datagram(fd, st, app, mark_for(fd, st, mark), control, size, out);
}

/* Something else leaves by a socket that bears a client's mark from before: that goes. */
static void clear_stale(int fd, struct fd_state *st)
{
	if (fd_flags(st) & FD_MARKED)
		mark_socket(fd, st, mark_for(fd, st, shim.config.default_mark));
}

static void client_answered(const struct dns_message *answer, const struct endpoint *client,
			    uint8_t proto, int fd, const struct fd_state *st)
{
	struct attrib_owner who = {
		.flow = {.client = *client, .proto = proto},
		.fd = fd,
		.fd_gen = fd_gen(st),
	};

	attrib_client_answer(shim.attrib, thread_now_ms(), answer, &who);
}

static void answer_left(int fd, struct fd_state *st, const struct msghdr *app,
			const struct dns_message *answer)
{
	struct endpoint client = {.family = 0};

	if (app->msg_name)
		endpoint_from(&client, app->msg_name, app->msg_namelen);
	else if (sock_ends(fd, st))
		client = st->peer;
	client_answered(answer, &client, IPPROTO_UDP, fd, st);
}

/* Was it the mark that the kernel refused? EPERM is a firewall's word too, and EINVAL anybody's. */
static bool refused_mark(ssize_t n)
{
	return n < 0 && (errno == EPERM || errno == EINVAL);
}

static ssize_t send_marked(int fd, const struct marked *marked, int flags, tx_plain_fn *plain,
			   void *ctx)
{
	ssize_t n = REAL(sendmsg)(fd, &marked->msg, flags);

	if (!refused_mark(n))
		return n;
	int why = errno;

	n = plain(ctx);
	if (n >= 0)
		log_cause(why == EPERM ? LOG_mark_not_permitted : LOG_mark_failed, why);
	return n;
}

static ssize_t send_datagram(struct thread *t, int fd, struct fd_state *st,
			     const struct msghdr *app, int flags, tx_plain_fn *plain, void *ctx)
{
	_Alignas(struct cmsghdr) char control[TX_CONTROL];
	struct marked marked = {.changed = false};
	struct dns_message parsed;
	enum meaning meaning = meaning_of(app, &parsed);
	int saved = errno;

	if (meaning == TX_QUERY)
		query_leaves(t, fd, st, app, &parsed, control, sizeof(control), &marked);
	else if (meaning == TX_NOTHING)
		clear_stale(fd, st);
	thread_leave(t);
	errno = saved;
	ssize_t n = marked.changed ? send_marked(fd, &marked, flags, plain, ctx) : plain(ctx);

	saved = errno;
	if (meaning == TX_ANSWER && n >= 0 && thread_enter()) {
		answer_left(fd, st, app, &parsed);
		thread_leave(t);
	}
	errno = saved;
	return n;
}

/* ---- streams ---- */

/* What begins in the bytes of one write, up to where the mark changes. */
struct outgoing {
	struct thread *t;
	int fd;
	struct fd_state *st;
	bool queries;	/* at least one upstream query begins here */
	uint32_t whole; /* its mark, and that of all before `limit` */
	size_t limit;	/* bytes that may leave with it */
};

static bool outgoing_start(void *ctx, const uint8_t *head, size_t have, size_t offset)
{
	struct outgoing *out = ctx;
	struct dns_message parsed;

	if (!dns_parse(attrib_key(shim.attrib), head, have, &parsed) || parsed.answer)
		return true;
	uint32_t whole =
		mark_for(out->fd, out->st, decide_query(out->t, out->fd, out->st, &parsed));

	if (out->queries && whole != out->whole) {
		out->limit = offset;
		return false;
	}
	out->queries = true;
	out->whole = whole;
	return true;
}

static void look_ahead(struct outgoing *out, const struct iovec *iov, size_t count, size_t total)
{
	fd_lock_streams(out->st, out->fd);
	struct stream ahead = out->st->tx;

	fd_unlock_streams(out->fd);
	stream_walk(&ahead, iov, count, total, outgoing_start, out);
}

/* Returns false where the bytes of queries before must leave first. */
static bool mark_stream(const struct outgoing *out)
{
	bool first = shim.config.stream == STREAM_FIRST;

	if (!out->queries || shim.config.dry_run || (first && fd_flags(out->st) & FD_FIRST))
		return true;
	if (!mark_connection(out->fd, out->st, out->whole))
		return false;
	if (first)
		fd_set_flags(out->st, FD_FIRST);
	return true;
}

static bool answer_start(void *ctx, const uint8_t *head, size_t have, size_t offset)
{
	struct outgoing *out = ctx;
	struct dns_message parsed;

	(void)offset;
	if (!dns_parse(attrib_key(shim.attrib), head, have, &parsed) || !parsed.answer)
		return true;
	if (sock_ends(out->fd, out->st))
		client_answered(&parsed, &out->st->peer, IPPROTO_TCP, out->fd, out->st);
	return true;
}

/* The bytes that the kernel took: the state moves on, and clients whose answers began in them wait
 * no longer. */
static void stream_left(struct outgoing *out, const struct iovec *iov, size_t count, ssize_t n)
{
	struct thread *t = n > 0 ? thread_enter() : NULL;
	int saved = errno;

	if (!t)
		return;
	fd_lock_streams(out->st, out->fd);
	stream_walk(&out->st->tx, iov, count, (size_t)n, answer_start, out);
	fd_unlock_streams(out->fd);
	thread_leave(t);
	errno = saved;
}

/* The part of the program's vector that lies between two offsets, as far as there is room for its
 * pieces. */
static size_t cut(const struct iovec *iov, size_t count, size_t offset, size_t end,
		  struct iovec *out, size_t most)
{
	size_t used = 0, pos = 0;

	for (size_t i = 0; i < count && used < most && pos < end; pos += iov[i++].iov_len) {
		size_t from = offset > pos ? offset - pos : 0;
		size_t to = end - pos < iov[i].iov_len ? end - pos : iov[i].iov_len;

		if (from < to)
			out[used++] = (struct iovec){(char *)iov[i].iov_base + from, to - from};
	}
	return used;
}

/* A blocking program's write waits; another's is told to come again (EAGAIN), as where the window
 * is full. */
static bool wait_writable(int fd, int flags)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	struct timeval limit = {0};
	socklen_t len = sizeof(limit);
	int timeout = -1;

	if (flags & MSG_DONTWAIT || REAL(fcntl)(fd, F_GETFL, 0) & O_NONBLOCK)
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, &len) == 0 &&
	    (limit.tv_sec || limit.tv_usec))
		timeout = (int)(limit.tv_sec * 1000 + limit.tv_usec / 1000) + 1;
	return REAL(poll)(&p, 1, timeout) != 0;
}

/*
 * Finds out what begins in these bytes and marks the connection for it.
 *
 * @return false, with EAGAIN, where they may not leave yet
 */
static bool prepare_stream(struct outgoing *out, const struct iovec *iov, size_t count,
			   size_t total, int flags)
{
	for (;;) {
		struct thread *t = thread_enter();
		int saved = errno;

		*out = (struct outgoing){.t = t, .fd = out->fd, .st = out->st, .limit = total};
		if (!t)
			return true;
		look_ahead(out, iov, count, total);
		bool ready = mark_stream(out);

		thread_leave(t);
		errno = saved;
		if (ready)
			return true;
		if (!wait_writable(out->fd, flags)) {
			errno = EAGAIN;
			return false;
		}
	}
}

/*
 * Several clients' queries in one write: each goes out with its own mark, and the program learns
 * how far we came, as from any short write.
 */
static ssize_t send_parts(struct outgoing *out, const struct msghdr *app, int flags, size_t total)
{
	enum { PIECES = 64 };
	struct iovec part[PIECES];
	size_t done = 0;

	for (;;) {
		struct msghdr msg = *app;

		msg.msg_iov = part;
		msg.msg_iovlen =
			cut(app->msg_iov, app->msg_iovlen, done, done + out->limit, part, PIECES);
		size_t bytes = iov_total(part, msg.msg_iovlen);
		ssize_t n = REAL(sendmsg)(out->fd, &msg, flags);

		if (n < 0)
			return done ? (ssize_t)done : n;
		stream_left(out, part, msg.msg_iovlen, n);
		done += (size_t)n;
		if (done >= total || (size_t)n < bytes)
			return (ssize_t)done;
		size_t count = cut(app->msg_iov, app->msg_iovlen, done, total, part, PIECES);

		if (!prepare_stream(out, part, count, iov_total(part, count), flags))
			return (ssize_t)done;
	}
}

static ssize_t send_stream(int fd, struct fd_state *st, const struct msghdr *app, int flags,
			   tx_plain_fn *plain, void *ctx)
{
	struct outgoing out = {.fd = fd, .st = st};
	size_t total = iov_readable(app->msg_iov, app->msg_iovlen);

	if (!prepare_stream(&out, app->msg_iov, app->msg_iovlen, total, flags))
		return -1;
	if (out.limit < total)
		return send_parts(&out, app, flags, total);
	ssize_t n = plain(ctx);

	stream_left(&out, app->msg_iov, app->msg_iovlen, n);
	return n;
}

/* ---- all together
 * ------------------------------------------------------------------------------------------ */

ssize_t tx_send(int fd, const struct msghdr *app, int flags, tx_plain_fn *plain, void *ctx)
{
	struct thread *t;
	struct fd_state *st = app ? begin(&t, fd) : NULL;

	if (!st)
		return plain(ctx);
	if (is_udp(st))
		return send_datagram(t, fd, st, app, flags, plain, ctx);
	thread_leave(t);
	return send_stream(fd, st, app, flags, plain, ctx);
}

/* ---- sendmmsg
 * ---------------------------------------------------------------------------------------------- */

struct batch {
	struct thread *t;
	int fd;
	struct fd_state *st;
	struct mmsghdr headers[BATCH_MAX];
	enum meaning meaning[BATCH_MAX];
	_Alignas(struct cmsghdr) char control[BATCH_MAX][BATCH_CONTROL];
};

/* Returns whether any message differs from the program's. */
static bool batch_prepare(struct batch *b, const struct mmsghdr *vec, unsigned n)
{
	bool changed = false;

	for (unsigned i = 0; i < n; i++) {
		struct marked marked = {.changed = false};
		struct dns_message parsed;

		b->headers[i] = vec[i];
		b->meaning[i] = meaning_of(&vec[i].msg_hdr, &parsed);
		if (b->meaning[i] == TX_QUERY)
			query_leaves(b->t, b->fd, b->st, &vec[i].msg_hdr, &parsed, b->control[i],
				     BATCH_CONTROL, &marked);
		if (marked.changed)
			b->headers[i].msg_hdr = marked.msg;
		changed |= marked.changed;
	}
	return changed;
}

static int batch_send(struct batch *b, struct mmsghdr *vec, unsigned n, int flags, bool changed)
{
	int sent = REAL(sendmmsg)(b->fd, changed ? b->headers : vec, n, flags);

	if (changed && refused_mark(sent)) {
		int why = errno;

		sent = REAL(sendmmsg)(b->fd, vec, n, flags);
		if (sent > 0)
			log_cause(why == EPERM ? LOG_mark_not_permitted : LOG_mark_failed, why);
	} else if (changed) {
		for (int i = 0; i < sent; i++)
			vec[i].msg_len = b->headers[i].msg_len;
	}
	return sent;
}

static void batch_left(struct batch *b, const struct mmsghdr *vec, int sent)
{
	int saved = errno;

	for (int i = 0; i < sent; i++) {
		struct dns_message parsed;

		if (b->meaning[i] != TX_ANSWER || !thread_enter())
			continue;
		if (meaning_of(&vec[i].msg_hdr, &parsed) == TX_ANSWER)
			answer_left(b->fd, b->st, &vec[i].msg_hdr, &parsed);
		thread_leave(b->t);
	}
	errno = saved;
}

/* Up to BATCH_MAX messages. */
static int batch_once(int fd, struct mmsghdr *vec, unsigned n, int flags)
{
	struct batch b = {.fd = fd};
	int saved = errno;

	b.st = begin(&b.t, fd);
	if (!b.st || !is_udp(b.st)) {
		if (b.st)
			thread_leave(b.t);
		return REAL(sendmmsg)(fd, vec, n, flags);
	}
	bool changed = batch_prepare(&b, vec, n);

	thread_leave(b.t);
	errno = saved;
	int sent = batch_send(&b, vec, n, flags, changed);

	batch_left(&b, vec, sent);
	return sent;
}

int tx_sendmmsg(int fd, struct mmsghdr *vec, unsigned vlen, int flags)
{
	unsigned done = 0;

	if (!vec || !vlen)
		return REAL(sendmmsg)(fd, vec, vlen, flags);
	if (vlen > 1024)
		vlen = 1024; /* UIO_MAXIOV: the kernel's own limit */
	while (done < vlen) {
		unsigned n = vlen - done < BATCH_MAX ? vlen - done : BATCH_MAX;
		int sent = batch_once(fd, vec + done, n, flags);

		if (sent <= 0)
			return done ? (int)done : sent;
		done += (unsigned)sent;
		if ((unsigned)sent < n)
			break;
	}
	return (int)done;
}

/* ---- connect ---- */

int tx_connect(int fd, const struct sockaddr *to, socklen_t len)
{
	struct thread *t;
	struct fd_state *st = begin(&t, fd);
	int saved = errno, ret;

	if (!st)
		return REAL(connect)(fd, to, len);
	bool udp = is_udp(st);

	if (!udp && !shim.config.dry_run && !(fd_flags(st) & FD_LIVE))
		mark_socket(fd, st, mark_for(fd, st, decide_connect(t)));
	thread_leave(t);
	errno = saved;
	ret = REAL(connect)(fd, to, len);
	saved = errno;
	if (udp && ret == 0)
		sock_connected(st, to, len);
	errno = saved;
	return ret;
}
