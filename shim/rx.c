// SPDX-License-Identifier: GPL-2.0-or-later
#include "rx.h"

#include "iov.h"
#include "log.h"
#include "real.h"
#include "sock.h"
#include "thread.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum {
	WHOLE_MAX = 4096,   /* of an answer in several pieces, as much is looked at */
	BATCH_STACK = 32,   /* messages of a recvmmsg whose buffers lie on the stack */
	BATCH_CONTROL = 256 /* a message's control buffer in a batch */
};

/* ---- events ------------------------------------------------------------------------------------------------ */

/* What a received message means. Addresses: who sent it, and where to; either may be unknown (family 0). */
struct arrival {
	struct thread *t;
	struct fd_state *st;
	int fd;
	uint8_t proto;
	struct endpoint from, to;
};

static void client_query(const struct arrival *in, const struct dns_message *query)
{
	struct attrib_owner who = {
		.flow = {.client = in->from, .local = in->to, .proto = in->proto},
		.fd = in->fd,
		.fd_gen = fd_gen(in->st),
	};

	log_count(LOG_client_queries);
	attrib_client_query(shim.attrib, thread_now_ms(), query, &who, &in->t->turn);
}

static void arrived(const struct arrival *in, const uint8_t *msg, size_t have)
{
	struct attrib_socket socket = {.fd = in->fd, .gen = fd_gen(in->st)};
	struct dns_message parsed;

	if (!dns_parse(attrib_key(shim.attrib), msg, have, &parsed))
		return;
	if (parsed.answer)
		attrib_upstream_answer(shim.attrib, thread_now_ms(), &parsed, msg, have, socket, &in->t->turn);
	else
		client_query(in, &parsed);
}

/* ---- datagrams --------------------------------------------------------------------------------------------- */

/* A connected socket's sender is its peer; a bound one's datagrams come to where it is bound. */
static void complete_ends(struct arrival *in)
{
	if (!in->from.family && fd_flags(in->st) & FD_CONNECTED && sock_ends(in->fd, in->st)) {
		in->from = in->st->peer;
		in->to = in->st->local;
	}
	if (!in->to.family && fd_flags(in->st) & FD_SERVER && !in->st->local.wildcard)
		in->to = in->st->local;
}

static void datagram_arrived(struct thread *t, struct fd_state *st, int fd, const struct msghdr *msg, size_t n,
			     const struct endpoint *local)
{
	struct arrival in = {.t = t, .st = st, .fd = fd, .proto = IPPROTO_UDP, .to = *local};
	uint8_t scratch[WHOLE_MAX];
	size_t have = iov_total(msg->msg_iov, msg->msg_iovlen);

	if (have > n)
		have = n;
	if (have < DNS_HEADER_LEN)
		return;
	if (msg->msg_iov[0].iov_len < have && have > sizeof(scratch))
		have = sizeof(scratch);
	const uint8_t *data = iov_head(msg->msg_iov, msg->msg_iovlen, scratch, &have);

	if (!(data[2] & 0x80)) { /* only clients' addresses matter */
		if (msg->msg_name)
			endpoint_from(&in.from, msg->msg_name, msg->msg_namelen);
		complete_ends(&in);
	}
	arrived(&in, data, have);
}

/* ---- streams ----------------------------------------------------------------------------------------------- */

static void stream_message(void *ctx, const uint8_t *msg, size_t have, size_t length)
{
	struct arrival *in = ctx;

	(void)length;
	if (have > 2 && !(msg[2] & 0x80) && !in->from.family && sock_ends(in->fd, in->st)) {
		in->from = in->st->peer;
		in->to = in->st->local;
	}
	arrived(in, msg, have);
}

static void stream_arrived(struct thread *t, struct fd_state *st, int fd, const struct msghdr *msg, size_t n)
{
	struct arrival in = {.t = t, .st = st, .fd = fd, .proto = IPPROTO_TCP};

	fd_lock_streams(st, fd);
	for (size_t i = 0; i < msg->msg_iovlen && n; i++) {
		size_t piece = msg->msg_iov[i].iov_len < n ? msg->msg_iov[i].iov_len : n;

		stream_feed(&st->rx, &fd_store, msg->msg_iov[i].iov_base, piece, stream_message, &in);
		n -= piece;
	}
	fd_unlock_streams(fd);
}

