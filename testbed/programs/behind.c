// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A library between libconnmarkshim and the C library: behind each call that sends, before it returns, it calls the
 * function that the program has put into behind_send. So the moment in which a thread has sent and has not come back is
 * held.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

void (*behind_send)(void);

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
	ssize_t n = real(fd, data, len, flags, to, to_len);

	behind();
	return n;
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	ssize_t (*real)(int, const void *, size_t, int) = dlsym(RTLD_NEXT, "send");
	ssize_t n = real(fd, data, len, flags);

	behind();
	return n;
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");
	ssize_t n = real(fd, msg, flags);

	behind();
	return n;
}

int sendmmsg(int fd, struct mmsghdr *msgs, unsigned count, int flags)
{
	int (*real)(int, struct mmsghdr *, unsigned, int) = dlsym(RTLD_NEXT, "sendmmsg");
	int n = real(fd, msgs, count, flags);

	behind();
	return n;
}
