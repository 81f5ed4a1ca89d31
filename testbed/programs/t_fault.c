// SPDX-License-Identifier: GPL-2.0-or-later
/* No address where there should be one: the kernel's EFAULT and EINVAL, on UDP and TCP, with every call. */
#include "show.h"

static char query[512], data[512];
static void *volatile nowhere; /* NULL, and the compiler does not know */
static size_t length;

static void sending(int fd, bool stream)
{
	struct iovec none = {NULL, length}, half[2] = {{query, 20}, {NULL, length}};
	struct iovec good = {query, length};
	struct msghdr no_data = {.msg_iov = &none, .msg_iovlen = 1};
	struct msghdr no_vector = {.msg_iovlen = 1}, halved = {.msg_iov = half, .msg_iovlen = 2};
	struct msghdr no_control = {.msg_iov = &good, .msg_iovlen = 1, .msg_controllen = 64};
	struct msghdr no_name = {.msg_iov = &good, .msg_iovlen = 1, .msg_namelen = 16};
	struct mmsghdr many[3] = {{.msg_hdr = no_name}, {.msg_hdr = no_data}, {.msg_hdr = no_name}};

	SHOW(send(fd, NULL, length, 0));
	SHOW(sendto(fd, NULL, length, 0, NULL, 0));
	SHOW(sendto(fd, query, length, 0, NULL, 16));
	SHOW(sendmsg(fd, NULL, 0));
	SHOW(sendmsg(fd, &no_data, 0));
	SHOW(sendmsg(fd, &no_vector, 0));
	if (!stream)
		SHOW(sendmsg(fd, &halved, 0));
	SHOW(sendmsg(fd, &no_control, 0));
	SHOW(sendmsg(fd, &no_name, 0));
	SHOW(write(fd, nowhere, length));
	SHOW(writev(fd, nowhere, 1));
	SHOW(writev(fd, &none, 1));
	SHOW(sendmmsg(fd, NULL, 3, 0));
	SHOW(sendmmsg(fd, many + 1, 2, 0));
	SHOW(sendmmsg(fd, many, 3, 0));
	printf("  msg_len %u %u %u\n", many[0].msg_len, many[1].msg_len, many[2].msg_len);
}

/* Addresses that cannot be used, and lengths that do not fit them. */
static void addresses(int fd)
{
	struct sockaddr_in to = v4("127.0.0.1", SERVER_PORT);
	struct sockaddr *name = (struct sockaddr *)&to;
	struct iovec iov = {query, length};
	struct msghdr m = {.msg_name = &to, .msg_iov = &iov, .msg_iovlen = 1};

	for (socklen_t len = 0; len <= sizeof(to) + 1; len++) {
		m.msg_namelen = len;
		printf("address of %u bytes\n", len);
		SHOW(sendto(fd, query, length, 0, name, len));
		SHOW(sendmsg(fd, &m, 0));
	}
	SHOW(sendto(fd, query, length, 0, name, 4096));
	SHOW(sendto(fd, query, length, 0, name, (socklen_t)-1));
	to.sin_family = AF_INET6;
	SHOW(sendto(fd, query, length, 0, name, sizeof(to)));
	to.sin_family = AF_UNSPEC;
	SHOW(sendto(fd, query, length, 0, name, sizeof(to)));
}

static void receiving(int fd, int from, bool stream)
{
	struct iovec none = {NULL, sizeof(data)}, iov = {data, sizeof(data)};
	struct msghdr no_data = {.msg_iov = &none, .msg_iovlen = 1}, no_vector = {.msg_iovlen = 1};
	struct msghdr no_control = {.msg_iov = &iov, .msg_iovlen = 1, .msg_controllen = 64};
	struct mmsghdr many[2] = {{.msg_hdr = no_control}, {.msg_hdr = no_data}};

	while (recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	for (int i = 0; i < 10; i++)
		NEED(send(from, query, length, 0) == (ssize_t)length);
	SHOW(recv(fd, NULL, sizeof(data), MSG_DONTWAIT));
	SHOW(recvfrom(fd, NULL, sizeof(data), MSG_DONTWAIT, NULL, NULL));
	SHOW(recvmsg(fd, NULL, MSG_DONTWAIT));
	SHOW(recvmsg(fd, &no_data, MSG_DONTWAIT));
	SHOW(recvmsg(fd, &no_vector, MSG_DONTWAIT));
	SHOW(readv(fd, nowhere, 1));
	SHOW(readv(fd, &none, 1));
	SHOW(read(fd, nowhere, sizeof(data)));
	SHOW(recvmsg(fd, &no_control, MSG_DONTWAIT));
	show_message(&no_control);
	if (stream)
		return;
	SHOW(recvmmsg(fd, NULL, 2, MSG_DONTWAIT, NULL));
	SHOW(recvmmsg(fd, many, 2, MSG_DONTWAIT, NULL));
	printf("  msg_len %u %u\n", many[0].msg_len, many[1].msg_len);
	SHOW(recvmmsg(fd, many, 1, MSG_DONTWAIT, NULL));
	while (recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		printf("one more\n");
}

static void others(int fd)
{
	socklen_t len = 16;

	SHOW(connect(fd, NULL, sizeof(struct sockaddr_in)));
	SHOW(connect(fd, NULL, 0));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_MARK, NULL, sizeof(int)));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_MARK, NULL, 0));
	SHOW(setsockopt(fd, SOL_IP, IP_RECVORIGDSTADDR, NULL, sizeof(int)));
	SHOW(accept(fd, NULL, &len));
	SHOW(accept(fd, NULL, NULL));
}

int main(void)
{
	int any = bound_udp("0.0.0.0", SERVER_PORT), client = bound_udp("127.0.0.1", CLIENT_PORT);
	int tcp[2];

	length = dns_query(query, 1, "fault.test");
	addresses(client);
	connect_to(client, "127.0.0.1", SERVER_PORT);
	addresses(client);
	connect_to(client, "127.0.0.1", SERVER_PORT);
	sending(client, false);
	receiving(any, client, false);
	others(client);
	tcp_pair(tcp, SERVER_PORT + 2);
	length = dns_frame(query, 1, "fault.test");
	sending(tcp[0], true);
	receiving(tcp[1], tcp[0], true);
	sending(tcp[1], true);
	others(tcp[0]);
	return 0;
}
