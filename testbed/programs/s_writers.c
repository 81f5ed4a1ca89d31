// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A thread's write on a connection waits for room; what another thread, a signal handler, a child and, once the first
 * thread is cancelled, everybody may do meanwhile: the same as without the library.
 */
#include "show.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

enum { HUNG_SECONDS = 5 };

static int connection[2], drained[2];
static char frame[64];
static size_t length;
static volatile sig_atomic_t
	handled; /* what the handler's write came to: an errno, or -1: it was taken */

static bool has_room(void)
{
	struct pollfd p = {.fd = connection[0], .events = POLLOUT};

	NEED(poll(&p, 1, 0) >= 0);
	return p.revents & POLLOUT;
}

/* What has been written moves on to the other end's buffer for a while. */
static void fill(void)
{
	int small = 16384;

	NEED(setsockopt(connection[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
	NEED(setsockopt(connection[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) == 0);
	for (int full = 0; full < 10; full++, usleep(10000))
		while (send(connection[0], frame, length, MSG_DONTWAIT) > 0)
			full = 0;
	NEED(errno == EAGAIN && !has_room());
}

static void *write_for_ever(void *unused)
{
	while (send(connection[0], frame, length, 0) > 0)
		;
	return unused;
}

static void write_in_handler(int sig)
{
	int saved = errno;

	(void)sig;
	handled = send(connection[0], frame, length, MSG_DONTWAIT) < 0 ? errno : -1;
	errno = saved;
}

static void drain(void)
{
	char data[65536];

	for (int quiet = 0; quiet < 50 || !has_room(); quiet++) {
		while (recv(connection[1], data, sizeof(data), MSG_DONTWAIT) > 0)
			quiet = 0;
		usleep(1000);
	}
}

/* A child knows of the writer, but does not have it. */
static void write_in_child(void)
{
	char byte;

	alarm(HUNG_SECONDS);
	SHOW(send(connection[0], frame, length, MSG_DONTWAIT));
	NEED(read(drained[0], &byte, 1) == 1);
	SHOW(send(connection[0], frame, length, MSG_DONTWAIT));
	SHOW(send(connection[0], frame, length, 0));
	exit(0);
}

int main(void)
{
	pthread_t writer;
	void *result;
	int status;

	signal(SIGUSR1, write_in_handler);
	tcp_pair(connection, SERVER_PORT);
	NEED(pipe(drained) == 0);
	length = dns_frame(frame, 1, "writers.test");
	fill();
	alarm(HUNG_SECONDS);
	NEED(pthread_create(&writer, NULL, write_for_ever, NULL) == 0);
	usleep(50000);
	SHOW(send(connection[0], frame, length, MSG_DONTWAIT));
	NEED(pthread_kill(writer, SIGUSR1) == 0);
	while (!handled)
		usleep(1000);
	printf("in a handler: %s\n", handled > 0 ? strerrorname_np(handled) : "sent");
	fflush(stdout);
	pid_t child = fork();

	NEED(child >= 0);
	if (!child)
		write_in_child();
	usleep(50000); /* its first lines come first */
	NEED(pthread_cancel(writer) == 0 && pthread_join(writer, &result) == 0);
	printf("the writer: %s\n", result == PTHREAD_CANCELED ? "cancelled" : "ended");
	drain();
	SHOW(send(connection[0], frame, length, MSG_DONTWAIT));
	SHOW(send(connection[0], frame, length, 0));
	NEED(write(drained[1], "", 1) == 1 && waitpid(child, &status, 0) == child);
	printf("the child: %s\n", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "ended");
	return 0;
}
