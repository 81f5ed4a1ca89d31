// SPDX-License-Identifier: GPL-2.0-or-later
/* The event waits: here a thread's turn ends. Some programs poll tens of thousands of times a
 * second. */
#include "real.h"
#include "thread.h"

#include <errno.h>

SHIM_EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	thread_turn_ends();
	return REAL(poll)(fds, n, timeout);
}

SHIM_EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		      const sigset_t *mask)
{
	thread_turn_ends();
	return REAL(ppoll)(fds, n, timeout, mask);
}

#if COMPAT_FORTIFIED
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t fdslen);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
		size_t fdslen);

SHIM_EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t fdslen)
{
	thread_turn_ends();
	return REAL(__poll_chk)(fds, n, timeout, fdslen);
}

SHIM_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
			    const sigset_t *mask, size_t fdslen)
{
	thread_turn_ends();
	return REAL(__ppoll_chk)(fds, n, timeout, mask, fdslen);
}
#endif

SHIM_EXPORT int select(int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *timeout)
{
	thread_turn_ends();
	return REAL(select)(n, r, w, x, timeout);
}

SHIM_EXPORT int pselect(int n, fd_set *r, fd_set *w, fd_set *x, const struct timespec *timeout,
			const sigset_t *mask)
{
	thread_turn_ends();
	return REAL(pselect)(n, r, w, x, timeout, mask);
}

SHIM_EXPORT int epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
	thread_turn_ends();
	return REAL(epoll_wait)(fd, events, n, timeout);
}

SHIM_EXPORT int epoll_pwait(int fd, struct epoll_event *events, int n, int timeout,
			    const sigset_t *mask)
{
	thread_turn_ends();
	return REAL(epoll_pwait)(fd, events, n, timeout, mask);
}

int epoll_pwait2(int fd, struct epoll_event *events, int n, const struct timespec *timeout,
		 const sigset_t *mask); /* not in the headers of every C library */

SHIM_EXPORT int epoll_pwait2(int fd, struct epoll_event *events, int n,
			     const struct timespec *timeout, const sigset_t *mask)
{
	thread_turn_ends();
	if (!REAL_EXISTS(epoll_pwait2)) {
		errno = ENOSYS;
		return -1;
	}
	return REAL(epoll_pwait2)(fd, events, n, timeout, mask);
}
