// SPDX-License-Identifier: GPL-2.0-or-later
/* A program that sets SO_MARK itself, as an option or as a control message, is told what it set. Needs CAP_NET_ADMIN. */
#include "show.h"

static char query[64], data[512];
static size_t length;

static void show_mark(int fd)
{
	unsigned mark = 0;
	socklen_t len = sizeof(mark);

	SHOW(getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &len));
	printf("  mark %u, length %u\n", mark, len);
}

static void set_mark(int fd, unsigned mark)
{
	SHOW(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)));
	show_mark(fd);
}

static void send_all(int fd, int to)
{
	SHOW(send(fd, query, length, 0));
	show_mark(fd);
	set_mark(fd, 9);
	SHOW(send(fd, query, length, 0));
	show_mark(fd);
	set_mark(fd, 0);
	SHOW(send(fd, query, length, 0));
	show_mark(fd);
	SHOW(send(fd, "xyz", 3, 0));
	show_mark(fd);
	while (SHOW(recv(to, data, length, MSG_DONTWAIT)) > 0)
		;
}

/* The message may be too short, be no SO_MARK, or have others beside it and nothing behind the last. */
static void send_message(int fd, size_t behind)
{
	_Alignas(struct cmsghdr) char control[128] = {0};
	struct iovec iov = {query, length};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = 2 * CMSG_SPACE(sizeof(int)) + behind};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int ttl = 9, mark = 5;

	c->cmsg_level = SOL_IP;
	c->cmsg_type = IP_TTL;
	c->cmsg_len = CMSG_LEN(sizeof(ttl));
	memcpy(CMSG_DATA(c), &ttl, sizeof(ttl));
	SHOW(sendmsg(fd, &m, 0)); /* the second one's length is 0 */
	m.msg_controllen = CMSG_SPACE(sizeof(ttl)) + behind;
	SHOW(sendmsg(fd, &m, 0));
	m.msg_controllen = CMSG_LEN(sizeof(ttl));
	SHOW(sendmsg(fd, &m, 0));
	m.msg_controllen = 2 * CMSG_SPACE(sizeof(ttl)) + behind;
	c = (struct cmsghdr *)(control + CMSG_SPACE(sizeof(ttl)));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SO_MARK;
	c->cmsg_len = CMSG_LEN(sizeof(mark));
	memcpy(CMSG_DATA(c), &mark, sizeof(mark));
	SHOW(sendmsg(fd, &m, 0));
	c->cmsg_len = CMSG_LEN(2);
	SHOW(sendmsg(fd, &m, 0));
	c->cmsg_type = 999;
	SHOW(sendmsg(fd, &m, 0));
	show_mark(fd);
}

int main(void)
{
	int client = bound_udp("127.0.0.1", CLIENT_PORT),
	    server = bound_udp("127.0.0.1", SERVER_PORT);
	struct sockaddr_in6 to = v6("::1", SERVER_PORT);
	int client6 = socket(AF_INET6, SOCK_DGRAM, 0), server6 = socket(AF_INET6, SOCK_DGRAM, 0),
	    tcp[2];

	length = dns_query(query, 1, "own.test");
	connect_to(client, "127.0.0.1", SERVER_PORT);
	show_mark(client);
	send_all(client, server);
	for (size_t behind = 0; behind <= 17; behind++)
		send_message(client, behind);
	NEED(bind(server6, (struct sockaddr *)&to, sizeof(to)) == 0);
	NEED(connect(client6, (struct sockaddr *)&to, sizeof(to)) == 0);
	send_all(client6, server6);
	tcp_pair(tcp, SERVER_PORT + 2);
	length = dns_frame(query, 1, "own.test");
	show_mark(tcp[0]);
	send_all(tcp[0], tcp[1]);
	return 0;
}
