// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program that asks for what the library asks for as well, IP_RECVORIGDSTADDR: before its first receive, after it,
 * and no more; and what getsockopt says of it, and of the marks.
 */
#include "show.h"

#include <linux/in6.h>

static char query[512];
static size_t length;
static int client;

static void receive(int server)
{
	char data[512];
	_Alignas(struct cmsghdr) char control[256];
	struct sockaddr_storage from;
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_name = &from,
			   .msg_namelen = sizeof(from),
			   .msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};

	NEED(send(client, query, length, 0) == (ssize_t)length);
	SHOW(recvmsg(server, &m, 0));
	show_message(&m);
}

static void show_option(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	SHOW(getsockopt(fd, level, option, &value, &len));
	printf("  level %d option %d: %d\n", level, option, value);
}

static void set(int fd, int value)
{
	SHOW(setsockopt(fd, SOL_IP, IP_RECVORIGDSTADDR, &value, sizeof(value)));
}

static void ask(bool first)
{
	int server = bound_udp("0.0.0.0", SERVER_PORT);

	printf("asks %s its first receive\n", first ? "before" : "after");
	connect_to(client, "127.0.0.1", SERVER_PORT);
	if (!first) {
		receive(server);
		show_option(server, SOL_IP, IP_RECVORIGDSTADDR);
	}
	set(server, 1);
	receive(server);
	show_option(server, SOL_IP, IP_RECVORIGDSTADDR);
	turn_on(server, SOL_IP, IP_PKTINFO);
	receive(server);
	set(server, 0);
	receive(server);
	show_option(server, SOL_IP, IP_RECVORIGDSTADDR);
	set(server, 1);
	receive(server);
	NEED(close(server) == 0);
}

/* On one socket both families' messages: the program asks for the other one. */
static void both_families(void)
{
	struct sockaddr_in6 any = v6("::", SERVER_PORT);
	int server = socket(AF_INET6, SOCK_DGRAM, 0);

	NEED(server >= 0 && bind(server, (struct sockaddr *)&any, sizeof(any)) == 0);
	connect_to(client, "127.0.0.1", SERVER_PORT);
	receive(server);
	show_option(server, SOL_IPV6, IPV6_RECVORIGDSTADDR);
	turn_on(server, SOL_IPV6, IPV6_RECVORIGDSTADDR);
	receive(server);
	show_option(server, SOL_IP, IP_RECVORIGDSTADDR);
	NEED(close(server) == 0);
}

int main(void)
{
	client = bound_udp("127.0.0.1", CLIENT_PORT);
	length = dns_query(query, 1, "destination.test");
	ask(true);
	ask(false);
	both_families();
	return 0;
}