/* ---- one receive ------------------------------------------------------------------------------------------- */

/* A UDP socket that has sent no query may be a server's: then the ends of each datagram must be known. */
static bool needs_ends(uint32_t flags)
{
	return (flags & (FD_KIND | FD_SENT | FD_CONNECTED)) == FD_UDP;
}

static bool prepare(int fd, struct fd_state *st, int recv_flags)
{
	if (needs_ends(fd_flags(st)) && !(fd_flags(st) & FD_SERVER))
		sock_serve(fd, st);
	uint32_t flags = fd_flags(st);

	if ((flags & (FD_KIND | FD_BLOCKING)) == (FD_UDP | FD_BLOCKING) && !(recv_flags & MSG_DONTWAIT))
		thread_turn_ends(); /* this receive is the thread's event wait */
	return flags & FD_LOCAL;
}

static void substitute_control(struct rx *rx, const struct msghdr *app)
{
	/* A program's buffer of this size has room for ours too; a smaller one is replaced. */
	if (app->msg_control && app->msg_controllen >= RX_CONTROL)
		return;
	rx->msg.msg_control = rx->control;
	rx->msg.msg_controllen = sizeof(rx->control);
}

bool rx_begin(struct rx *rx, int fd, const struct msghdr *app, int flags)
{
	struct thread *t = thread_enter();
	struct fd_state *st = t ? sock_known(fd) : NULL;

	if (!st || !app) {
		if (t)
			thread_leave(t);
		return false;
	}
	rx->fd = fd;
	rx->st = st;
	rx->own_control = prepare(fd, st, flags);
	rx->own_name = needs_ends(fd_flags(st)) && !app->msg_name;
	rx->observe = !(flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB));
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
	thread_leave(t);
	return true;
}

ssize_t rx_receive(struct rx *rx, int flags)
{
	return REAL(recvmsg)(rx->fd, &rx->msg, flags);
}

/* Leaves the program's header as the kernel would have, had nothing been substituted. */
static void restore(const struct rx *rx, struct msghdr *app, struct endpoint *local)
{
	int flags = rx->msg.msg_flags;
	size_t room = app->msg_control ? app->msg_controllen : 0;

	if (rx->own_control)
		app->msg_controllen = cmsg_hide_local(app->msg_control, room, rx->msg.msg_control,
						      rx->msg.msg_controllen, true, local, &flags);
	else
		app->msg_controllen = rx->msg.msg_controllen;
	if (!rx->own_name)
		app->msg_namelen = rx->msg.msg_namelen;
	app->msg_flags = flags;
}

ssize_t rx_end(struct rx *rx, struct msghdr *app, ssize_t n)
{
	struct endpoint local = {.family = 0};
	int saved = errno;
	struct thread *t;

	if (n < 0)
		return n;
	if (rx->substituted)
		restore(rx, app, &local);
	t = rx->observe && fd_gen(rx->st) == rx->gen ? thread_enter() : NULL;
	if (t) {
		const struct msghdr *seen = rx->substituted ? &rx->msg : app;

		if ((fd_flags(rx->st) & FD_KIND) == FD_UDP)
			datagram_arrived(t, rx->st, rx->fd, seen, (size_t)n, &local);
		else
			stream_arrived(t, rx->st, rx->fd, seen, (size_t)n);
		thread_leave(t);
	}
	errno = saved;
	return n;
}

/* ---- recvmmsg ---------------------------------------------------------------------------------------------- */

struct batch_slot {
	struct mmsghdr msg;
	struct sockaddr_storage name;
	_Alignas(struct cmsghdr) char control[BATCH_CONTROL];
};

