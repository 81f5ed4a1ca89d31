// SPDX-License-Identifier: GPL-2.0-or-later
/* Descriptors with large numbers: above 65,535, and up to the system's limit. */
#include "show.h"

#include <fcntl.h>
#include <sys/resource.h>

static char query[64], data[512];
static size_t length;

static void exchange(int server, int client)
{
	struct sockaddr_in from = {0};
	socklen_t len = sizeof(from);
	struct iovec iov = {data, sizeof(data)};
	_Alignas(struct cmsghdr) char control[64];
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};

	SHOW(send(client, query, length, 0));
	SHOW(recvfrom(server, data, sizeof(data), 0, (struct sockaddr *)&from, &len));
	show_name(&from, len);
	data[2] = (char)0x81;
	SHOW(sendto(server, data, length, 0, (struct sockaddr *)&from, len));
	SHOW(recv(client, data, sizeof(data), 0));
	SHOW(write(client, query, length));
	if (SHOW(recvmsg(server, &m, 0)) >= 0)
		show_message(&m);
}

int main(void)
{
	static const int numbers[] = {1000, 65535, 65536, 70000, 262144, 1048574};
	struct rlimit limit = {1 << 20, 1 << 20};
	int server = bound_udp("0.0.0.0", SERVER_PORT),
	    client = bound_udp("127.0.0.1", CLIENT_PORT);

	length = dns_query(query, 1, "numbers.test");
	connect_to(client, "127.0.0.1", SERVER_PORT);
	SHOW(setrlimit(RLIMIT_NOFILE, &limit));
	for (int i = 0; i < 6; i++) {
		SHOW(dup2(server, numbers[i]));
		SHOW(fcntl(client, F_DUPFD, numbers[i] + 1) - numbers[i]);
		exchange(numbers[i], numbers[i] + 1);
		exchange(server, numbers[i] + 1);
		exchange(numbers[i], client);
		SHOW(close(numbers[i]));
		exchange(server, numbers[i] + 1);
		SHOW(dup3(client, numbers[i], O_CLOEXEC));
		exchange(server, numbers[i]);
	}
	SHOW(close(1 << 20));
	SHOW(close(0x7fffffff));
	SHOW(dup2(server, 1 << 20));
	SHOW(recv(1 << 20, data, sizeof(data), 0));
	SHOW(recv(-7, data, sizeof(data), 0));
	return 0;
}
