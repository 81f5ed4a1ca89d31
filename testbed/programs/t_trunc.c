// SPDX-License-Identifier: GPL-2.0-or-later
/* MSG_TRUNC: datagrams longer than the buffer, their real length, and TCP's bytes thrown away (tcp(7)). */
#include "show.h"

static char query[512];
static size_t length;

static void message(int server, size_t room, int flags)
{
	char data[512] = {0};
	struct sockaddr_in from;
	struct iovec iov = {room ? data : NULL, room};
	struct msghdr m = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};

	SHOW(recvmsg(server, &m, flags));
	show_message(&m);
	show_bytes("data", data, room + 1);
}

static void udp(int server, int client)
{
	char data[512] = {0};
	struct iovec iov[2] = {{data, 4}, {data + 8, 3}};
	struct mmsghdr many[3] = {{.msg_hdr = {.msg_iov = iov, .msg_iovlen = 2}},
				  {.msg_hdr = {.msg_iov = iov, .msg_iovlen = 1}},
				  {.msg_hdr = {.msg_iov = iov, .msg_iovlen = 0}}};

	for (int i = 0; i < 11; i++)
		NEED(send(client, query, length, 0) == (ssize_t)length);
	SHOW(recv(server, data, 3, 0));
	SHOW(recv(server, data, 3, MSG_TRUNC));
	SHOW(recv(server, NULL, 0, MSG_TRUNC));
	SHOW(recv(server, NULL, 40, MSG_TRUNC));
	SHOW(read(server, data, 13));
	message(server, 12, 0);
	message(server, 13, MSG_TRUNC);
	message(server, 0, MSG_TRUNC);
	SHOW(recvmmsg(server, many, 3, MSG_TRUNC, NULL));
	for (int i = 0; i < 3; i++) {
		printf("  msg_len %u\n", many[i].msg_len);
		show_message(&many[i].msg_hdr);
	}
	SHOW(recv(server, data, sizeof(data), MSG_DONTWAIT));
}

static void tcp(int from, int to)
{
	char data[512] = {0}, frame[512];
	size_t n = dns_frame(frame, 7, "thrown.away.test");

	for (int i = 0; i < 4; i++)
		NEED(send(from, frame, n, 0) == (ssize_t)n);
	SHOW(recv(to, NULL, 20, MSG_TRUNC | MSG_WAITALL));
	SHOW(recv(to, NULL, n - 20, MSG_TRUNC));
	SHOW(recv(to, data, 2, MSG_TRUNC));
	show_bytes("data", data, 4);
	SHOW(recv(to, NULL, 0, MSG_TRUNC));
	message(to, 2, MSG_TRUNC);
	SHOW(recvfrom(to, NULL, 4, MSG_TRUNC, NULL, NULL));
	SHOW(recv(to, NULL, 512, MSG_TRUNC));
	SHOW(send(from, frame, n, 0));
	SHOW(recv(to, data, sizeof(data), 0));
	show_bytes("data", data, n);
}

int main(void)
{
	int any = bound_udp("0.0.0.0", SERVER_PORT), one = bound_udp("127.0.0.1", SERVER_PORT + 1);
	int client = bound_udp("127.0.0.1", CLIENT_PORT), pair[2];

	length = dns_query(query, 1, "truncated.test");
	connect_to(client, "127.0.0.1", SERVER_PORT);
	udp(any, client);
	connect_to(client, "127.0.0.1", SERVER_PORT + 1);
	udp(one, client);
	tcp_pair(pair, SERVER_PORT + 2);
	tcp(pair[0], pair[1]);
	tcp(pair[1], pair[0]);
	return 0;
}
