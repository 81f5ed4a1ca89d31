// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages scattered over many pieces, some of them empty, up to IOV_MAX of them and beyond. */
#include "show.h"

#include <limits.h>
#include <netinet/tcp.h>

enum { MOST = IOV_MAX + 1 };

static struct iovec in[MOST], out[MOST];
static char message[512], data[2 * MOST];
static size_t length;
static volatile int minus_one = -1;

/* Cuts n bytes into pieces of the given size, each behind an empty one. */
static int scatter(struct iovec *iov, char *bytes, size_t n, size_t size)
{
	int used = 0;

	for (size_t at = 0; at < n; at += size) {
		iov[used++] = (struct iovec){NULL, 0};
		iov[used++] = (struct iovec){bytes + at, n - at < size ? n - at : size};
	}
	return used;
}

static void through(int from, int to, size_t size_out, size_t size_in, bool stream)
{
	int count_out = scatter(out, message, length, size_out);
	int count_in = scatter(in, data, 300, size_in);
	struct sockaddr_in name;
	struct msghdr m = {.msg_iov = out, .msg_iovlen = (size_t)count_out};
	struct msghdr got = {.msg_name = &name,
			     .msg_namelen = sizeof(name),
			     .msg_iov = in,
			     .msg_iovlen = (size_t)count_in};
	struct mmsghdr many = {.msg_hdr = m}, many_got = {.msg_hdr = got};

	printf("pieces of %zu sent, of %zu received\n", size_out, size_in);
	memset(data, 0, sizeof(data));
	SHOW(sendmsg(from, &m, 0));
	SHOW(recvmsg(to, &got, 0));
	show_message(&got);
	SHOW(writev(from, out, count_out));
	SHOW(readv(to, in, count_in));
	show_bytes("data", data, length + 1);
	SHOW(sendmmsg(from, &many, 1, 0));
	if (!stream)
		SHOW(recvmmsg(to, &many_got, 1, 0, NULL));
	else
		SHOW(recv(to, data, sizeof(data), 0));
	show_bytes("data", data, length + 1);
}

static void limits(int from, int to)
{
	struct msghdr m = {.msg_iov = out, .msg_iovlen = MOST}, got = {.msg_iov = in};

	for (int i = 0; i < MOST; i++) {
		out[i] = (struct iovec){message + (i < 40 ? i : 0), i < 40};
		in[i] = (struct iovec){data + i, 1};
	}
	SHOW(sendmsg(from, &m, 0));
	SHOW(writev(from, out, MOST));
	SHOW(writev(from, out, minus_one));
	SHOW(writev(from, out, IOV_MAX));
	m.msg_iovlen = IOV_MAX;
	SHOW(sendmsg(from, &m, 0));
	m.msg_iovlen = SIZE_MAX;
	SHOW(sendmsg(from, &m, 0));
	SHOW(readv(to, in, MOST));
	SHOW(readv(to, in, minus_one));
	got.msg_iovlen = MOST;
	SHOW(recvmsg(to, &got, 0));
	SHOW(readv(to, in, IOV_MAX));
	got.msg_iovlen = IOV_MAX;
	SHOW(recvmsg(to, &got, MSG_DONTWAIT));
	show_bytes("data", data, 40);
}

int main(void)
{
	static const size_t sizes[] = {1, 2, 5, 12, 13, 29, 300};
	int any = bound_udp("0.0.0.0", SERVER_PORT), one = bound_udp("127.0.0.1", SERVER_PORT + 1);
	int client = bound_udp("127.0.0.1", CLIENT_PORT), tcp[2];

	tcp_pair(tcp, SERVER_PORT + 2);
	turn_on(tcp[0], IPPROTO_TCP, TCP_NODELAY);
	turn_on(tcp[1], IPPROTO_TCP, TCP_NODELAY);
	for (int i = 0; i < 7 * 7; i++) {
		length = dns_query(message, 1, "a.name.in.pieces.test");
		connect_to(client, "127.0.0.1", SERVER_PORT);
		through(client, any, sizes[i / 7], sizes[i % 7], false);
		connect_to(client, "127.0.0.1", SERVER_PORT + 1);
		through(client, one, sizes[i / 7], sizes[i % 7], false);
		length = dns_frame(message, 1, "a.name.in.pieces.test");
		through(tcp[i & 1], tcp[!(i & 1)], sizes[i / 7], sizes[i % 7], true);
	}
	length = dns_query(message, 1, "a.name.in.pieces.test");
	limits(client, one);
	length = dns_frame(message, 1, "a.name.in.pieces.test");
	limits(tcp[0], tcp[1]);
	return 0;
}
