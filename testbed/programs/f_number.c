// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The library's netlink socket is closed past it, and a socket of the program's gets the number: nothing is written into
 * that, nothing read from it, and it stays open. Marks are found all the same.
 *
 *     f_number tcp|udp|unix|route
 */
#include "client.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <sys/wait.h>

static int server, at, number = -1, peer = -1;
static const char *kind;

static int find_netlink(void)
{
	for (int fd = 3; fd < 64; fd++) {
		int domain = 0;
		socklen_t len = sizeof(domain);

		if (syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
		    domain == AF_NETLINK)
			return fd;
	}
	return -1;
}

static void ask(int n, const char *name)
{
	char query[512];
	size_t length = query_of(n, name, server, query);
	int fd = to_upstream();

	NEED(send(fd, query, length, 0) == (ssize_t)length);
	printf("%s: mark %d\n", name, arrived_mark(at, NULL));
	NEED(close(fd) == 0);
}

/* A socket of the program's, past the library, and with something to read. */
static int strangers_socket(void)
{
	static const struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
	} question = {.header = {.nlmsg_len = sizeof(question),
				 .nlmsg_type = RTM_GETLINK,
				 .nlmsg_flags = NLM_F_REQUEST,
				 .nlmsg_seq = 7},
		      .link = {.ifi_family = AF_UNSPEC, .ifi_index = 1}};
	struct sockaddr_in to = v4("127.0.0.1", UPSTREAM_PORT + 1);
	int pair[2];

	if (strcmp(kind, "route") == 0) {
		pair[0] = (int)syscall(SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
		NEED(syscall(SYS_sendto, pair[0], &question, sizeof(question), 0, NULL, 0) > 0);
		return pair[0];
	}
	if (strcmp(kind, "unix") == 0) {
		NEED(syscall(SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
	} else if (strcmp(kind, "tcp") == 0) {
		pair[0] = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
		int listener = bound(SOCK_STREAM, "127.0.0.1", UPSTREAM_PORT + 1);

		NEED(listen(listener, 1) == 0);
		NEED(syscall(SYS_connect, pair[0], &to, sizeof(to)) == 0);
		pair[1] = (int)syscall(SYS_accept, listener, NULL, NULL);
	} else {
		pair[0] = (int)syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0);
		pair[1] = bound(SOCK_DGRAM, "127.0.0.1", UPSTREAM_PORT + 1);
		struct sockaddr_in from;
		socklen_t len = sizeof(from);

		NEED(syscall(SYS_connect, pair[0], &to, sizeof(to)) == 0);
		NEED(syscall(SYS_getsockname, pair[0], &from, &len) == 0);
		NEED(syscall(SYS_connect, pair[1], &from, len) == 0);
	}
	peer = pair[1];
	NEED(syscall(SYS_sendto, peer, "from the peer", 13, 0, NULL, 0) == 13);
	return pair[0];
}

static void *replace_and_ask(void *unused)
{
	ask(1, "before.test");
	number = find_netlink();
	NEED(number >= 0);
	int fd = strangers_socket();
	FILE *file = fdopen(number, "r"); /* closes it past the library */

	NEED(file && fclose(file) == 0);
	NEED(syscall(SYS_dup2, fd, number) == number);
	ask(2, "after.test");
	ask(3, "later.test");
	return unused; /* and with the thread its netlink socket ends */
}

static void look(const char *who)
{
	char data[4096];
	ssize_t n = syscall(SYS_recvfrom, number, data, sizeof(data), MSG_DONTWAIT | MSG_PEEK, NULL,
			    NULL);
	const struct nlmsghdr *header = (const void *)data;

	if (n < 0)
		printf("%s: nothing to read: %s\n", who, strerrorname_np(errno));
	else if (peer < 0)
		printf("%s: answer %u is there\n", who, header->nlmsg_seq);
	else
		printf("%s: %.*s\n", who, (int)n, data);
	if (peer >= 0)
		printf("%s: what the peer got: %s\n", who,
		       syscall(SYS_recvfrom, peer, data, sizeof(data), MSG_DONTWAIT, NULL, NULL) < 0
			       ? strerrorname_np(errno)
			       : "something");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int status;

	kind = argc > 1 ? argv[1] : "";
	server = bound_udp("127.0.0.1", SERVER_PORT);
	at = upstream();
	NEED(pthread_create(&thread, NULL, replace_and_ask, NULL) == 0);
	NEED(pthread_join(thread, NULL) == 0);
	look("the program");
	pid_t child = fork();

	if (!child) {
		look("its child");
		exit(0);
	}
	NEED(child > 0 && waitpid(child, &status, 0) == child && status == 0);
	return 0;
}
