// SPDX-License-Identifier: GPL-2.0-or-later
/* sendmmsg: many datagrams at once, each as in tx.c. */
#include "cmsg.h"
#include "iov.h"
#include "mark.h"
#include "real.h"
#include "sock.h"
#include "tx.h"
#include "withhold.h"

#include <errno.h>

enum {
	BATCH_MAX = 32,	      /* messages handled at once */
	BATCH_CONTROL = 256,  /* room for each one's control messages and mark */
	BATCH_LARGEST = 1024, /* UIO_MAXIOV: the kernel takes no more at once */
};

struct batch {
	struct thread *t;
	int fd;
	struct fd_state *st;
	bool changed;  /* some message differs from the program's */
	bool refused;  /* the message behind the last must not leave */
	bool withheld; /* ... and the program not know */
	struct mmsghdr headers[BATCH_MAX];
	struct tx_datagram datagram[BATCH_MAX];
	uint8_t start[BATCH_MAX][DNS_HEAD_MAX];
	_Alignas(struct cmsghdr) char control[BATCH_MAX][BATCH_CONTROL];
};

/*
 * Looks at the messages and returns how many may leave together: those up to the first that must not, or whose mark
 * had to be set on the socket for want of room beside it.
 */
static unsigned prepare(struct batch *b, const struct mmsghdr *vec, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct msghdr *app = &vec[i].msg_hdr;
		struct tx_datagram *d = &b->datagram[i];
		bool large = app->msg_controllen > BATCH_CONTROL - CMSG_MARK_SPACE;

		if (large && i)
			return i;
		tx_prepare(b->t, b->fd, b->st, app, b->control[i], BATCH_CONTROL, b->start[i], d);
		if (d->refused || d->withheld) {
			b->refused = d->refused;
			b->withheld = d->withheld;
			return i;
		}
		b->headers[i] = vec[i];
		if (d->changed)
			b->headers[i].msg_hdr = d->msg;
		b->changed |= d->changed;
		if (large)
			return 1;
	}
	return n;
}

/* The program is told that this one was sent, unless there is no socket any more. */
static int pretend(struct batch *b, struct tx_datagram *d, struct mmsghdr *one, int flags)
{
	bool stays = tx_withhold(b->fd, b->st, d);

	d->decision.made = false;
	if (!stays)
		return REAL(sendmmsg)(b->fd, one, 1, flags);
	one->msg_len = (unsigned)iov_total(one->msg_hdr.msg_iov, one->msg_hdr.msg_iovlen);
	return 1;
}

/* Where the kernel refuses the first one's mark, that one leaves without it, or not at all. */
static int send_unmarked(struct batch *b, struct mmsghdr *vec, int flags, int why)
{
	if (b->datagram[0].changed && withhold_applies()) {
		mark_say_failed(why);
		return pretend(b, &b->datagram[0], vec, flags);
	}
	int sent = REAL(sendmmsg)(b->fd, vec, 1, flags), saved = errno;

	if (sent > 0) {
		mark_say_failed(why);
		b->datagram[0].borne = mark_now(b->fd, b->st);
	}
	errno = saved;
	return sent;
}

static int send_prepared(struct batch *b, struct mmsghdr *vec, unsigned n, int flags)
{
	int saved = errno, sent = REAL(sendmmsg)(b->fd, b->changed ? b->headers : vec, n, flags);

	if (!b->changed)
		return sent;
	if (tx_refused_mark(sent)) {
		int why = errno;

		errno = saved;
		return send_unmarked(b, vec, flags, why);
	}
	for (int i = 0; i < sent; i++)
		vec[i].msg_len = b->headers[i].msg_len;
	return sent;
}

static void note_left(struct batch *b, const struct mmsghdr *vec, int sent)
{
	int saved = errno;

	for (int i = 0; i < sent; i++)
		if (b->datagram[i].decision.made)
			tx_query_left(b->fd, b->st, &vec[i].msg_hdr, &b->datagram[i]);
	errno = saved;
}

static void note_answers(struct batch *b, const struct mmsghdr *vec, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (b->datagram[i].answer)
			tx_answer_leaves(b->fd, b->st, &vec[i].msg_hdr);
}

/* One message, while nothing can be decided. */
static int send_undecided(int fd, struct mmsghdr *one, int flags)
{
	ssize_t n = withhold_undecided(fd, &one->msg_hdr);

	if (!n)
		return REAL(sendmmsg)(fd, one, 1, flags);
	if (n > 0)
		one->msg_len = (unsigned)n;
	return n > 0 ? 1 : -1;
}

/* Nothing but answers, and all as the program made them. */
static bool are_plain_answers(const struct fd_state *st, const struct mmsghdr *vec, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!tx_is_plain_answer(st, &vec[i].msg_hdr))
			return false;
	return true;
}

static bool answers_leave(int fd, const struct mmsghdr *vec, unsigned n)
{
	struct fd_state *st = sock_ours(fd);

	if (!st || (fd_flags(st) & FD_KIND) != FD_UDP || !are_plain_answers(st, vec, n))
		return false;
	for (unsigned i = 0; i < n; i++)
		tx_answer_leaves(fd, st, &vec[i].msg_hdr);
	return true;
}

/* Up to BATCH_MAX messages; perhaps fewer leave than could: the caller goes on. */
static int send_some(int fd, struct mmsghdr *vec, unsigned n, int flags)
{
	struct batch b; /* its arrays are large: filled as far as they are used */
	int saved = errno;

	b.fd = fd;
	b.st = tx_begin(&b.t, fd);
	b.changed = b.refused = b.withheld = false;
	if (b.st && (fd_flags(b.st) & FD_KIND) != FD_UDP) {
		thread_leave(b.t);
		b.st = NULL;
	}
	if (!b.st)
		return withhold_applies() && (!b.t || !fd_find(fd))
			       ? send_undecided(fd, vec, flags)
			       : REAL(sendmmsg)(fd, vec, n, flags);
	n = prepare(&b, vec, n);
	thread_leave(b.t);
	errno = saved;
	if (!n && b.withheld)
		return pretend(&b, &b.datagram[0], vec, flags);
	if (!n && b.refused) {
		errno = EPERM;
		return -1;
	}
	note_answers(&b, vec, n);
	int sent = send_prepared(&b, vec, n, flags);

	note_left(&b, vec, sent);
	if (b.withheld && sent == (int)n && pretend(&b, &b.datagram[n], vec + n, flags) > 0)
		sent++;
	return sent;
}

int tx_sendmmsg(int fd, struct mmsghdr *vec, unsigned vlen, int flags)
{
	unsigned done = 0;

	if (!vec || !vlen)
		return REAL(sendmmsg)(fd, vec, vlen, flags);
	if (vlen > BATCH_LARGEST)
		vlen = BATCH_LARGEST;
	int saved = errno, sent = 0;

	while (done < vlen) {
		unsigned n = vlen - done < BATCH_MAX ? vlen - done : BATCH_MAX;

		bool plain = answers_leave(fd, vec + done, n);

		sent = plain ? REAL(sendmmsg)(fd, vec + done, n, flags)
			     : send_some(fd, vec + done, n, flags);
		if (sent <= 0)
			break;
		done += (unsigned)sent;
		if (plain && (unsigned)sent < n)
			break; /* there is no more room: the program sends the rest again */
	}
	if (!done)
		return sent;
	errno = saved; /* what stopped the rest is said when the program sends it again */
	return (int)done;
}
