// SPDX-License-Identifier: GPL-2.0-or-later
/* The same for IPv6: IPV6_RECVPKTINFO, hop limit and traffic class, from IPv6 and IPv4 clients of one socket. */
#include "show.h"

static char query[512];
static size_t length;

static int server6(const char *address, int port)
{
	struct sockaddr_in6 sin6 = v6(address, port);
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	NEED(fd >= 0 && bind(fd, (struct sockaddr *)&sin6, sizeof(sin6)) == 0);
	limit_wait(fd);
	return fd;
}

static void receive(int server, int client, size_t size)
{
	char data[512];
	_Alignas(struct cmsghdr) char control[256] = {0};
	struct sockaddr_in6 from;
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_name = &from,
			   .msg_namelen = sizeof(from),
			   .msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = size};
	struct mmsghdr many = {.msg_hdr = m};

	printf("control buffer of %zu\n", size);
	for (int i = 0; i < 2; i++)
		NEED(send(client, query, length, 0) == (ssize_t)length);
	SHOW(recvmsg(server, &m, 0));
	show_message(&m);
	SHOW(recvmmsg(server, &many, 1, 0, NULL));
	printf("  msg_len %u\n", many.msg_len);
	show_message(&many.msg_hdr);
}

static void every_size(int server, int client)
{
	for (size_t size = 0; size <= 160; size++)
		receive(server, client, size);
	receive(server, client, 256);
}

int main(void)
{
	struct sockaddr_in6 to = v6("::1", SERVER_PORT);
	int any = server6("::", SERVER_PORT), one = server6("::1", SERVER_PORT + 1);
	int client4 = bound_udp("127.0.0.1", CLIENT_PORT), client6 = server6("::1", CLIENT_PORT);

	length = dns_query(query, 1, "six.test");
	connect_to(client4, "127.0.0.1", SERVER_PORT);
	NEED(connect(client6, (struct sockaddr *)&to, sizeof(to)) == 0);
	receive(any, client4, 256);
	receive(any, client6, 256);
	turn_on(any, SOL_IPV6, IPV6_RECVPKTINFO);
	every_size(any, client6);
	turn_on(any, SOL_IP, IP_PKTINFO);
	every_size(any, client4);
	turn_on(any, SOL_IPV6, IPV6_RECVHOPLIMIT);
	turn_on(any, SOL_IPV6, IPV6_RECVTCLASS);
	every_size(any, client6);
	every_size(any, client4);
	to = v6("::1", SERVER_PORT + 1);
	NEED(connect(client6, (struct sockaddr *)&to, sizeof(to)) == 0);
	turn_on(one, SOL_IPV6, IPV6_RECVPKTINFO);
	every_size(one, client6);
	return 0;
}
