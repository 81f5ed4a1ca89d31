// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dup, dup2, dup3, fcntl, close_range, closefrom: what they return, and that a server's socket shows nothing of the
 * library's control messages, and all of the program's own, whichever number it has by now.
 */
#include "show.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { FAR = 200 };

static char query[64];
static size_t length;
static int client;

static void receive(int server)
{
	char data[512];
	_Alignas(struct cmsghdr) char control[256];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};

	NEED(send(client, query, length, 0) == (ssize_t)length);
	SHOW(recvmsg(server, &m, 0));
	show_message(&m);
}

static void numbers(int server, int spare)
{
	SHOW(dup(server) >= 0);
	SHOW(dup2(server, FAR));
	receive(FAR);
	SHOW(dup2(FAR, FAR));
	receive(FAR);
	SHOW(dup2(-1, FAR));
	SHOW(dup2(spare, -1));
	SHOW(dup3(FAR, FAR, 0));
	SHOW(dup3(FAR, FAR + 1, 77));
	receive(FAR);
	SHOW(dup3(FAR, FAR + 1, O_CLOEXEC));
	SHOW(fcntl(FAR + 1, F_GETFD));
	receive(FAR + 1);
	SHOW(fcntl(FAR, F_DUPFD, FAR + 5));
	SHOW(fcntl(FAR, F_DUPFD_CLOEXEC, FAR + 6));
	SHOW(fcntl(FAR + 6, F_GETFD));
	SHOW(fcntl(FAR, F_DUPFD, -1));
	SHOW(fcntl(FAR, 9999, 0));
	SHOW(fcntl(-1, F_GETFL));
	receive(FAR + 6);
	SHOW(dup2(spare, FAR + 6));
	SHOW(write(FAR + 6, "x", 1));
	SHOW(recv(FAR + 6, (char[8]){0}, 8, MSG_DONTWAIT));
	receive(FAR + 5);
}

static void ranges(int server)
{
	SHOW(close_range(FAR + 5, FAR, 0));
	SHOW(close_range(FAR, FAR + 9, 99));
	receive(FAR);
	SHOW(close_range(FAR, FAR + 9, CLOSE_RANGE_CLOEXEC));
	SHOW(fcntl(FAR, F_GETFD));
	receive(FAR);
	SHOW(syscall(SYS_close_range, FAR, FAR + 9, CLOSE_RANGE_CLOEXEC));
	receive(FAR);
	SHOW(syscall(SYS_close_range, FAR, FAR + 9, 99));
	receive(FAR);
	SHOW(close_range(FAR + 1, FAR + 1, 0));
	SHOW(close(FAR + 1));
	receive(FAR);
	SHOW(close_range(FAR, ~0U, CLOSE_RANGE_UNSHARE));
	SHOW(close(FAR));
	receive(server);
	SHOW(dup2(server, FAR));
	closefrom(FAR - 1);
	SHOW(close(FAR));
	receive(server);
	SHOW(dup2(server, FAR));
	SHOW(syscall(SYS_close, FAR));
	SHOW(syscall(SYS_close, FAR));
	receive(server);
}

/* A vfork child shares the memory and not the descriptors: what it closes is still open here. */
static void vforked(int server)
{
	int status;
	pid_t child = vfork();

	if (!child) {
		close(server);
		_exit(0);
	}
	NEED(waitpid(child, &status, 0) == child);
	receive(server);
}

int main(void)
{
	int spare = open("/dev/null", O_WRONLY);

	client = bound_udp("127.0.0.1", CLIENT_PORT);
	length = dns_query(query, 1, "dup.test");
	connect_to(client, "127.0.0.1", SERVER_PORT);
	for (int own = 0; own < 4; own++) {
		int server = bound_udp("0.0.0.0", SERVER_PORT);

		printf("the program asks for: %d\n", own);
		if (own & 1)
			turn_on(server, SOL_IP, IP_PKTINFO);
		if (own & 2)
			turn_on(server, SOL_IP, IP_RECVORIGDSTADDR);
		receive(server);
		numbers(server, spare);
		ranges(server);
		vforked(server);
		SHOW(close(server));
		SHOW(close(server));
	}
	return 0;
}
