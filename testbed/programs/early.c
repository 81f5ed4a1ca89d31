// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A library whose constructor and destructor use what libconnmarkshim stands before: placed behind it in LD_PRELOAD,
 * its constructor runs before that one's, and its destructor after. EARLY=WHAT has them say that they were here.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEED(x)                                                           \
	do {                                                              \
		if (!(x)) {                                               \
			dprintf(STDOUT_FILENO, "early: %s failed\n", #x); \
			_exit(99);                                        \
		}                                                         \
	} while (0)

/* What looks like a query; nobody is there to have asked it. */
static const char query[] = "\0\7\1\0\0\1\0\0\0\0\0\0\5early\4test\0\0\1\0\1";

static void datagrams(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), epoll = epoll_create1(0), twin;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct epoll_event event = {.events = EPOLLIN};
	char data[512];

	NEED(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	NEED(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
	NEED(connect(fd, (struct sockaddr *)&at, len) == 0);
	NEED(send(fd, query, sizeof(query) - 1, 0) == sizeof(query) - 1);
	NEED(poll(&p, 1, 1000) == 1);
	NEED(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
	NEED(epoll_wait(epoll, &event, 1, 1000) == 1);
	NEED((twin = dup(fd)) >= 0);
	NEED(recv(twin, data, sizeof(data), 0) == sizeof(query) - 1);
	NEED(memcmp(data, query, sizeof(query) - 1) == 0);
	NEED(close(twin) == 0 && close(fd) == 0 && close(epoll) == 0);
}

static void rest(void)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found = NULL;
	int ends[2];
	char byte = 'x';

	NEED(getaddrinfo("localhost", "53", &hints, &found) == 0);
	freeaddrinfo(found);
	NEED(pipe(ends) == 0 && write(ends[1], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1);
	NEED(close(ends[0]) == 0 && close(ends[1]) == 0);
	NEED(syscall(SYS_gettid) > 0);
	NEED(setresuid(getuid(), (uid_t)-1, (uid_t)-1) == 0);
}

static void use_all(const char *when)
{
	const char *what = getenv("EARLY");

	if (!what)
		return;
	datagrams();
	rest();
	dprintf(STDOUT_FILENO, "%s: %s\n", what, when);
}

__attribute__((constructor)) static void begin(void)
{
	use_all("before the program");
}

__attribute__((destructor)) static void end(void)
{
	use_all("after the program");
}
