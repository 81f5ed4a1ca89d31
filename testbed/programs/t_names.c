// SPDX-License-Identifier: GPL-2.0-or-later
/* The sender's name: no buffer for it, buffers too short, lengths that make no sense, and the end of a page. */
#include "show.h"

#include <limits.h>
#include <sys/mman.h>

static char data[512], query[512];
static size_t length;
static int client;

static void fill(int n)
{
	while (n--)
		NEED(send(client, query, length, 0) == (ssize_t)length);
}

/* A buffer of that size, behind which nothing may be touched. */
static void *at_end(size_t size)
{
	static char *page;

	if (!page) {
		page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		NEED(page != MAP_FAILED && mprotect(page + 4096, 4096, PROT_NONE) == 0);
	}
	memset(page, 0, 4096);
	return page + 4096 - size;
}

static void short_name(int server, socklen_t size)
{
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {
		.msg_name = at_end(size), .msg_namelen = size, .msg_iov = &iov, .msg_iovlen = 1};
	struct mmsghdr many = {.msg_hdr = m};
	socklen_t len = size;

	printf("room for %u bytes of the name\n", size);
	fill(3);
	SHOW(recvfrom(server, data, sizeof(data), 0, at_end(size), &len));
	printf("  length %u\n", len);
	SHOW(recvmsg(server, &m, 0));
	show_bytes("  name", m.msg_name, size);
	printf("  length %u\n", m.msg_namelen);
	SHOW(recvmmsg(server, &many, 1, 0, NULL));
	show_bytes("  name", m.msg_name, size);
	printf("  length %u\n", many.msg_hdr.msg_namelen);
}

static void odd(int server)
{
	struct sockaddr_storage from;
	struct sockaddr *name = (struct sockaddr *)&from;
	struct iovec iov = {data, sizeof(data)};
	struct msghdr none = {.msg_namelen = 99, .msg_iov = &iov, .msg_iovlen = 1};
	struct msghdr large = {
		.msg_name = &from, .msg_namelen = INT_MAX, .msg_iov = &iov, .msg_iovlen = 1};
	struct msghdr negative = large;
	socklen_t len = 77;

	negative.msg_namelen = (socklen_t)-1;
	fill(8);
	SHOW(recvfrom(server, data, sizeof(data), 0, NULL, NULL));
	SHOW(recvfrom(server, data, sizeof(data), 0, NULL, &len));
	printf("  length %u\n", len);
	SHOW(recvfrom(server, data, sizeof(data), 0, name, NULL));
	len = (socklen_t)-1;
	SHOW(recvfrom(server, data, sizeof(data), 0, name, &len));
	printf("  length %u\n", len);
	len = 4096;
	SHOW(recvfrom(server, data, sizeof(data), 0, name, &len));
	show_name(name, len);
	SHOW(recvmsg(server, &none, 0));
	show_message(&none);
	SHOW(recvmsg(server, &large, 0));
	show_message(&large);
	SHOW(recvmsg(server, &negative, 0));
	printf("  length %d\n", (int)negative.msg_namelen);
	while (recv(server, data, sizeof(data), MSG_DONTWAIT) >= 0)
		printf("one more\n");
}

static void stream(void)
{
	struct sockaddr_in from = {0};
	socklen_t len = sizeof(from);
	int tcp[2];

	tcp_pair(tcp, SERVER_PORT + 2);
	NEED(send(tcp[0], "x", 1, 0) == 1);
	SHOW(recvfrom(tcp[1], data, sizeof(data), 0, (struct sockaddr *)&from, &len));
	show_name(&from, len);
	from = v4("127.0.0.9", 9);
	SHOW(sendto(tcp[0], "y", 1, 0, (struct sockaddr *)&from, sizeof(from)));
	SHOW(recv(tcp[1], data, sizeof(data), 0));
}

int main(void)
{
	int any = bound_udp("0.0.0.0", SERVER_PORT), one = bound_udp("127.0.0.1", SERVER_PORT + 1);

	client = bound_udp("127.0.0.1", CLIENT_PORT);
	length = dns_query(query, 1, "names.test");
	for (int i = 0; i < 2; i++) {
		connect_to(client, "127.0.0.1", SERVER_PORT + i);
		for (socklen_t size = 0; size <= sizeof(struct sockaddr_in) + 1; size++)
			short_name(i ? one : any, size);
		odd(i ? one : any);
	}
	connect_to(one, "127.0.0.1", CLIENT_PORT);
	odd(one);
	stream();
	return 0;
}
