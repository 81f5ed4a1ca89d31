// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The fortified forms of the receiving calls and of poll, which programs import where the compiler knows a buffer's
 * size and not the length: they work as the plain ones do, and end the program where the length is too large.
 */
#undef _FORTIFY_SOURCE
#define _FORTIFY_SOURCE 2
#include "show.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

static volatile size_t room = 64, too_much = 65;

static void good(int server, int client)
{
	char data[64], query[64];
	size_t n = dns_query(query, 1, "fortify.test");
	struct sockaddr_in from = {0};
	socklen_t len = sizeof(from);
	struct pollfd p[1] = {{.fd = server, .events = POLLIN}};

	for (int i = 0; i < 3; i++)
		NEED(send(client, query, n, 0) == (ssize_t)n);
	SHOW(poll(p, room / 64, 1000));
	SHOW(ppoll(p, room / 64, NULL, NULL));
	SHOW(read(server, data, room));
	SHOW(recv(server, data, room, 0));
	SHOW(recvfrom(server, data, room, 0, (struct sockaddr *)&from, &len));
	show_name(&from, len);
	show_bytes("data", data, n);
	SHOW(recv(server, data, room, MSG_DONTWAIT));
}

static void overflow(int which, int server)
{
	char data[64];
	struct pollfd p[1] = {{.fd = server, .events = POLLIN}};

	switch (which) {
	case 0:
		NEED(read(server, data, too_much) >= 0);
		break;
	case 1:
		NEED(recv(server, data, too_much, 0) >= 0);
		break;
	case 2:
		NEED(recvfrom(server, data, too_much, 0, NULL, NULL) >= 0);
		break;
	case 3:
		NEED(poll(p, too_much, 0) >= 0);
		break;
	default:
		NEED(ppoll(p, too_much, NULL, NULL) >= 0);
	}
}

static void bad(int server)
{
	for (int which = 0; which < 5; which++) {
		int status = 0;

		fflush(stdout);
		pid_t child = fork();

		if (!child) {
			NEED(close(STDERR_FILENO) == 0);
			overflow(which, server);
			_exit(0);
		}
		NEED(waitpid(child, &status, 0) == child);
		printf("%d: %s\n", which,
		       WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? "aborted" : "went on");
	}
}

int main(void)
{
	int any = bound_udp("0.0.0.0", SERVER_PORT), one = bound_udp("127.0.0.1", SERVER_PORT + 1);
	int client = bound_udp("127.0.0.1", CLIENT_PORT);

	connect_to(client, "127.0.0.1", SERVER_PORT);
	good(any, client);
	bad(any);
	connect_to(client, "127.0.0.1", SERVER_PORT + 1);
	good(one, client);
	return 0;
}
