// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two threads write on one connection, each its own client's query, at the same moment: the firewall's rules count the
 * marks that each query's segments bore. RULES of transparency-marks tell them apart by their names. Under behind.so each
 * write can be held for a moment after it was marked.
 *
 *     m_writers wait|poll [held]    the writes wait, or say that they cannot and come again when poll(2) says so
 */
#include "client.h"

#include <dlfcn.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <time.h>

enum { WRITERS = 2, ROUNDS = 500, SECONDS = 15, HELD_US = 200 };

struct writer {
	pthread_t thread;
	char frame[512];
	size_t length;
};

static int connection[2], flags;
static pthread_barrier_t together;
static time_t end;
static _Atomic int ended;

static void hold(void)
{
	struct timespec moment = {.tv_nsec = HELD_US * 1000};

	NEED(syscall(SYS_nanosleep, &moment, NULL) == 0);
}

static void *take_all(void *unused)
{
	char data[4096];

	do {
		/* at once, so that nothing has to be sent again: that would bear the latest query's mark */
		turn_on(connection[1], IPPROTO_TCP, TCP_QUICKACK);
	} while (syscall(SYS_read, connection[1], data, sizeof(data)) > 0);
	return unused;
}

static void write_all(const struct writer *w)
{
	struct pollfd p = {.fd = connection[0], .events = POLLOUT};
	ssize_t n;

	while ((n = send(connection[0], w->frame, w->length, flags)) < 0)
		NEED(errno == EAGAIN && flags && poll(&p, 1, 1000) == 1);
	NEED(n == (ssize_t)w->length);
}

static void wait_until_acknowledged(void)
{
	int unacknowledged;

	do
		NEED(ioctl(connection[0], SIOCOUTQ, &unacknowledged) == 0);
	while (unacknowledged);
}

static void *write_often(void *arg)
{
	const struct writer *w = arg;

	for (int i = 0; i < ROUNDS && !ended; i++) {
		pthread_barrier_wait(&together);
		write_all(w);
		wait_until_acknowledged();
		if (pthread_barrier_wait(&together) == PTHREAD_BARRIER_SERIAL_THREAD)
			ended = time(NULL) > end;
		pthread_barrier_wait(&together);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static const char *const names[WRITERS] = {"first-client.test", "second-client.test"};
	struct writer writers[WRITERS];
	int server = bound_udp("127.0.0.1", SERVER_PORT);
	void (**before_send)(void) = dlsym(RTLD_DEFAULT, "before_send");
	pthread_t taker;

	if (argc > 2) {
		NEED(before_send);
		*before_send = hold;
	}
	flags = argc > 1 && strcmp(argv[1], "poll") == 0 ? MSG_DONTWAIT : 0;
	end = time(NULL) + SECONDS;
	tcp_pair(connection, UPSTREAM_PORT);
	NEED(pthread_create(&taker, NULL, take_all, NULL) == 0);
	NEED(pthread_barrier_init(&together, NULL, WRITERS) == 0);
	for (int i = 0; i < WRITERS; i++)
		writers[i].length = frame_of(i + 1, names[i], server, writers[i].frame);
	for (int i = 0; i < WRITERS; i++)
		NEED(pthread_create(&writers[i].thread, NULL, write_often, &writers[i]) == 0);
	for (int i = 0; i < WRITERS; i++)
		NEED(pthread_join(writers[i].thread, NULL) == 0);
	NEED(shutdown(connection[0], SHUT_WR) == 0);
	NEED(pthread_join(taker, NULL) == 0);
	return 0;
}
