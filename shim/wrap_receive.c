// SPDX-License-Identifier: GPL-2.0-or-later
/* The receiving calls. Each becomes a message header, goes through rx_begin and rx_end, and is
 * itself again. */
#include "iov.h"
#include "real.h"
#include "rx.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

SHIM_EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct rx rx;

	if (!rx_begin(&rx, fd, msg, flags))
		return REAL(recvmsg)(fd, msg, flags);
	return rx_end(&rx, msg,
		      rx.substituted ? rx_receive(&rx, flags) : REAL(recvmsg)(fd, msg, flags));
}

SHIM_EXPORT ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from,
			     socklen_t *fromlen)
{
	struct iovec iov = {buf, len};
	struct msghdr msg = {.msg_name = from,
			     .msg_namelen = from && fromlen ? *fromlen : 0,
			     .msg_iov = &iov,
			     .msg_iovlen = 1};
	struct rx rx;
	ssize_t n;

	/* what the kernel refuses with EFAULT or EINVAL is its own to refuse */
	if ((from && (!fromlen || *fromlen > INT_MAX)) || !rx_begin(&rx, fd, &msg, flags))
		return REAL(recvfrom)(fd, buf, len, flags, from, fromlen);
	if (!rx.substituted) {
		n = REAL(recvfrom)(fd, buf, len, flags, from, fromlen);
		if (n >= 0 && from)
			msg.msg_namelen = *fromlen;
		return rx_end(&rx, &msg, n);
	}
	n = rx_end(&rx, &msg, rx_receive(&rx, flags));
	if (n >= 0 && from)
		*fromlen = msg.msg_namelen;
	return n;
}

SHIM_EXPORT ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	struct iovec iov = {buf, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct rx rx;

	if (!rx_begin(&rx, fd, &msg, flags))
		return REAL(recv)(fd, buf, len, flags);
	return rx_end(&rx, &msg,
		      rx.substituted ? rx_receive(&rx, flags) : REAL(recv)(fd, buf, len, flags));
}

SHIM_EXPORT ssize_t read(int fd, void *buf, size_t len)
{
	struct iovec iov = {buf, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct rx rx;
	ssize_t n;

	/* a read of nothing takes nothing out of a socket, a recv of nothing does */
	if (!len || !rx_begin(&rx, fd, &msg, 0))
		return REAL(read)(fd, buf, len);
	n = rx.substituted ? rx_receive(&rx, 0) : REAL(read)(fd, buf, len);
	return rx.gone ? REAL(read)(fd, buf, len) : rx_end(&rx, &msg, n);
}

SHIM_EXPORT ssize_t readv(int fd, const struct iovec *iov, int iovcnt)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)iovcnt};
	struct rx rx;
	ssize_t n;

	if (!iov || iovcnt <= 0 || iovcnt > IOV_MAX || !iov_total(iov, (size_t)iovcnt) ||
	    !rx_begin(&rx, fd, &msg, 0))
		return REAL(readv)(fd, iov, iovcnt);
	n = rx.substituted ? rx_receive(&rx, 0) : REAL(readv)(fd, iov, iovcnt);
	return rx.gone ? REAL(readv)(fd, iov, iovcnt) : rx_end(&rx, &msg, n);
}

SHIM_EXPORT int recvmmsg(int fd, struct mmsghdr *vec, unsigned vlen, COMPAT_MMSG_FLAGS flags,
			 struct timespec *timeout)
{
	return rx_recvmmsg(fd, vec, vlen, (int)flags, timeout);
}

#if COMPAT_FORTIFIED
/*
 * The fortified forms. Where the length is good they are the plain calls; where it is not, the C
 * library's own ends the program.
 */
ssize_t __read_chk(int fd, void *buf, size_t len, size_t buflen);
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t buflen, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t buflen, int flags,
		       struct sockaddr *from, socklen_t *fromlen);

SHIM_EXPORT ssize_t __read_chk(int fd, void *buf, size_t len, size_t buflen)
{
	return len > buflen ? REAL(__read_chk)(fd, buf, len, buflen) : read(fd, buf, len);
}

SHIM_EXPORT ssize_t __recv_chk(int fd, void *buf, size_t len, size_t buflen, int flags)
{
	return len > buflen ? REAL(__recv_chk)(fd, buf, len, buflen, flags)
			    : recv(fd, buf, len, flags);
}

SHIM_EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t buflen, int flags,
				   struct sockaddr *from, socklen_t *fromlen)
{
	if (len > buflen)
		return REAL(__recvfrom_chk)(fd, buf, len, buflen, flags, from, fromlen);
	return recvfrom(fd, buf, len, flags, from, fromlen);
}
#endif
