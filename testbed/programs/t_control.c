// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Control messages of IPv4 datagrams beside those that only the library asked for: IP_PKTINFO, IP_RECVTTL, IP_RECVTOS
 * and SO_TIMESTAMP, in control buffers of every size, so also those too small by one byte (MSG_CTRUNC).
 */
#include "show.h"

enum { ROOM = 160, FILL = 0x5a };

static char query[512];
static size_t length;
static int client;
static _Alignas(struct cmsghdr) unsigned char control[2][ROOM + 16];
static bool stamped; /* the buffers hold a time, which differs from run to run */

/* What the kernel left alone must be left alone by the library too. */
static void show_buffer(int i, size_t size)
{
	for (size_t at = stamped ? size : 0; at < sizeof(control[i]); at++)
		if (at >= size ? control[i][at] != FILL : true)
			printf("%s%02x", at >= size ? " !" : "", control[i][at]);
	printf("\n");
}

static void one(int server, size_t size)
{
	char data[512];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control[0],
			   .msg_controllen = size};

	memset(control, FILL, sizeof(control));
	NEED(send(client, query, length, 0) == (ssize_t)length);
	SHOW(recvmsg(server, &m, 0));
	show_message(&m);
	show_buffer(0, size);
}

static void batch(int server, size_t size)
{
	char data[512];
	struct iovec iov = {data, sizeof(data)};
	struct mmsghdr many[2] = {0};

	memset(control, FILL, sizeof(control));
	for (int i = 0; i < 2; i++) {
		many[i].msg_hdr = (struct msghdr){.msg_iov = &iov,
						  .msg_iovlen = 1,
						  .msg_control = control[i],
						  .msg_controllen = size};
		NEED(send(client, query, length, 0) == (ssize_t)length);
	}
	SHOW(recvmmsg(server, many, 2, 0, NULL));
	for (int i = 0; i < 2; i++) {
		printf("  msg_len %u\n", many[i].msg_len);
		show_message(&many[i].msg_hdr);
		show_buffer(i, size);
	}
}

static void every_size(const char *what, int server, size_t most)
{
	for (size_t size = 0; size <= most; size++) {
		printf("%s, control buffer of %zu\n", what, size);
		one(server, size);
		batch(server, size);
	}
}

static void no_buffer(int server)
{
	char data[512];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_controllen = 64};

	NEED(send(client, query, length, 0) == (ssize_t)length);
	SHOW(recvmsg(server, &m, 0));
	show_message(&m);
}

static void all(const char *address, int port)
{
	int server = bound_udp(address, port);

	connect_to(client, "127.0.0.1", port);
	stamped = false;
	every_size("nothing asked for", server, 40);
	no_buffer(server);
	turn_on(server, SOL_IP, IP_PKTINFO);
	every_size("address", server, 80);
	no_buffer(server);
	turn_on(server, SOL_IP, IP_RECVTTL);
	turn_on(server, SOL_IP, IP_RECVTOS);
	every_size("address, TTL and TOS", server, ROOM);
	turn_on(server, SOL_SOCKET, SO_TIMESTAMP);
	stamped = true;
	every_size("time, address, TTL and TOS", server, ROOM);
	no_buffer(server);
	NEED(close(server) == 0);
}

int main(void)
{
	client = bound_udp("127.0.0.1", CLIENT_PORT);
	length = dns_query(query, 1, "control.test");
	all("0.0.0.0", SERVER_PORT);
	all("127.0.0.1", SERVER_PORT + 1);
	return 0;
}
