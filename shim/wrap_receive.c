// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The receiving calls. Each becomes a message header, goes through rx_begin and rx_end, and is itself again; but for
 * those that resolvers make most, where a look at what came in is enough (rx_is_plain).
 */
#include "iov.h"
#include "real.h"
#include "rx.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static ssize_t plain_recvmsg(int fd, struct fd_state *st, struct msghdr *msg, int flags)
{
	uint32_t gen = fd_gen(st);
	socklen_t room = msg->msg_namelen;
	ssize_t n = REAL(recvmsg)(fd, msg, flags);

	if (n > 0)
		rx_datagram(fd, st, gen, msg->msg_iov->iov_base,
			    least((size_t)n, msg->msg_iov->iov_len), msg->msg_name,
			    (socklen_t)least(msg->msg_namelen, room));
	return n;
}

SHIM_EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct fd_state *st = msg ? sock_ours(fd) : NULL;
	struct rx rx;

	if (!st)
		return REAL(recvmsg)(fd, msg, flags);
	if (msg->msg_iovlen == 1 && rx_is_plain(st, msg->msg_name, flags))
		return plain_recvmsg(fd, st, msg, flags);
	rx_begin(&rx, fd, st, msg, flags);
	return rx_end(&rx, msg,
		      rx.substituted ? rx_receive(&rx, flags) : REAL(recvmsg)(fd, msg, flags));
}

static ssize_t plain_recvfrom(int fd, struct fd_state *st, void *buf, size_t len, int flags,
			      struct sockaddr *from, socklen_t *fromlen)
{
	uint32_t gen = fd_gen(st);
	socklen_t room = from ? *fromlen : 0;
	ssize_t n = REAL(recvfrom)(fd, buf, len, flags, from, fromlen);

	if (n > 0)
		rx_datagram(fd, st, gen, buf, least((size_t)n, len), from,
			    from ? (socklen_t)least(*fromlen, room) : 0);
	return n;
}

SHIM_EXPORT ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from,
			     socklen_t *fromlen)
{
	/* what the kernel refuses with EFAULT or EINVAL is its own to refuse */
	bool refused = from && (!fromlen || *fromlen > INT_MAX);
	struct fd_state *st = refused ? NULL : sock_ours(fd);

	if (!st)
		return REAL(recvfrom)(fd, buf, len, flags, from, fromlen);
	if (rx_is_plain(st, from, flags))
		return plain_recvfrom(fd, st, buf, len, flags, from, fromlen);

	struct iovec iov = {buf, len};
	struct msghdr msg = {.msg_name = from,
			     .msg_namelen = from ? *fromlen : 0,
			     .msg_iov = &iov,
			     .msg_iovlen = 1};
	struct rx rx;
	ssize_t n;

	rx_begin(&rx, fd, st, &msg, flags);
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
	struct fd_state *st = sock_ours(fd);

	if (!st)
		return REAL(recv)(fd, buf, len, flags);

	struct iovec iov = {buf, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct rx rx;

	rx_begin(&rx, fd, st, &msg, flags);
	return rx_end(&rx, &msg,
		      rx.substituted ? rx_receive(&rx, flags) : REAL(recv)(fd, buf, len, flags));
}

SHIM_EXPORT ssize_t read(int fd, void *buf, size_t len)
{
	/* a read of nothing takes nothing out of a socket, a recv of nothing does */
	struct fd_state *st = len ? sock_ours(fd) : NULL;

	if (!st)
		return REAL(read)(fd, buf, len);

	struct iovec iov = {buf, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct rx rx;

	rx_begin(&rx, fd, st, &msg, 0);
	ssize_t n = rx.substituted ? rx_receive(&rx, 0) : REAL(read)(fd, buf, len);
	return rx.gone ? REAL(read)(fd, buf, len) : rx_end(&rx, &msg, n);
}

SHIM_EXPORT ssize_t readv(int fd, const struct iovec *iov, int iovcnt)
{
	bool empty = !iov || iovcnt <= 0 || iovcnt > IOV_MAX || !iov_total(iov, (size_t)iovcnt);
	struct fd_state *st = empty ? NULL : sock_ours(fd);

	if (!st)
		return REAL(readv)(fd, iov, iovcnt);

	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)iovcnt};
	struct rx rx;

	rx_begin(&rx, fd, st, &msg, 0);
	ssize_t n = rx.substituted ? rx_receive(&rx, 0) : REAL(readv)(fd, iov, iovcnt);
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
