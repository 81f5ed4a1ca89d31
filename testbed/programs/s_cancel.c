// SPDX-License-Identifier: GPL-2.0-or-later
/* pthread_cancel in each call that waits: the threads end, nothing stays locked, and no memory is left behind. */
#include "show.h"

#include <poll.h>
#include <pthread.h>

enum { ROUNDS = 30, BATCH = 64 };

static int server, client, tcp[2], quiet;
static char query[64], data[512];
static size_t length;

static void *in_recv(void *unused)
{
	return recv(server, data, sizeof(data), 0) ? unused : NULL;
}

static void *in_recvmsg(void *unused)
{
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	return recvmsg(server, &m, 0) ? unused : NULL;
}

static void *in_recvmmsg(void *unused)
{
	struct iovec iov = {data, sizeof(data)};
	struct mmsghdr vec[BATCH];

	for (int i = 0; i < BATCH; i++)
		vec[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
	return recvmmsg(server, vec, BATCH, 0, NULL) ? unused : NULL;
}

static void *in_read(void *unused)
{
	return read(tcp[1], data, sizeof(data)) ? unused : NULL;
}

static void *in_accept(void *unused)
{
	return accept(quiet, NULL, NULL) ? unused : NULL;
}

static void *in_poll(void *unused)
{
	struct pollfd p = {.fd = server, .events = POLLIN};

	return poll(&p, 1, -1) ? unused : NULL;
}

/* Until the connection takes no more. */
static void *in_send(void *unused)
{
	char frame[64];
	size_t n = dns_frame(frame, 1, "cancel.test");

	while (send(tcp[0], frame, n, 0) > 0)
		;
	return unused;
}

/* A cancellation that is pending already takes the thread at the first call that may wait. */
static void *pending(void *unused)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cancel(pthread_self());
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	return send(client, query, length, 0) ? unused : NULL;
}

static long kilobytes(void)
{
	long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	NEED(file && fscanf(file, "%ld", &pages) == 1 && fclose(file) == 0);
	return pages * 4;
}

static void cancel(const char *what, void *(*run)(void *))
{
	static int arg;
	int cancelled = 0;
	long before = 0;

	for (int i = 0; i < ROUNDS; i++) {
		pthread_t thread;
		void *result;

		if (i == 2)
			before = kilobytes();
		NEED(pthread_create(&thread, NULL, run, &arg) == 0);
		usleep(3000);
		NEED(pthread_cancel(thread) == 0 || run == pending);
		NEED(pthread_join(thread, &result) == 0);
		cancelled += result == PTHREAD_CANCELED;
		while (run == in_send && recv(tcp[1], data, sizeof(data), MSG_DONTWAIT) > 0)
			;
		NEED(send(client, query, length, 0) == (ssize_t)length);
		NEED(recv(server, data, sizeof(data), 0) == (ssize_t)length);
	}
	printf("%s: %d of %d cancelled, memory %s\n", what, cancelled, ROUNDS,
	       kilobytes() - before < 256 ? "as before" : "has grown");
}

int main(void)
{
	server = bound(SOCK_DGRAM, "0.0.0.0", SERVER_PORT);
	client = socket(AF_INET, SOCK_DGRAM, 0);
	connect_to(client, "127.0.0.1", SERVER_PORT);
	tcp_pair(tcp, SERVER_PORT + 2);
	quiet = bound(SOCK_STREAM, "127.0.0.1", SERVER_PORT + 3);
	NEED(listen(quiet, 1) == 0);
	length = dns_query(query, 1, "cancel.test");
	cancel("recv", in_recv);
	cancel("recvmsg", in_recvmsg);
	cancel("recvmmsg", in_recvmmsg);
	cancel("read", in_read);
	cancel("accept", in_accept);
	cancel("poll", in_poll);
	cancel("send", in_send);
	cancel("send, pending", pending);
	return 0;
}
