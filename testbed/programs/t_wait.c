// SPDX-License-Identifier: GPL-2.0-or-later
/* Nothing there: EAGAIN, O_NONBLOCK, SO_RCVTIMEO; a signal in between: EINTR, or another try (SA_RESTART). */
#include "show.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

static char data[512];
static int client; /* sends in the signal handler, where it is not -1 */

static void on_alarm(int signal)
{
	(void)signal;
	if (client >= 0 && write(client, "late", 4) != 4)
		_exit(98);
}

static void alarm_soon(int flags)
{
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
	struct itimerval once = {.it_value = {.tv_usec = 30000}};

	NEED(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &once, NULL) == 0);
}

static void every_call(int fd, int flags)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_name = &from,
			   .msg_namelen = len,
			   .msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_flags = 77};
	struct mmsghdr many = {.msg_hdr = m, .msg_len = 55};

	SHOW(recv(fd, data, sizeof(data), flags));
	SHOW(recvfrom(fd, data, sizeof(data), flags, (struct sockaddr *)&from, &len));
	printf("  length %u\n", len);
	SHOW(recvmsg(fd, &m, flags));
	printf("  flags %d, length %u\n", m.msg_flags, m.msg_namelen);
	SHOW(recvmmsg(fd, &many, 1, flags, NULL));
	printf("  msg_len %u, flags %d\n", many.msg_len, many.msg_hdr.msg_flags);
	if (!flags) {
		SHOW(read(fd, data, sizeof(data)));
		SHOW(readv(fd, &iov, 1));
	}
}

static void interrupted(int fd)
{
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	struct mmsghdr many[2] = {{.msg_hdr = m}, {.msg_hdr = m}};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	fd_set set;
	int epoll = epoll_create1(0);

	alarm_soon(0), SHOW(recv(fd, data, sizeof(data), 0));
	alarm_soon(0), SHOW(recvfrom(fd, data, sizeof(data), 0, NULL, NULL));
	alarm_soon(0), SHOW(recvmsg(fd, &m, 0));
	alarm_soon(0), SHOW(recvmmsg(fd, many, 2, 0, NULL));
	alarm_soon(0), SHOW(read(fd, data, sizeof(data)));
	alarm_soon(0), SHOW(readv(fd, &iov, 1));
	alarm_soon(0), SHOW(poll(&p, 1, 1000));
	alarm_soon(0), SHOW(ppoll(&p, 1, NULL, NULL));
	FD_ZERO(&set);
	FD_SET(fd, &set);
	alarm_soon(0), SHOW(select(fd + 1, &set, NULL, NULL, NULL));
	alarm_soon(0), SHOW(pselect(fd + 1, &set, NULL, NULL, NULL, NULL));
	alarm_soon(0), SHOW(epoll_wait(epoll, &(struct epoll_event){0}, 1, 1000));
	alarm_soon(0), SHOW(epoll_pwait(epoll, &(struct epoll_event){0}, 1, 1000, NULL));
	SHOW(close(epoll));
}

static void forever(int fd)
{
	struct timeval none = {0};

	NEED(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none)) == 0);
	client = -1;
	interrupted(fd);
}

/* The call goes on after the signal, and gets what the handler sent. */
static void restarted(int fd, int sender)
{
	client = sender;
	alarm_soon(SA_RESTART), SHOW(recv(fd, data, sizeof(data), 0));
	alarm_soon(SA_RESTART), SHOW(recvfrom(fd, data, sizeof(data), 0, NULL, NULL));
	alarm_soon(SA_RESTART), SHOW(read(fd, data, sizeof(data)));
}

int main(void)
{
	int any = bound_udp("0.0.0.0", SERVER_PORT), one = bound_udp("127.0.0.1", SERVER_PORT + 1);
	int sender = bound_udp("127.0.0.1", CLIENT_PORT), tcp[2];

	tcp_pair(tcp, SERVER_PORT + 2);
	limit_wait(tcp[1]);
	int all[] = {any, one, tcp[1], sender};

	for (int i = 0; i < 4; i++) {
		printf("socket %d\n", i);
		if (i < 2)
			connect_to(sender, "127.0.0.1", SERVER_PORT + i);
		every_call(all[i], MSG_DONTWAIT);
		every_call(all[i], 0); /* each as long as SO_RCVTIMEO says */
		NEED(fcntl(all[i], F_SETFL, O_NONBLOCK) == 0);
		every_call(all[i], 0);
		NEED(fcntl(all[i], F_SETFL, 0) == 0);
		forever(all[i]);
		if (i < 3)
			restarted(all[i], i < 2 ? sender : tcp[0]);
	}
	every_call(-1, 0);
	SHOW(close(sender));
	every_call(sender, 0);
	every_call(STDIN_FILENO, MSG_DONTWAIT);
	return 0;
}
