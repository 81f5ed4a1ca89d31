// SPDX-License-Identifier: GPL-2.0-or-later
/* Where descriptors are born and where they end. */
#include "fdtab.h"
#include "real.h"
#include "sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

/* A birth's bookkeeping leaves errno alone: success never changes it. */
static int born(int fd, void (*note)(int, int), int from)
{
	int saved = errno;

	if (fd >= 0)
		note(from, fd);
	errno = saved;
	return fd;
}

SHIM_EXPORT int socket(int domain, int type, int protocol)
{
	int fd = REAL(socket)(domain, type, protocol), saved = errno;

	if (fd >= 0)
		sock_born(fd, domain, type, protocol);
	errno = saved;
	return fd;
}

SHIM_EXPORT int accept(int fd, struct sockaddr *from, socklen_t *fromlen)
{
	return born(REAL(accept)(fd, from, fromlen), sock_accepted, fd);
}

SHIM_EXPORT int accept4(int fd, struct sockaddr *from, socklen_t *fromlen, int flags)
{
	return born(REAL(accept4)(fd, from, fromlen, flags), sock_accepted, fd);
}

SHIM_EXPORT int dup(int fd)
{
	return born(REAL(dup)(fd), fd_copy, fd);
}

SHIM_EXPORT int dup2(int fd, int to)
{
	return fd == to ? REAL(dup2)(fd, to) : born(REAL(dup2)(fd, to), fd_copy, fd);
}

SHIM_EXPORT int dup3(int fd, int to, int flags)
{
	return born(REAL(dup3)(fd, to, flags), fd_copy, fd);
}

/*
 * The third argument is an int, a pointer or nothing, by the command. Read as a pointer it is
 * passed on whole: the callee takes what it needs of it.
 */
static int after_fcntl(int fd, int cmd, const void *arg, int ret)
{
	struct fd_state *st;

	if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
		return born(ret, fd_copy, fd);
	if (cmd == F_SETFL && ret == 0 && (uintptr_t)arg & O_NONBLOCK && (st = fd_find(fd)))
		atomic_fetch_and(&st->flags, ~(uint32_t)FD_BLOCKING);
	return ret;
}

SHIM_EXPORT int fcntl(int fd, int cmd, ...)
{
	va_list ap;

	va_start(ap, cmd);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	return after_fcntl(fd, cmd, arg, REAL(fcntl)(fd, cmd, arg));
}

int fcntl64(int fd, int cmd, ...);

SHIM_EXPORT int fcntl64(int fd, int cmd, ...)
{
	va_list ap;

	va_start(ap, cmd);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	return after_fcntl(fd, cmd, arg,
			   REAL_EXISTS(fcntl64) ? REAL(fcntl64)(fd, cmd, arg)
						: REAL(fcntl)(fd, cmd, arg));
}

/* Forgotten before it is closed: afterwards the number may be somebody else's already. */
SHIM_EXPORT int close(int fd)
{
	fd_forget(fd);
	return REAL(close)(fd);
}

/* not in the headers of every C library */
int close_range(unsigned first, unsigned last, int flags);
void closefrom(int first);

SHIM_EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	if (!REAL_EXISTS(close_range)) {
		errno = ENOSYS;
		return -1;
	}
	if (!(flags & ~(int)CLOSE_RANGE_UNSHARE))
		fd_forget_range(first, last); /* with CLOSE_RANGE_CLOEXEC nothing is closed yet */
	return REAL(close_range)(first, last, flags);
}

SHIM_EXPORT void closefrom(int first)
{
	fd_forget_range(first < 0 ? 0 : (unsigned)first, FD_LIMIT);
	if (REAL_EXISTS(closefrom))
		REAL(closefrom)(first);
}
