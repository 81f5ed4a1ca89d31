// SPDX-License-Identifier: GPL-2.0-or-later
/* recvmmsg: no vector, partial batches, MSG_WAITFORONE, timeouts, and more messages than fit at once. */
#include "show.h"

enum { MOST = 1100 };

static char query[512];
static size_t length;
static int client;
static struct mmsghdr vec[MOST];
static struct iovec iov[MOST];
static struct sockaddr_in names[MOST];
static char data[MOST][64];

static void prepare(bool named)
{
	memset(data, 0, sizeof(data));
	for (int i = 0; i < MOST; i++) {
		iov[i] = (struct iovec){data[i], sizeof(data[i])};
		vec[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1},
					  .msg_len = 12345};
		if (named)
			vec[i].msg_hdr.msg_name = &names[i];
		if (named)
			vec[i].msg_hdr.msg_namelen = sizeof(names[i]);
	}
}

static void fill(int n)
{
	for (int i = 0; i < n; i++) {
		query[1] = (char)i;
		NEED(send(client, query, length, 0) == (ssize_t)length);
	}
}

/* Each message: its length, its first bytes, and what was said of it. Those behind the last are untouched. */
static void show_vector(int n)
{
	for (int i = 0; i < n; i++) {
		printf("%d: length %u id %02x%02x ", i, vec[i].msg_len, (uint8_t)data[i][0],
		       (uint8_t)data[i][1]);
		show_message(&vec[i].msg_hdr);
	}
}

static void batches(int server, bool named)
{
	struct timespec soon = {.tv_nsec = 30000000}, wrong = {.tv_nsec = -1}, now = {0};

	prepare(named);
	SHOW(recvmmsg(server, NULL, 0, 0, NULL));
	SHOW(recvmmsg(server, vec, 0, 0, NULL));
	SHOW(recvmmsg(server, vec, 2, MSG_DONTWAIT, NULL));
	fill(1);
	SHOW(recvmmsg(server, NULL, 1, MSG_DONTWAIT, NULL));
	SHOW(recvmmsg(server, vec, 3, 0, &wrong));
	fill(2);
	SHOW(recvmmsg(server, vec, 5, MSG_DONTWAIT, NULL));
	show_vector(6);
	fill(2);
	SHOW(recvmmsg(server, vec, 5, MSG_WAITFORONE, NULL));
	show_vector(6);
	fill(3);
	SHOW(recvmmsg(server, vec, 2, 0, NULL));
	SHOW(recvmmsg(server, vec, 2, 0, NULL)); /* one, then SO_RCVTIMEO */
	fill(2);
	SHOW(recvmmsg(server, vec, 5, 0, &soon));
	printf("time left: %d\n", soon.tv_sec || soon.tv_nsec);
	fill(2);
	SHOW(recvmmsg(server, vec, 1, 0, &now));
	SHOW(recvmmsg(server, vec, 4, MSG_DONTWAIT, NULL));
	for (int n = 31; n <= 65; n += 17) {
		prepare(named);
		fill(n);
		SHOW(recvmmsg(server, vec, 100, MSG_DONTWAIT, NULL));
		show_vector(n + 1);
	}
}

static void many(int server)
{
	large_buffer(server);
	prepare(false);
	fill(MOST);
	SHOW(recvmmsg(server, vec, MOST, MSG_DONTWAIT, NULL));
	show_vector(MOST);
	prepare(true);
	SHOW(recvmmsg(server, vec, MOST, MSG_DONTWAIT, NULL));
	show_vector(MOST);
}

int main(void)
{
	int any = bound_udp("0.0.0.0", SERVER_PORT), one = bound_udp("127.0.0.1", SERVER_PORT + 1);

	client = bound_udp("127.0.0.1", CLIENT_PORT);
	length = dns_query(query, 0, "batch.test");
	connect_to(client, "127.0.0.1", SERVER_PORT);
	batches(any, false);
	batches(any, true);
	many(any);
	connect_to(client, "127.0.0.1", SERVER_PORT + 1);
	batches(one, false);
	connect_to(one, "127.0.0.1", CLIENT_PORT);
	batches(one, true);
	return 0;
}
