// SPDX-License-Identifier: GPL-2.0-or-later
/* recvmmsg: many datagrams at once, each as in rx.c. */
#include "pages.h"
#include "real.h"
#include "rx.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

enum {
	BATCH_STACK = 32,   /* messages whose buffers lie on the stack */
	BATCH_CONTROL = 512 /* a message's control buffer */
};

/* What the kernel is given in place of a message of the program's. */
struct slot {
	struct sockaddr_storage name;
	_Alignas(struct cmsghdr) char control[BATCH_CONTROL];
};

static void substitute(const struct rx *rx, const struct mmsghdr *vec, struct mmsghdr *headers,
		       struct slot *slots, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct msghdr *m = &headers[i].msg_hdr;

		headers[i] = vec[i];
		if (!m->msg_name && rx->own_name) {
			m->msg_name = &slots[i].name;
			m->msg_namelen = sizeof(slots[i].name);
		}
		if (rx->own_control && !(m->msg_control && m->msg_controllen >= BATCH_CONTROL)) {
			m->msg_control = slots[i].control;
			m->msg_controllen = BATCH_CONTROL;
		}
	}
}

/* The least room for a sender's name in the program's vector. */
static socklen_t name_room(const struct mmsghdr *vec, unsigned n)
{
	socklen_t least = sizeof(struct sockaddr_storage);

	for (unsigned i = 0; i < n; i++)
		if (vec[i].msg_hdr.msg_name && vec[i].msg_hdr.msg_namelen < least)
			least = vec[i].msg_hdr.msg_namelen;
	return least;
}

static void arrived(const struct rx *rx, struct mmsghdr *vec, const struct mmsghdr *headers,
		    socklen_t room, int n)
{
	for (int i = 0; i < n; i++) {
		struct cmsg_told told = {.marked = false};
		struct msghdr *app = &vec[i].msg_hdr;

		rx_restore(rx, rx->own_name && !app->msg_name, &headers[i].msg_hdr, app, &told);
		vec[i].msg_len = headers[i].msg_len;
		rx_arrived(rx, &headers[i].msg_hdr, room, vec[i].msg_len, &told);
	}
}

static void arrived_unchanged(const struct rx *rx, const struct mmsghdr *vec, socklen_t room, int n)
{
	static const struct cmsg_told nothing;

	for (int i = 0; i < n; i++)
		rx_arrived(rx, &vec[i].msg_hdr, room, vec[i].msg_len, &nothing);
}

static int receive_with(const struct rx *rx, struct mmsghdr *vec, unsigned n, int flags,
			struct timespec *timeout, struct mmsghdr *headers, struct slot *slots)
{
	socklen_t room = name_room(vec, n);

	substitute(rx, vec, headers, slots, n);
	int got = REAL(recvmmsg)(rx->fd, headers, n, flags, timeout), saved = errno;

	arrived(rx, vec, headers, room, got);
	errno = saved;
	return got;
}

static int receive_few(const struct rx *rx, struct mmsghdr *vec, unsigned n, int flags,
		       struct timespec *timeout)
{
	struct mmsghdr headers[BATCH_STACK];
	struct slot slots[BATCH_STACK];

	return receive_with(rx, vec, n, flags, timeout, headers, slots);
}

/* The buffers of a long batch. */
struct mapping {
	void *at;
	size_t bytes;
};
static void unmap(void *m)
{
	munmap(((struct mapping *)m)->at, ((struct mapping *)m)->bytes);
}

/* Where there is no memory, fewer come at once. */
static int receive_many(const struct rx *rx, struct mmsghdr *vec, unsigned n, int flags,
			struct timespec *timeout)
{
	size_t bytes = n * (sizeof(struct slot) + sizeof(struct mmsghdr));
	struct slot *slots = pages_map(bytes, false);

	if (!slots)
		return receive_few(rx, vec, BATCH_STACK, flags, timeout);
	struct mapping m = {slots, bytes};
	int got;

	pthread_cleanup_push(unmap, &m); /* the receive is a cancellation point */
	got = receive_with(rx, vec, n, flags, timeout, (struct mmsghdr *)(slots + n), slots);
	pthread_cleanup_pop(0);
	int saved = errno;

	unmap(&m);
	errno = saved;
	return got;
}

int rx_recvmmsg(int fd, struct mmsghdr *vec, unsigned vlen, int flags, struct timespec *timeout)
{
	const struct msghdr none = {.msg_name = NULL};
	struct fd_state *st = vec && vlen ? sock_ours(fd) : NULL;
	struct rx rx;

	if (!st || (fd_flags(st) & FD_KIND) != FD_UDP)
		return REAL(recvmmsg)(fd, vec, vlen, flags, timeout);
	rx_begin(&rx, fd, st, &none, flags);
	if (rx.substituted)
		return vlen <= BATCH_STACK ? receive_few(&rx, vec, vlen, flags, timeout)
					   : receive_many(&rx, vec, vlen, flags, timeout);
	socklen_t room = name_room(vec, vlen);
	int got = REAL(recvmmsg)(fd, vec, vlen, flags, timeout), saved = errno;

	arrived_unchanged(&rx, vec, room, got);
	errno = saved;
	return got;
}
