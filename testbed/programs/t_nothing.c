// SPDX-License-Identifier: GPL-2.0-or-later
/* Nothing at all: datagrams without a byte, reads and writes of no byte, vectors without a piece. */
#include "show.h"

static volatile int minus_one = -1;

static void send_nothing(int fd)
{
	struct iovec empty = {NULL, 0};
	struct msghdr none = {.msg_iov = NULL}, piece = {.msg_iov = &empty, .msg_iovlen = 1};
	struct mmsghdr many[2] = {{.msg_hdr = none}, {.msg_hdr = piece}};

	SHOW(send(fd, NULL, 0, 0));
	SHOW(send(fd, "", 0, 0));
	SHOW(sendto(fd, NULL, 0, 0, NULL, 0));
	SHOW(sendmsg(fd, &none, 0));
	SHOW(sendmsg(fd, &piece, 0));
	SHOW(sendmmsg(fd, many, 2, 0));
	printf("  msg_len %u %u\n", many[0].msg_len, many[1].msg_len);
	SHOW(write(fd, NULL, 0));
	SHOW(writev(fd, &empty, 1));
	SHOW(writev(fd, &empty, 0));
	SHOW(writev(fd, NULL, 0));
	SHOW(writev(fd, &empty, minus_one));
	SHOW(readv(fd, &empty, minus_one));
	SHOW(readv(fd, NULL, 0));
}

/* Takes what there is, with every call. What reads nothing must leave it there. */
static void receive_nothing(int fd)
{
	char data[8];
	struct sockaddr_in from = {0};
	socklen_t len = sizeof(from);
	struct iovec empty = {NULL, 0}, some = {data, sizeof(data)};
	struct msghdr none = {.msg_iov = NULL}, piece = {.msg_iov = &some, .msg_iovlen = 1};
	struct mmsghdr many[2] = {{.msg_hdr = none}, {.msg_hdr = piece}};

	SHOW(read(fd, NULL, 0));
	SHOW(readv(fd, &empty, 0));
	SHOW(readv(fd, &empty, 1));
	SHOW(recv(fd, NULL, 0, MSG_DONTWAIT));
	SHOW(recv(fd, data, sizeof(data), MSG_DONTWAIT));
	SHOW(recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from, &len));
	show_name(&from, len);
	SHOW(recvmsg(fd, &none, MSG_DONTWAIT));
	show_message(&none);
	SHOW(recvmmsg(fd, many, 2, MSG_DONTWAIT, NULL));
	printf("  msg_len %u %u\n", many[0].msg_len, many[1].msg_len);
	for (int n = 0; n < 20 && SHOW(recv(fd, data, sizeof(data), MSG_DONTWAIT)) >= 0; n++)
		;
}

static void pair(const char *what, int from, int to)
{
	char query[64];
	size_t n = dns_query(query, 1, "nothing.test");

	printf("%s\n", what);
	send_nothing(from);
	receive_nothing(to);
	NEED(send(from, query, n, 0) == (ssize_t)n);
	receive_nothing(to);
}

int main(void)
{
	int any = bound_udp("0.0.0.0", SERVER_PORT), one = bound_udp("127.0.0.1", SERVER_PORT + 1);
	int client = bound_udp("127.0.0.1", CLIENT_PORT), tcp[2], local[2], pipes[2];

	connect_to(client, "127.0.0.1", SERVER_PORT);
	pair("UDP, any address", client, any);
	connect_to(client, "127.0.0.1", SERVER_PORT + 1);
	pair("UDP, one address", client, one);
	connect_to(one, "127.0.0.1", CLIENT_PORT);
	pair("UDP, connected", one, client);
	tcp_pair(tcp, SERVER_PORT + 2);
	pair("TCP", tcp[0], tcp[1]);
	pair("TCP, the other way", tcp[1], tcp[0]);
	NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, local) == 0);
	pair("UNIX", local[0], local[1]);
	NEED(pipe(pipes) == 0);
	send_nothing(pipes[1]);
	SHOW(read(pipes[0], NULL, 0));
	return 0;
}
