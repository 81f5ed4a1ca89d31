/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the test programs use of glibc and musl lacks; included before everything else of theirs. */
#ifndef MUSL_PRELUDE_H
#define MUSL_PRELUDE_H

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAMED(error) [error] = #error

static inline const char *strerrorname_np(int error)
{
	static const char *const names[] = {
		NAMED(EPERM),		NAMED(ENOENT),	   NAMED(EINTR),	NAMED(EIO),
		NAMED(E2BIG),		NAMED(EBADF),	   NAMED(ECHILD),	NAMED(EAGAIN),
		NAMED(ENOMEM),		NAMED(EACCES),	   NAMED(EFAULT),	NAMED(EBUSY),
		NAMED(EEXIST),		NAMED(ENODEV),	   NAMED(ENOTDIR),	NAMED(EISDIR),
		NAMED(EINVAL),		NAMED(ENFILE),	   NAMED(EMFILE),	NAMED(ENOTTY),
		NAMED(EFBIG),		NAMED(ENOSPC),	   NAMED(ESPIPE),	NAMED(EROFS),
		NAMED(EPIPE),		NAMED(ERANGE),	   NAMED(ENOSYS),	NAMED(ELOOP),
		NAMED(ENODATA),		NAMED(EBADMSG),	   NAMED(EOVERFLOW),	NAMED(ENOTSOCK),
		NAMED(EDESTADDRREQ),	NAMED(EMSGSIZE),   NAMED(EPROTOTYPE),	NAMED(ENOPROTOOPT),
		NAMED(EPROTONOSUPPORT), NAMED(EOPNOTSUPP), NAMED(EAFNOSUPPORT), NAMED(EADDRINUSE),
		NAMED(EADDRNOTAVAIL),	NAMED(ENETDOWN),   NAMED(ENETUNREACH),	NAMED(ECONNABORTED),
		NAMED(ECONNRESET),	NAMED(ENOBUFS),	   NAMED(EISCONN),	NAMED(ENOTCONN),
		NAMED(ESHUTDOWN),	NAMED(ETIMEDOUT),  NAMED(ECONNREFUSED), NAMED(EHOSTUNREACH),
		NAMED(EALREADY),	NAMED(EINPROGRESS)};
	const int known = sizeof(names) / sizeof(names[0]);

	if (error == 0)
		return "0";
	return error > 0 && error < known && names[error] ? names[error] : "?";
}

static inline int close_range(unsigned first, unsigned last, int flags)
{
	return (int)syscall(SYS_close_range, first, last, flags);
}

static inline void closefrom(int first)
{
	close_range((unsigned)first, ~0U, 0);
}

static inline int epoll_pwait2(int fd, struct epoll_event *events, int n,
			       const struct timespec *timeout, const sigset_t *mask)
{
	return (int)syscall(SYS_epoll_pwait2, fd, events, n, timeout, mask, _NSIG / 8);
}

#endif
