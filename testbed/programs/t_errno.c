// SPDX-License-Identifier: GPL-2.0-or-later
/* No call that succeeds may change errno: each one once, the first time on its descriptor and later. */
#include "show.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>

static char query[64], answer[64], frame[64], data[512];
static size_t length, framed;

static void datagrams(int from, int to)
{
	struct sockaddr_in name;
	socklen_t len = sizeof(name);
	struct iovec out = {query, length}, in = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &out, .msg_iovlen = 1},
		      got = {.msg_iov = &in, .msg_iovlen = 1};
	struct mmsghdr many = {.msg_hdr = m}, many_got = {.msg_hdr = got};

	SHOW(send(from, query, length, 0));
	SHOW(sendto(from, query, length, 0, NULL, 0));
	SHOW(sendmsg(from, &m, 0));
	SHOW(sendmmsg(from, &many, 1, 0));
	SHOW(syscall(SYS_sendmmsg, from, &many, 1, 0));
	SHOW(write(from, query, length));
	SHOW(writev(from, &out, 1));
	SHOW(recv(to, data, sizeof(data), 0));
	SHOW(recvfrom(to, data, sizeof(data), 0, (struct sockaddr *)&name, &len));
	SHOW(recvmsg(to, &got, 0));
	SHOW(recvmmsg(to, &many_got, 1, 0, NULL));
	SHOW(syscall(SYS_recvmmsg, to, &many_got, 1, 0, NULL));
	SHOW(read(to, data, sizeof(data)));
	SHOW(readv(to, &in, 1));
	SHOW(sendto(to, answer, length, 0, (struct sockaddr *)&name, len));
	SHOW(recv(from, data, sizeof(data), 0));
}

static void streams(int from, int to)
{
	struct iovec out = {frame, framed}, in = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &out, .msg_iovlen = 1};

	SHOW(send(from, frame, framed, 0));
	SHOW(recv(to, data, sizeof(data), 0));
	SHOW(sendmsg(from, &m, 0));
	SHOW(read(to, data, sizeof(data)));
	SHOW(write(from, frame, framed));
	SHOW(readv(to, &in, 1));
	SHOW(writev(from, &out, 1));
	SHOW(recvfrom(to, data, sizeof(data), 0, NULL, NULL));
}

static void descriptors(void)
{
	struct sockaddr_in to = v4("127.0.0.1", SERVER_PORT + 3), name;
	socklen_t len = sizeof(name);
	struct pollfd p = {.events = POLLOUT};
	struct timespec now = {0};
	int fd = socket(AF_INET, SOCK_STREAM, 0), mark = 0, listener, epoll = epoll_create1(0);
	fd_set set;

	NEED((listener = bound(SOCK_STREAM, "127.0.0.1", SERVER_PORT + 3)) >= 0);
	NEED(listen(listener, 4) == 0);
	SHOW(connect(fd, (struct sockaddr *)&to, sizeof(to)));
	SHOW(close(accept(listener, (struct sockaddr *)&name, &len)));
	SHOW(close(fd));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	NEED(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	SHOW(accept4(listener, NULL, NULL, SOCK_NONBLOCK) >= 0);
	SHOW(socket(AF_INET6, SOCK_DGRAM, 0) >= 0);
	SHOW(dup(fd) >= 0);
	SHOW(dup2(fd, 100));
	SHOW(dup2(fd, fd) == fd);
	SHOW(dup3(fd, 101, O_CLOEXEC));
	SHOW(fcntl(fd, F_DUPFD, 110));
	SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 111));
	SHOW(fcntl(fd, F_GETFD));
	SHOW(fcntl(fd, F_SETFL, O_NONBLOCK));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &mark, sizeof(mark)));
	SHOW(close(100));
	SHOW(close_range(101, 105, 0));
	SHOW(close_range(110, 112, CLOSE_RANGE_CLOEXEC));
	SHOW(syscall(SYS_close, 110));
	SHOW(syscall(SYS_close_range, 111, 120, 0));
	errno = UNTOUCHED, closefrom(90), SHOW(0);
	p.fd = fd;
	SHOW(poll(&p, 1, 0));
	SHOW(ppoll(&p, 1, &now, NULL));
	FD_ZERO(&set);
	SHOW(select(0, &set, NULL, NULL, &(struct timeval){0}));
	SHOW(pselect(0, &set, NULL, NULL, &now, NULL));
	SHOW(epoll_wait(epoll, &(struct epoll_event){0}, 1, 0));
	SHOW(epoll_pwait(epoll, &(struct epoll_event){0}, 1, 0, NULL));
	SHOW(epoll_pwait2(epoll, &(struct epoll_event){0}, 1, &now, NULL));
}

int main(void)
{
	int any = bound_udp("0.0.0.0", SERVER_PORT), one = bound_udp("127.0.0.1", SERVER_PORT + 1);
	int client = bound_udp("127.0.0.1", CLIENT_PORT), tcp[2];

	length = dns_query(query, 1, "errno.test");
	framed = dns_frame(frame, 1, "errno.test");
	memcpy(answer, query, length);
	answer[2] = (char)0x81;
	connect_to(client, "127.0.0.1", SERVER_PORT);
	datagrams(client, any);
	datagrams(client, any);
	connect_to(client, "127.0.0.1", SERVER_PORT + 1);
	datagrams(client, one);
	tcp_pair(tcp, SERVER_PORT + 2);
	streams(tcp[0], tcp[1]);
	streams(tcp[1], tcp[0]);
	descriptors();
	SHOW(setuid(0));
	SHOW(seteuid(65534));
	SHOW(seteuid(0));
	SHOW(setreuid(0, 65534));
	SHOW(setresuid(0, 65534, 0));
	SHOW(setresuid(65534, 65534, 65534));
	datagrams(client, one);
	return 0;
}
