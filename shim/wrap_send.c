// SPDX-License-Identifier: GPL-2.0-or-later
/* The sending calls. Each hands its message to tx_send, with itself as what to do where nothing is
 * to change. */
#include "real.h"
#include "tx.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

/* A call's arguments, as it was made. */
struct call {
	int fd, flags;
	const struct msghdr *msg;
};

static ssize_t plain_sendmsg(void *ctx)
{
	const struct call *c = ctx;

	return REAL(sendmsg)(c->fd, c->msg, c->flags);
}

static ssize_t plain_sendto(void *ctx)
{
	const struct call *c = ctx;

	return REAL(sendto)(c->fd, c->msg->msg_iov->iov_base, c->msg->msg_iov->iov_len, c->flags,
			    c->msg->msg_name, c->msg->msg_namelen);
}

static ssize_t plain_send(void *ctx)
{
	const struct call *c = ctx;

	return REAL(send)(c->fd, c->msg->msg_iov->iov_base, c->msg->msg_iov->iov_len, c->flags);
}

static ssize_t plain_write(void *ctx)
{
	const struct call *c = ctx;

	return REAL(write)(c->fd, c->msg->msg_iov->iov_base, c->msg->msg_iov->iov_len);
}

static ssize_t plain_writev(void *ctx)
{
	const struct call *c = ctx;

	return REAL(writev)(c->fd, c->msg->msg_iov, (int)c->msg->msg_iovlen);
}

SHIM_EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct call call = {fd, flags, msg};

	return tx_send(fd, msg, flags, plain_sendmsg, &call);
}

SHIM_EXPORT ssize_t sendto(int fd, const void *buf, size_t len, int flags,
			   const struct sockaddr *to, socklen_t tolen)
{
	struct iovec iov = {(void *)buf, len};
	struct msghdr msg = {
		.msg_name = (void *)to, .msg_namelen = tolen, .msg_iov = &iov, .msg_iovlen = 1};
	struct call call = {fd, flags, &msg};

	/* an address without a length is the kernel's to refuse */
	return to && (!tolen || tolen > sizeof(struct sockaddr_storage))
		       ? plain_sendto(&call)
		       : tx_send(fd, &msg, flags, plain_sendto, &call);
}

SHIM_EXPORT ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	struct iovec iov = {(void *)buf, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct call call = {fd, flags, &msg};

	return tx_send(fd, &msg, flags, plain_send, &call);
}

SHIM_EXPORT ssize_t write(int fd, const void *buf, size_t len)
{
	struct iovec iov = {(void *)buf, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct call call = {fd, 0, &msg};

	return tx_send(fd, &msg, 0, plain_write, &call);
}

SHIM_EXPORT ssize_t writev(int fd, const struct iovec *iov, int iovcnt)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)iovcnt};
	struct call call = {fd, 0, &msg};

	if (!iov || iovcnt <= 0 || iovcnt > IOV_MAX)
		return REAL(writev)(fd, iov, iovcnt);
	return tx_send(fd, &msg, 0, plain_writev, &call);
}

SHIM_EXPORT int sendmmsg(int fd, struct mmsghdr *vec, unsigned vlen, COMPAT_MMSG_FLAGS flags)
{
	return tx_sendmmsg(fd, vec, vlen, (int)flags);
}

SHIM_EXPORT int connect(int fd, const struct sockaddr *to, socklen_t tolen)
{
	return tx_connect(fd, to, tolen);
}