struct batch {
	struct rx rx; /* of the socket; its message is not used */
	struct mmsghdr *vec;
	struct batch_slot *slots;
	struct mmsghdr *headers;
};

static void batch_substitute(const struct batch *b, unsigned vlen)
{
	for (unsigned i = 0; i < vlen; i++) {
		struct msghdr *m = &b->headers[i].msg_hdr;

		b->headers[i] = b->vec[i];
		if (!m->msg_name && b->rx.own_name) {
			m->msg_name = &b->slots[i].name;
			m->msg_namelen = sizeof(b->slots[i].name);
		}
		if (b->rx.own_control && !(m->msg_control && m->msg_controllen >= BATCH_CONTROL)) {
			m->msg_control = b->slots[i].control;
			m->msg_controllen = BATCH_CONTROL;
		}
	}
}

static void batch_restore(struct batch *b, unsigned i, struct endpoint *local)
{
	struct rx one = {.own_control = b->rx.own_control,
			 .own_name = b->rx.own_name && !b->vec[i].msg_hdr.msg_name,
			 .msg = b->headers[i].msg_hdr};

	restore(&one, &b->vec[i].msg_hdr, local);
	b->vec[i].msg_len = b->headers[i].msg_len;
}

static void batch_arrived(struct batch *b, int n)
{
	struct thread *t;

	for (int i = 0; i < n; i++) {
		struct endpoint local = {.family = 0};
		const struct msghdr *seen = b->rx.substituted ? &b->headers[i].msg_hdr : &b->vec[i].msg_hdr;

		if (b->rx.substituted)
			batch_restore(b, (unsigned)i, &local);
		t = b->rx.observe ? thread_enter() : NULL;
		if (!t)
			continue;
		datagram_arrived(t, b->rx.st, b->rx.fd, seen, b->vec[i].msg_len, &local);
		thread_leave(t);
	}
}

static int batch_receive(struct batch *b, unsigned vlen, int flags, struct timespec *timeout)
{
	int n;

	batch_substitute(b, vlen);
	n = REAL(recvmmsg)(b->rx.fd, b->headers, vlen, flags, timeout);
	return n;
}

/* Room for the headers and buffers of a long batch. */
static size_t batch_bytes(unsigned vlen)
{
	return vlen * (sizeof(struct batch_slot) + sizeof(struct mmsghdr));
}

static int batch_substituted(struct batch *b, unsigned vlen, int flags, struct timespec *timeout)
{
	struct batch_slot slots[BATCH_STACK];
	struct mmsghdr headers[BATCH_STACK];
	void *memory = NULL;
	int n, saved;

	b->slots = slots;
	b->headers = headers;
	if (vlen > BATCH_STACK) {
		memory = mmap(NULL, batch_bytes(vlen), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			return errno = ENOBUFS, -1;
		b->slots = memory;
		b->headers = (struct mmsghdr *)(b->slots + vlen);
	}
	n = batch_receive(b, vlen, flags, timeout);
	saved = errno;
	batch_arrived(b, n);
	if (memory)
		munmap(memory, batch_bytes(vlen));
	errno = saved;
	return n;
}

int rx_recvmmsg(int fd, struct mmsghdr *vec, unsigned vlen, int flags, struct timespec *timeout)
{
	struct batch b = {.vec = vec};
	/* the kernel takes no more than UIO_MAXIOV (1024) at once, whatever it is asked */
	unsigned most = vlen > 1024 ? 1024 : vlen;
	const struct msghdr first = {.msg_name = NULL};
	int n, saved;

	if (!vec || !vlen || !rx_begin(&b.rx, fd, &first, flags) || (fd_flags(b.rx.st) & FD_KIND) != FD_UDP)
		return REAL(recvmmsg)(fd, vec, vlen, flags, timeout);
	if (b.rx.substituted)
		return batch_substituted(&b, most, flags, timeout);
	n = REAL(recvmmsg)(fd, vec, vlen, flags, timeout);
	saved = errno;
	batch_arrived(&b, n);
	errno = saved;
	return n;
}
