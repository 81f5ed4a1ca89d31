// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One thread sends queries, another receives and sends, while main forks: each child sends and receives as well, on the
 * old sockets and on new ones. A child that takes longer than some seconds hangs.
 *
 *     s_fork COUNT
 */
#include "show.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

enum { NAMES = 16, PATIENCE = 5 };

static int client, server, tcp[2];
static volatile bool stop;
static char query[NAMES][64], frame[64];
static size_t length, framed;

static void *send_queries(void *unused)
{
	while (!stop)
		for (int i = 0; i < NAMES; i++) {
			NEED(send(client, query[i], length, 0) == (ssize_t)length);
			if (send(tcp[0], frame, framed, MSG_DONTWAIT) < 0)
				NEED(errno == EAGAIN);
		}
	return unused;
}

static void *receive_queries(void *unused)
{
	char data[4096];

	while (!stop) {
		if (recv(server, data, sizeof(data), 0) < 0)
			NEED(errno == EAGAIN);
		if (recv(tcp[1], data, sizeof(data), MSG_DONTWAIT) < 0)
			NEED(errno == EAGAIN);
	}
	return unused;
}

static void child(void)
{
	char data[512];
	int fd;

	alarm(PATIENCE);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	connect_to(fd, "127.0.0.1", SERVER_PORT);
	for (int i = 0; i < NAMES; i++) {
		NEED(send(client, query[i], length, 0) == (ssize_t)length);
		NEED(send(fd, query[i], length, 0) == (ssize_t)length);
		if (recv(server, data, sizeof(data), MSG_DONTWAIT) < 0)
			NEED(errno == EAGAIN);
	}
	NEED(close(fd) == 0);
	_exit(0);
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 100, hung = 0, failed = 0;
	pthread_t thread[2];

	server = bound_udp("0.0.0.0", SERVER_PORT);
	client = socket(AF_INET, SOCK_DGRAM, 0);
	connect_to(client, "127.0.0.1", SERVER_PORT);
	tcp_pair(tcp, SERVER_PORT + 2);
	framed = dns_frame(frame, 1, "fork.test");
	for (int i = 0; i < NAMES; i++)
		length = dns_query(query[i], (unsigned)i, (char[]){(char)('a' + i), 0});
	NEED(pthread_create(&thread[0], NULL, send_queries, NULL) == 0);
	NEED(pthread_create(&thread[1], NULL, receive_queries, NULL) == 0);
	for (int i = 0; i < count && hung < 3; i++) {
		int status = -1;
		pid_t pid = fork();

		NEED(pid >= 0);
		if (!pid)
			child();
		NEED(waitpid(pid, &status, 0) == pid);
		hung += WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
		failed += status != 0;
	}
	stop = true;
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	printf("children: %d hung, %d failed\n", hung, failed);
	return hung || failed;
}
