// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Thousands of short-lived threads, some at once, each of which receives a client's query and sends it upstream: the
 * marks are right, and neither memory nor descriptors grow.
 */
#include "client.h"
#include "growth.h"

#include <pthread.h>

/* WARM: the library's table, whose memory is touched as it fills, is full before the threads begin */
enum { NAMES = 300, WARM = 9000, AT_ONCE = 8, THREADS = 5000, COMPARED = 1000, ALLOWED_KB = 512 };

static int server, at;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int right, wrong;

static void *resolve(void *arg)
{
	char query[512], name[64];
	int n = *(int *)arg % 3 + 1;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);

	snprintf(name, sizeof(name), "n%d.threads.test", *(int *)arg % NAMES);
	NEED(pthread_mutex_lock(&turn) == 0);
	int client = client_asks(n, 1, name), fd = to_upstream();
	ssize_t length = recvfrom(server, query, sizeof(query), 0, (struct sockaddr *)&from, &len);

	NEED(length > 0 && send(fd, query, (size_t)length, 0) == length);
	int mark = arrived_mark(at, NULL);

	right += mark == n;
	wrong += mark && mark != n;
	query[2] = (char)0x81; /* and the client is answered */
	NEED(sendto(server, query, (size_t)length, 0, (struct sockaddr *)&from, len) == length);
	NEED(close(fd) == 0 && syscall(SYS_close, client) == 0);
	NEED(pthread_mutex_unlock(&turn) == 0);
	return arg;
}

static void run(int from, int to)
{
	for (int i = from; i < to; i += AT_ONCE) {
		pthread_t thread[AT_ONCE];
		int arg[AT_ONCE];

		for (int j = 0; j < AT_ONCE; j++) {
			arg[j] = i + j;
			NEED(pthread_create(&thread[j], NULL, resolve, &arg[j]) == 0);
		}
		for (int j = 0; j < AT_ONCE; j++)
			NEED(pthread_join(thread[j], NULL) == 0);
	}
}

int main(void)
{
	server = bound_udp("127.0.0.1", SERVER_PORT);
	at = upstream();
	for (int i = 0; i < WARM; i++)
		resolve(&i);
	right = wrong = 0;
	run(0, COMPARED);
	long kb = resident_kb();
	int open = descriptors();

	run(COMPARED, THREADS);
	printf("marks: %s, wrong: %d\n",
	       right == THREADS ? "all right"
	       : right		? "some"
				: "none",
	       wrong);
	kb = resident_kb() - kb;
	if (kb < ALLOWED_KB)
		printf("memory: flat\n");
	else
		printf("memory: grew by %ld kB\n", kb);
	printf("descriptors: %+d\n", descriptors() - open);
	return 0;
}
