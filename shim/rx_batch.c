// SPDX-License-Identifier: GPL-2.0-or-later
/* recvmmsg: many datagrams at once, each as in rx.c. */
#include "real.h"
#include "rx.h"

#include <errno.h>
#include <sys/mman.h>

enum {
	BATCH_MAX = 1024,   /* UIO_MAXIOV: the kernel takes no more at once, whatever it is asked */
	BATCH_STACK = 32,   /* messages whose buffers lie on the stack */
	BATCH_CONTROL = 256 /* a message's control buffer */
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

static void arrived(const struct rx *rx, struct mmsghdr *vec, const struct mmsghdr *headers, int n)
{
	for (int i = 0; i < n; i++) {
		struct endpoint local = {.family = 0};

		if (headers) {
			struct rx one = {.own_control = rx->own_control,
					 .own_name = rx->own_name && !vec[i].msg_hdr.msg_name,
					 .msg = headers[i].msg_hdr};

			rx_restore(&one, &vec[i].msg_hdr, &local);
			vec[i].msg_len = headers[i].msg_len;
		}
		rx_arrived(rx, headers ? &headers[i].msg_hdr : &vec[i].msg_hdr, vec[i].msg_len,
			   &local);
	}
}

static int receive_with(const struct rx *rx, struct mmsghdr *vec, unsigned n, int flags,
			struct timespec *timeout, struct mmsghdr *headers, struct slot *slots)
{
	substitute(rx, vec, headers, slots, n);
	int got = REAL(recvmmsg)(rx->fd, headers, n, flags, timeout), saved = errno;

	arrived(rx, vec, headers, got);
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

/* Where there is no memory, fewer come at once. */
static int receive_many(const struct rx *rx, struct mmsghdr *vec, unsigned n, int flags,
			struct timespec *timeout)
{
	size_t bytes = n * (sizeof(struct slot) + sizeof(struct mmsghdr));
	struct slot *slots =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (slots == MAP_FAILED)
		return receive_few(rx, vec, BATCH_STACK, flags, timeout);
	int got = receive_with(rx, vec, n, flags, timeout, (struct mmsghdr *)(slots + n), slots);
	int saved = errno;

	munmap(slots, bytes);
	errno = saved;
	return got;
}

int rx_recvmmsg(int fd, struct mmsghdr *vec, unsigned vlen, int flags, struct timespec *timeout)
{
	const struct msghdr none = {.msg_name = NULL};
	struct rx rx;

	if (!vec || !vlen || !rx_begin(&rx, fd, &none, flags) ||
	    (fd_flags(rx.st) & FD_KIND) != FD_UDP)
		return REAL(recvmmsg)(fd, vec, vlen, flags, timeout);
	if (rx.substituted) {
		unsigned n = vlen < BATCH_MAX ? vlen : BATCH_MAX;

		return n <= BATCH_STACK ? receive_few(&rx, vec, n, flags, timeout)
					: receive_many(&rx, vec, n, flags, timeout);
	}
	int got = REAL(recvmmsg)(fd, vec, vlen, flags, timeout), saved = errno;

	arrived(&rx, vec, NULL, got);
	errno = saved;
	return got;
}
