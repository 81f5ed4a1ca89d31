// SPDX-License-Identifier: GPL-2.0-or-later
/* SCM_RIGHTS and credentials over UNIX sockets, in control buffers of every size; an internet socket that came so. */
#include "show.h"

#include <sys/un.h>

static void pass(int to, int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(fd))] = {0};
	struct iovec iov = {"fd", 2};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	NEED(sendmsg(to, &m, 0) == 2);
}

/* Receives what was passed; returns the descriptor, or -1. */
static int take(int from, size_t size, int flags)
{
	_Alignas(struct cmsghdr) char control[256] = {0};
	char data[8];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = size};
	int fd = -1;

	SHOW(recvmsg(from, &m, flags));
	show_message(&m);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_type == SCM_RIGHTS && c->cmsg_len >= CMSG_LEN(sizeof(fd)))
			memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void use(int server, int client)
{
	char query[512], data[512];
	size_t n = dns_query(query, 1, "passed.test");
	struct iovec iov = {data, sizeof(data)};
	_Alignas(struct cmsghdr) char control[128];
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};

	NEED(send(client, query, n, 0) == (ssize_t)n);
	SHOW(recvmsg(server, &m, 0));
	show_message(&m);
}

int main(void)
{
	int server = bound_udp("0.0.0.0", SERVER_PORT),
	    client = bound_udp("127.0.0.1", CLIENT_PORT);
	int local[2];

	NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, local) == 0);
	connect_to(client, "127.0.0.1", SERVER_PORT);
	for (size_t size = 0; size <= CMSG_SPACE(sizeof(int)) + 8; size++) {
		printf("control buffer of %zu\n", size);
		pass(local[0], server);
		int fd = take(local[1], size, size & 1 ? MSG_CMSG_CLOEXEC : 0);

		if (fd >= 0) {
			use(fd, client);
			SHOW(close(fd));
		}
		use(server, client);
	}
	pass(local[0], server);
	NEED(close(server) == 0);
	int fd = take(local[1], 256, 0);

	use(fd, client);
	turn_on(local[1], SOL_SOCKET, SO_PASSCRED);
	pass(local[0], fd);
	fd = take(local[1], 256, 0);
	use(fd, client);
	return 0;
}
