// SPDX-License-Identifier: GPL-2.0-or-later
/* MSG_PEEK: looking at a message leaves it where it is, with every receiving call, on UDP and TCP. */
#include "show.h"

static char data[512];

static void peek_udp(int server, int client)
{
	struct sockaddr_in from = {0};
	socklen_t len = sizeof(from);
	struct iovec iov = {data, sizeof(data)};
	_Alignas(struct cmsghdr) char control[128];
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct mmsghdr many = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
	char query[512];
	size_t n = dns_query(query, 1, "peek.test");

	NEED(send(client, query, n, 0) == (ssize_t)n);
	SHOW(recv(server, data, sizeof(data), MSG_PEEK));
	SHOW(recv(server, data, 5, MSG_PEEK));
	SHOW(recv(server, data, 5, MSG_PEEK | MSG_TRUNC));
	SHOW(recv(server, NULL, 0, MSG_PEEK | MSG_TRUNC));
	SHOW(recvfrom(server, data, sizeof(data), MSG_PEEK, (struct sockaddr *)&from, &len));
	show_name(&from, len);
	SHOW(recvmsg(server, &m, MSG_PEEK));
	show_message(&m);
	SHOW(recvmmsg(server, &many, 1, MSG_PEEK, NULL));
	printf("  msg_len %u\n", many.msg_len);
	show_message(&many.msg_hdr);
	SHOW(recv(server, data, sizeof(data), 0));
	show_bytes("data", data, n);
	SHOW(recv(server, data, sizeof(data), MSG_DONTWAIT));
}

static void peek_tcp(int server, int client)
{
	char frame[512];
	size_t n = dns_frame(frame, 2, "stream.test");

	NEED(send(client, frame, n, 0) == (ssize_t)n);
	SHOW(recv(server, data, 2, MSG_PEEK | MSG_WAITALL));
	SHOW(recv(server, data, sizeof(data), MSG_PEEK));
	SHOW(recv(server, data, 2, 0));
	SHOW(recv(server, data, sizeof(data), MSG_PEEK));
	SHOW(recv(server, data, sizeof(data), 0));
	show_bytes("data", data, n - 2);
	SHOW(recv(server, data, sizeof(data), MSG_PEEK | MSG_DONTWAIT));
}

int main(void)
{
	int any = bound_udp("0.0.0.0", SERVER_PORT), one = bound_udp("127.0.0.2", SERVER_PORT + 1);
	int client = bound_udp("127.0.0.1", CLIENT_PORT), tcp[2];

	connect_to(client, "127.0.0.1", SERVER_PORT);
	peek_udp(any, client);
	connect_to(client, "127.0.0.2", SERVER_PORT + 1);
	peek_udp(one, client);
	connect_to(one, "127.0.0.1", CLIENT_PORT);
	peek_udp(one, client);
	tcp_pair(tcp, SERVER_PORT + 2);
	peek_tcp(tcp[1], tcp[0]);
	peek_tcp(tcp[0], tcp[1]);
	return 0;
}
