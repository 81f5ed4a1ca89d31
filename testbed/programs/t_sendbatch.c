// SPDX-License-Identifier: GPL-2.0-or-later
/* sendmmsg: no vector, partial sends, more messages than are handled at once; and what arrives of them. */
#include "show.h"

enum { MOST = 1100 };

static struct mmsghdr vec[MOST];
static struct iovec iov[MOST];
static char query[MOST][64];
static struct sockaddr_in to;

static void prepare(bool named)
{
	for (int i = 0; i < MOST; i++) {
		size_t n = dns_query(query[i], (unsigned)i, "batch.test");

		iov[i] = (struct iovec){query[i], n};
		vec[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1},
					  .msg_len = 12345};
		if (named)
			vec[i].msg_hdr.msg_name = &to;
		if (named)
			vec[i].msg_hdr.msg_namelen = sizeof(to);
	}
}

static void show_vector(int n)
{
	for (int i = 0; i < n; i++) {
		printf("%d: length %u", i, vec[i].msg_len);
		show_message(&vec[i].msg_hdr);
	}
}

static void arrived(int server)
{
	unsigned char data[512];
	ssize_t n;
	int count = 0;
	unsigned sum = 0;

	while ((n = recv(server, data, sizeof(data), MSG_DONTWAIT)) >= 0) {
		count++;
		sum = sum * 31 + (n > 1 ? data[0] * 256U + data[1] : 0) + (unsigned)n;
	}
	printf("arrived: %d, sum %u\n", count, sum);
}

static void batches(int client, int server, bool named)
{
	static const char answer[] = "\0\1\x81\x80\0\1\0\0\0\0\0\0\1a\0\0\1\0\1";

	for (int n = 1; n <= 66; n += n < 30 ? 15 : 1) {
		prepare(named);
		SHOW(sendmmsg(client, vec, (unsigned)n, 0));
		show_vector(n + 1);
		arrived(server);
	}
	SHOW(sendmmsg(client, NULL, 0, 0));
	SHOW(sendmmsg(client, vec, 0, 0));
	SHOW(sendmmsg(client, NULL, 1, 0));
	for (int bad = 0; bad < 40; bad += 13) {
		prepare(named);
		iov[bad].iov_base = NULL;
		SHOW(sendmmsg(client, vec, 50, 0));
		show_vector(50);
		arrived(server);
	}
	prepare(named);
	iov[1].iov_len = 0;
	iov[2] = (struct iovec){(char *)answer, sizeof(answer) - 1};
	vec[3].msg_hdr.msg_iovlen = 0;
	vec[4].msg_hdr.msg_namelen = named ? 3 : 0;
	SHOW(sendmmsg(client, vec, 6, 0));
	show_vector(6);
	arrived(server);
	prepare(named);
	SHOW(sendmmsg(client, vec, MOST, 0));
	show_vector(MOST);
	arrived(server);
}

int main(void)
{
	int server = bound_udp("127.0.0.1", SERVER_PORT),
	    client = bound_udp("127.0.0.1", CLIENT_PORT);
	int alone = socket(AF_INET, SOCK_DGRAM, 0), tcp[2];

	to = v4("127.0.0.1", SERVER_PORT);
	large_buffer(server);
	batches(client, server, true);
	connect_to(client, "127.0.0.1", SERVER_PORT);
	batches(client, server, false);
	prepare(false);
	SHOW(sendmmsg(alone, vec, 3, 0)); /* no destination */
	SHOW(sendmmsg(-1, vec, 3, 0));
	tcp_pair(tcp, SERVER_PORT + 2);
	SHOW(sendmmsg(tcp[0], vec, 40, 0));
	show_vector(40);
	return 0;
}
