// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A library between libconnmarkshim and the C library that loses something with every 20th socket:
 * LEAK=descriptor, one of them; LEAK=memory, 64 KiB that have been written to. LEAK=crash ends the process with the
 * 2000th.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVERY = 20, LAST = 2000, LOST_OCTETS = 64 << 10 };

static void lose(int fd)
{
	const char *what = getenv("LEAK");

	if (!what)
		return;
	if (!strcmp(what, "descriptor"))
		(void)!dup(fd);
	else if (!strcmp(what, "memory"))
		memset(malloc(LOST_OCTETS), 1, LOST_OCTETS);
}

__attribute__((visibility("default"))) int socket(int domain, int type, int protocol)
{
	static atomic_ulong calls;
	int (*real)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
	int fd = real(domain, type, protocol), saved = errno;
	unsigned long number = atomic_fetch_add(&calls, 1) + 1;
	const char *what = getenv("LEAK");

	if (fd >= 0 && number % EVERY == 0)
		lose(fd);
	if (number == LAST && what && !strcmp(what, "crash"))
		abort();
	errno = saved;
	return fd;
}
