// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A connection that takes no more: EAGAIN, SO_SNDTIMEO, a signal (EINTR, or waiting on with SA_RESTART), shut down or
 * reset while bytes wait to be sent (EPIPE, SIGPIPE, ECONNRESET). The program changes its mark, so that the library
 * would have to wait for the bytes before it.
 */
#include "show.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>

static char frame[64], data[65536];
static size_t length;
static int pair[2];
static volatile sig_atomic_t alarms, pipes;

static void on_signal(int signal)
{
	if (signal == SIGALRM)
		alarms = alarms + 1;
	else
		pipes = pipes + 1;
}

static void signals(int flags)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};

	alarms = pipes = 0;
	NEED(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGPIPE, &action, NULL) == 0);
}

/* A connection with a query on it, and behind that as much as it takes; then another mark. */
static void fill(void)
{
	static int port = SERVER_PORT;
	int small = 4096; /* which the kernel doubles */
	unsigned mark = 7;

	tcp_pair(pair, port++);
	NEED(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
	NEED(send(pair[0], frame, length, 0) == (ssize_t)length);
	for (int quiet = 0; quiet < 60; quiet++) {
		while (syscall(SYS_sendto, pair[0], frame, length, MSG_DONTWAIT, NULL, 0) ==
		       (long)length)
			quiet = 0;
		usleep(2000);
	}
	SHOW(setsockopt(pair[0], SOL_SOCKET, SO_MARK, &mark, sizeof(mark)));
}

static void done(void)
{
	NEED(close(pair[0]) == 0 && (pair[1] < 0 || close(pair[1]) == 0));
}

static void alarm_in(int milliseconds)
{
	struct itimerval once = {.it_value = {.tv_usec = milliseconds * 1000}};

	NEED(setitimer(ITIMER_REAL, &once, NULL) == 0);
}

static void every_call(int flags)
{
	struct iovec iov = {frame, length};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	struct mmsghdr many = {.msg_hdr = m};

	SHOW(send(pair[0], frame, length, flags));
	SHOW(sendmsg(pair[0], &m, flags));
	SHOW(sendmmsg(pair[0], &many, 1, flags));
	if (flags)
		return;
	SHOW(write(pair[0], frame, length));
	SHOW(writev(pair[0], &iov, 1));
	printf("SIGPIPE: %d\n", pipes);
}

static void *drain(void *unused)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	usleep(150000);
	for (int quiet = 0; quiet < 50; quiet++) {
		while (syscall(SYS_recvfrom, pair[1], data, sizeof(data), MSG_DONTWAIT, 0, 0) > 0)
			quiet = 0;
		usleep(2000);
	}
	return unused;
}

static void while_drained(void)
{
	pthread_t thread;

	NEED(pthread_create(&thread, NULL, drain, NULL) == 0);
	alarm_in(50);
	SHOW(send(pair[0], frame, length, 0));
	printf("signals: %d\n", alarms);
	NEED(pthread_join(thread, NULL) == 0);
}

int main(void)
{
	struct timeval limit = {.tv_usec = 50000};
	struct linger reset = {.l_onoff = 1};

	signals(0);
	length = dns_frame(frame, 1, "full.test");
	puts("full"), fill();
	every_call(MSG_DONTWAIT);
	NEED(setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0);
	every_call(0);
	NEED(fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0);
	every_call(0);
	done(), puts("interrupted"), fill();
	alarm_in(50);
	SHOW(send(pair[0], frame, length, 0));
	printf("signals: %d\n", alarms);
	done(), puts("waits for the reader"), fill();
	signals(SA_RESTART);
	while_drained();
	done(), puts("shut down"), fill();
	NEED(shutdown(pair[0], SHUT_WR) == 0);
	every_call(MSG_NOSIGNAL);
	every_call(0);
	done(), puts("reset"), fill();
	NEED(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0);
	NEED(close(pair[1]) == 0);
	pair[1] = -1;
	every_call(0);
	done();
	return 0;
}
