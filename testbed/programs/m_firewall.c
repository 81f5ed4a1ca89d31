// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A firewall that drops what bears client 2's mark: the query is refused as the kernel says (EPERM), is not sent again
 * without its mark, and those of the other clients arrive. With each sending call, and amid a batch.
 */
#include "client.h"

static char query[4][512];
static size_t length;
static int at;

static void arrivals(void)
{
	int mark;

	while ((mark = arrived_mark(at, NULL)) >= 0)
		printf("  arrived with mark %d\n", mark);
}

static void single(int fd, int n)
{
	struct sockaddr_in to = v4("127.0.0.1", UPSTREAM_PORT);
	struct iovec iov = {query[n], length};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	printf("client %d\n", n);
	SHOW(send(fd, query[n], length, 0)), arrivals();
	SHOW(sendto(fd, query[n], length, 0, (struct sockaddr *)&to, sizeof(to))), arrivals();
	SHOW(sendmsg(fd, &m, 0)), arrivals();
	SHOW(write(fd, query[n], length)), arrivals();
	SHOW(writev(fd, &iov, 1)), arrivals();
}

int main(void)
{
	int server = bound_udp("127.0.0.1", SERVER_PORT);
	struct iovec iov[3];
	struct mmsghdr many[3] = {0};
	static const char *const names[] = {"", "one.test", "two.test", "six.test"};

	at = upstream();
	for (int n = 1; n <= 3; n++) {
		length = query_of(n, names[n], server, query[n]);
		iov[n - 1] = (struct iovec){query[n], length};
		many[n - 1].msg_hdr = (struct msghdr){.msg_iov = &iov[n - 1], .msg_iovlen = 1};
	}
	int fd = to_upstream();

	for (int n = 1; n <= 3; n++)
		single(fd, n);
	puts("all in one batch");
	SHOW(sendmmsg(fd, many, 3, 0)), arrivals();
	SHOW(sendmmsg(fd, many + 1, 2, 0)), arrivals();
	SHOW(sendmmsg(fd, many + 2, 1, 0)), arrivals();
	return 0;
}
