// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Threads that do everything at once, for a race detector to watch: they receive from one server socket, send upstream
 * by sockets that all share and by sockets of their own, over UDP and TCP, answer clients, close and reuse numbers, and end while
 * others begin. Every query that was asked is sent upstream by somebody.
 *
 *     f_race ROUNDS [WRONG]    WRONG: the threads also do something that a detector must find: race, or order
 */
#include "client.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 4, IN_TURN = 3, NAMES = 50, SHARED = 100 };

static int server, shared[SHARED], at, tcp_shared, rounds;
static _Atomic int asked, sent;

static void receive_some(int round)
{
	char data[512];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n =
		recvfrom(server, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from, &len);

	if (n < 0)
		return;
	NEED(send(shared[round % SHARED], data, (size_t)n, 0) == n);
	sent++;
	data[2] = (char)0x81;
	NEED(sendto(server, data, (size_t)n, 0, (struct sockaddr *)&from, len) == n);
}

/* By sockets whose numbers others have had, and will have. */
static void send_by_own(unsigned id)
{
	char frame[512], name[64];
	struct sockaddr_in to = v4("127.0.0.1", UPSTREAM_PORT);

	snprintf(name, sizeof(name), "n%u.race.test", id % NAMES);
	size_t n = dns_frame(frame, id, name);
	int udp = to_upstream(), tcp = socket(AF_INET, SOCK_STREAM, 0), twin;

	NEED(send(udp, frame + 2, n - 2, 0) == (ssize_t)n - 2);
	NEED((twin = dup(udp)) >= 0 && write(twin, frame + 2, n - 2) == (ssize_t)n - 2);
	NEED(close(twin) == 0 && close(udp) == 0);
	NEED(connect(tcp, (struct sockaddr *)&to, sizeof(to)) == 0);
	NEED(send(tcp, frame, n, MSG_NOSIGNAL) == (ssize_t)n);
	NEED(close(tcp) == 0);
	/* one that all share: it may have to wait for another's mark */
	if (send(tcp_shared, frame, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		NEED(errno == EAGAIN);
}

static const char *wrong = "";

/* Controls for the detectors. */
static void race(void)
{
	static int plain;

	plain++;
}

static void lock_both(pthread_mutex_t *first, pthread_mutex_t *second)
{
	NEED(pthread_mutex_lock(first) == 0 && pthread_mutex_lock(second) == 0);
	NEED(pthread_mutex_unlock(second) == 0 && pthread_mutex_unlock(first) == 0);
}

static void lock_in_either_order(void)
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER, two = PTHREAD_MUTEX_INITIALIZER;

	lock_both(&one, &two);
	lock_both(&two, &one);
}

/* New ones for each turn: all threads come to each for the first time in the same round. */
static void renew_shared(void)
{
	for (int i = 0; i < SHARED; i++) {
		NEED(shared[i] == 0 || close(shared[i]) == 0);
		shared[i] = to_upstream();
	}
}

static void *work(void *arg)
{
	unsigned first = *(unsigned *)arg;

	for (int i = 0; i < rounds; i++) {
		unsigned id = first + (unsigned)i;
		char name[64];

		snprintf(name, sizeof(name), "n%u.race.test", id % NAMES);
		int client = client_asks((int)(id % 3) + 1, id & 0xffff, name);

		asked++;
		if (strcmp(wrong, "race") == 0)
			race();
		turn_ends();
		receive_some(i);
		send_by_own(id);
		NEED(syscall(SYS_close, client) == 0);
	}
	return NULL;
}

/* The upstream's end of all TCP connections: takes what comes, so that nothing waits for ever. */
static void *take_all(void *arg)
{
	int listener = *(int *)arg, fd;
	char data[4096];

	while ((fd = (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		static int kept = -1;

		if (kept < 0) {
			kept = fd; /* the shared one comes first */
			continue;
		}
		syscall(SYS_close, fd);
		while (syscall(SYS_read, kept, data, sizeof(data)) > 0)
			;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t taker, thread[THREADS];
	unsigned first[THREADS];
	int listener = bound(SOCK_STREAM, "127.0.0.1", UPSTREAM_PORT);

	rounds = argc > 1 ? atoi(argv[1]) : 50;
	wrong = argc > 2 ? argv[2] : "";
	if (strcmp(wrong, "order") == 0)
		lock_in_either_order();
	server = bound_udp("127.0.0.1", SERVER_PORT);
	large_buffer(server);
	at = upstream();
	NEED(listen(listener, 64) == 0);
	NEED(pthread_create(&taker, NULL, take_all, &listener) == 0);
	NEED((tcp_shared = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	connect_to(tcp_shared, "127.0.0.1", UPSTREAM_PORT);
	for (unsigned turn = 0; turn < IN_TURN; turn++) {
		renew_shared();
		for (unsigned i = 0; i < THREADS; i++) {
			first[i] = (turn * THREADS + i) * (unsigned)rounds;
			NEED(pthread_create(&thread[i], NULL, work, &first[i]) == 0);
		}
		for (unsigned i = 0; i < THREADS; i++)
			NEED(pthread_join(thread[i], NULL) == 0);
	}
	while (sent < asked)
		receive_some(0);
	printf("asked %d, sent %d\n", asked, sent);
	exit(0); /* the taker waits */
}
