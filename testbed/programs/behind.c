// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A library between libconnmarkshim and the C library: before each call that sends, and behind it before it returns, it
 * calls the functions that the program has put into before_send and behind_send. So the moments are held in which a
 * thread is about to send, and in which it has sent and has not come back.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

void (*before_send)(void);
void (*behind_send)(void);

static void before(void)
{
	if (before_send)
		before_send();
}

static void behind(void)
{
	if (behind_send)
		behind_send();
}

ssize_t sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *to,
	       socklen_t to_len)
{
	ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) =
		dlsym(RTLD_NEXT, "sendto");

	before();
	ssize_t n = real(fd, data, len, flags, to, to_len);

	behind();
	return n;
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	ssize_t (*real)(int, const void *, size_t, int) = dlsym(RTLD_NEXT, "send");

	before();
	ssize_t n = real(fd, data, len, flags);

	behind();
	return n;
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");

	before();
	ssize_t n = real(fd, msg, flags);

	behind();
	return n;
}

int sendmmsg(int fd, struct mmsghdr *msgs, unsigned count, int flags)
{
	int (*real)(int, struct mmsghdr *, unsigned, int) = dlsym(RTLD_NEXT, "sendmmsg");

	before();
	int n = real(fd, msgs, count, flags);

	behind();
	return n;
}
