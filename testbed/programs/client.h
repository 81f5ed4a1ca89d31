/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A resolver's surroundings within its own process: clients whose flows have marks, and an upstream that tells the
 * marks of what arrives there. Both by system calls that the library does not look at.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "show.h"

#include <poll.h>
#include <sys/syscall.h>

enum { UPSTREAM_PORT = 5301 };

#ifndef SO_RCVMARK
#define SO_RCVMARK 75 /* Linux 5.19 */
#endif

/* Client n, at 127.0.1.n, asks the server at 127.0.0.1; its flow's mark is n. The client's socket is returned. */
static inline int client_asks(int n, unsigned id, const char *name)
{
	char query[512], address[] = "127.0.1.0";
	size_t length = dns_query(query, id, name);

	address[sizeof(address) - 2] = (char)('0' + n);
	struct sockaddr_in from = v4(address, 0), to = v4("127.0.0.1", SERVER_PORT);
	int fd = (int)syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0);

	NEED(fd >= 0 && syscall(SYS_bind, fd, &from, sizeof(from)) == 0);
	NEED(syscall(SYS_sendto, fd, query, length, 0, &to, sizeof(to)) == (long)length);
	return fd;
}

/* The thread waits for events: what it received before is not what it acts upon now. */
static inline void turn_ends(void)
{
	NEED(poll(NULL, 0, 0) == 0);
}

/* Client n asks, and the server takes the query in a turn of its own. Returns its length. */
static inline size_t query_of(int n, const char *name, int server, void *query)
{
	int client = client_asks(n, (unsigned)n, name);

	turn_ends();
	ssize_t length = recv(server, query, 512, 0);

	NEED(length > 0);
	turn_ends();
	NEED(syscall(SYS_close, client) == 0);
	return (size_t)length;
}

/* The same, behind its length. */
static inline size_t frame_of(int n, const char *name, int server, void *frame)
{
	uint8_t *p = frame;
	size_t length = query_of(n, name, server, p + 2);

	p[0] = (uint8_t)(length >> 8);
	p[1] = (uint8_t)length;
	return length + 2;
}

static inline unsigned socket_mark(int fd)
{
	unsigned mark = 0;
	socklen_t len = sizeof(mark);

	/* the kernel's word: getsockopt shows what the program itself set */
	NEED(syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_MARK, &mark, &len) == 0);
	return mark;
}

/* An upstream's UDP socket. */
static inline int upstream(void)
{
	struct sockaddr_in at = v4("127.0.0.1", UPSTREAM_PORT);
	int fd = (int)syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0), on = 1;

	NEED(fd >= 0 && syscall(SYS_bind, fd, &at, sizeof(at)) == 0);
	NEED(syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVMARK, &on, sizeof(on)) == 0);
	return fd;
}

/* The mark of the next datagram that has arrived there; -1: there is none. from may be NULL. */
static inline int arrived_mark(int fd, struct sockaddr_in *from)
{
	char data[512];
	_Alignas(struct cmsghdr) char control[64];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_name = from,
			   .msg_namelen = from ? sizeof(*from) : 0,
			   .msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	int mark = 0;

	if (syscall(SYS_recvmsg, fd, &m, MSG_DONTWAIT) < 0)
		return -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_MARK)
			memcpy(&mark, CMSG_DATA(c), sizeof(mark));
	return mark;
}

/* A UDP socket connected to the upstream. */
static inline int to_upstream(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	NEED(fd >= 0);
	connect_to(fd, "127.0.0.1", UPSTREAM_PORT);
	return fd;
}

#endif
