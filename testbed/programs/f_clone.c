// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A child that is made past fork(3), by the bare system call: it has the parent's netlink socket, on which answers are
 * anybody's. It asks by one of its own, and the parent goes on asking by its own.
 */
#include "client.h"

#include <signal.h>
#include <sys/wait.h>

static int server, at;

/* What tells the parent's netlink socket from others, and how many others there are. */
static unsigned others_than(uint64_t *first)
{
	unsigned others = 0;

	for (int fd = 3; fd < 64; fd++) {
		int domain = 0;
		uint64_t cookie = 0;
		socklen_t len = sizeof(domain), cookie_len = sizeof(cookie);

		if (syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0 ||
		    domain != AF_NETLINK)
			continue;
		NEED(syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_COOKIE, &cookie, &cookie_len) == 0);
		if (!*first)
			*first = cookie;
		others += cookie != *first;
	}
	return others;
}

static void ask(const char *who, int n, const char *name)
{
	char query[512];
	size_t length = query_of(n, name, server, query);
	int fd = to_upstream();

	NEED(send(fd, query, length, 0) == (ssize_t)length);
	printf("%s: mark %d\n", who, arrived_mark(at, NULL));
	NEED(close(fd) == 0);
}

int main(void)
{
	uint64_t parents = 0;
	int status;

	server = bound_udp("127.0.0.1", SERVER_PORT);
	at = upstream();
	ask("the parent", 1, "before.test");
	NEED(others_than(&parents) == 0 && parents);
	fflush(stdout);

	long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	NEED(child >= 0);
	if (!child) {
		ask("its child", 2, "child.test");
		printf("its child: %u netlink sockets that are not the parent's\n",
		       others_than(&parents));
		fflush(stdout);
		_exit(0);
	}
	NEED(waitpid((pid_t)child, &status, 0) == child && status == 0);
	ask("the parent", 3, "after.test");
	printf("the parent: %u netlink sockets besides\n", others_than(&parents));
	return 0;
}
