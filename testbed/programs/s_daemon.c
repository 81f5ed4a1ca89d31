// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What daemons do when they start: all descriptors are closed, also the library's netlink socket, whose number a file
 * has afterwards. Marks must be found again, and the file be left alone.
 *
 *     s_daemon close|close_range|closefrom|syscall|dup2|fclose
 */
#include "client.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { FIRST = 3, LAST = 63 };

static int find_netlink(void)
{
	for (int fd = FIRST; fd <= LAST; fd++) {
		int domain = 0;
		socklen_t len = sizeof(domain);

		if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
		    domain == AF_NETLINK)
			return fd;
	}
	return -1;
}

static void close_one(const char *how, int fd)
{
	FILE *file;

	if (strcmp(how, "syscall") == 0) {
		syscall(SYS_close, fd);
	} else if (strcmp(how, "dup2") == 0) {
		NEED(dup2(STDIN_FILENO, fd) == fd && close(fd) == 0);
	} else if (strcmp(how, "fclose") == 0) {
		if (fcntl(fd, F_GETFD) >= 0 && (file = fdopen(fd, "r")))
			fclose(file);
	} else {
		close(fd);
	}
}

static void close_all(const char *how)
{
	if (strcmp(how, "close_range") == 0)
		NEED(close_range(FIRST, LAST, 0) == 0);
	else if (strcmp(how, "closefrom") == 0)
		closefrom(FIRST);
	else
		for (int fd = FIRST; fd <= LAST; fd++)
			close_one(how, fd);
}

/* Files on all numbers up to this one. Returns the file there. */
static int occupy(int number)
{
	char name[] = "/tmp/daemon.XXXXXX";
	int fd = mkstemp(name);

	NEED(fd >= 0 && unlink(name) == 0);
	return fd < number ? occupy(number) : fd;
}

static void ask(int n, const char *name)
{
	static int server, at;
	char query[512];

	server = bound_udp("127.0.0.1", SERVER_PORT);
	at = upstream();
	size_t length = query_of(n, name, server, query);
	int fd = to_upstream();

	errno = UNTOUCHED;
	show_result("query", send(fd, query, length, 0));
	printf("  mark %d\n", arrived_mark(at, NULL));
	NEED(close(fd) == 0 && close(server) == 0 && syscall(SYS_close, at) == 0);
}

int main(int argc, char **argv)
{
	struct stat status;

	ask(1, "before.test");
	int netlink = find_netlink();

	printf("netlink socket: %s\n", netlink < 0 ? "none" : "there");
	close_all(argc > 1 ? argv[1] : "close");
	printf("netlink socket: %s\n", find_netlink() < 0 ? "none" : "there");
	int file = occupy(netlink < 0 ? FIRST : netlink);

	NEED(netlink < 0 || file == netlink);
	ask(2, "after.test");
	ask(3, "later.test");
	SHOW(fstat(file, &status));
	printf("  a file of %ld bytes\n", S_ISREG(status.st_mode) ? (long)status.st_size : -1);
	SHOW(write(file, "abc", 3));
	return 0;
}
