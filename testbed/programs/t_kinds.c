// SPDX-License-Identifier: GPL-2.0-or-later
/* Descriptors that are none of the library's business: files, pipes, eventfds, UNIX, netlink and raw sockets. */
#include "show.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

static char query[64], data[512];
static size_t length;

static void both_ends(const char *what, int from, int to)
{
	struct iovec out[2] = {{query, 5}, {query + 5, length - 5}},
		     in[2] = {{data, 7}, {data + 7, 64}};
	struct msghdr m = {.msg_iov = out, .msg_iovlen = 2}, got = {.msg_iov = in, .msg_iovlen = 2};
	struct mmsghdr many = {.msg_hdr = m};

	printf("%s\n", what);
	memset(data, 0, sizeof(data));
	SHOW(write(from, query, length));
	SHOW(read(to, data, sizeof(data)));
	SHOW(writev(from, out, 2));
	SHOW(readv(to, in, 2));
	show_bytes("data", data, length + 1);
	SHOW(send(from, query, length, MSG_NOSIGNAL));
	SHOW(recv(to, data, sizeof(data), MSG_DONTWAIT));
	SHOW(sendmsg(from, &m, MSG_NOSIGNAL));
	SHOW(recvmsg(to, &got, MSG_DONTWAIT));
	show_message(&got);
	SHOW(sendmmsg(from, &many, 1, MSG_NOSIGNAL));
	SHOW(recvmmsg(to, &many, 1, MSG_DONTWAIT, NULL));
	SHOW(sendto(from, query, length, MSG_NOSIGNAL, NULL, 0));
	SHOW(recvfrom(to, data, sizeof(data), MSG_DONTWAIT, NULL, NULL));
	SHOW(fcntl(from, F_GETFL));
	SHOW(close(from));
	if (from != to)
		SHOW(close(to));
	SHOW(close(from));
}

static void counters(void)
{
	uint64_t n = 0x0102030405060708;
	int fd = eventfd(0, EFD_NONBLOCK), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);

	SHOW(read(fd, &n, sizeof(n)));
	SHOW(write(fd, &n, sizeof(n)));
	SHOW(write(fd, &n, 3));
	SHOW(read(fd, &n, sizeof(n)));
	printf("counter %llx\n", (unsigned long long)n);
	SHOW(read(timer, &n, sizeof(n)));
	SHOW(close(fd));
	SHOW(close(timer));
}

static void raw(void)
{
	static const char echo[8] = {8, 0, (char)0xf7, (char)0xff};
	struct sockaddr_in to = v4("127.0.0.1", 0);
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);

	if (fd < 0) /* not permitted */
		return;
	limit_wait(fd);
	SHOW(sendto(fd, echo, sizeof(echo), 0, (struct sockaddr *)&to, sizeof(to)));
	SHOW(recv(fd, data, sizeof(data), 0));
	SHOW(recv(fd, data, sizeof(data), 0));
	SHOW(recv(fd, data, sizeof(data), MSG_DONTWAIT));
	SHOW(close(fd));
}

int main(void)
{
	int fd[2];
	FILE *file = tmpfile();

	length = dns_query(query, 1, "kinds.test");
	NEED(pipe(fd) == 0);
	both_ends("pipe", fd[1], fd[0]);
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
	both_ends("UNIX stream", fd[0], fd[1]);
	NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd) == 0);
	both_ends("UNIX datagrams", fd[0], fd[1]);
	NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd) == 0);
	both_ends("UNIX packets", fd[0], fd[1]);
	fd[0] = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	NEED(fd[0] >= 0);
	limit_wait(fd[0]);
	both_ends("netlink", fd[0], fd[0]);
	NEED(file);
	both_ends("file", fileno(file), fileno(file));
	counters();
	raw();
	both_ends("UDP without an address", socket(AF_INET, SOCK_DGRAM, 0),
		  bound_udp("127.0.0.1", SERVER_PORT));
	return 0;
}
