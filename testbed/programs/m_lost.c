// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A thread that has lost the capability, by a change of user in another thread: its sockets bear client 1's mark, and
 * client 2's query must not leave with that.
 */
#include "client.h"

#include <pthread.h>
#include <semaphore.h>

static int tcp[2], udp6, udp4, at, at6;
static char frame[512];
static size_t length;
static sem_t changed;

static int connected6(void)
{
	struct sockaddr_in6 to = v6("::1", UPSTREAM_PORT);
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), on = 1;

	at6 = (int)syscall(SYS_socket, AF_INET6, SOCK_DGRAM, 0);
	NEED(at6 >= 0 && syscall(SYS_bind, at6, &to, sizeof(to)) == 0);
	NEED(syscall(SYS_setsockopt, at6, SOL_SOCKET, SO_RCVMARK, &on, sizeof(on)) == 0);
	NEED(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	return fd;
}

static const char *outcome(ssize_t n)
{
	return n < 0 ? strerrorname_np(errno) : "sent";
}

static void send_all(void)
{
	printf("TCP: %s", outcome(send(tcp[0], frame, length, MSG_NOSIGNAL)));
	printf(", socket's mark %u\n", socket_mark(tcp[0]));
	printf("connected UDP over IPv6: %s", outcome(send(udp6, frame + 2, length - 2, 0)));
	printf(", arrived with mark %d\n", arrived_mark(at6, NULL));
	printf("UDP over IPv4: %s", outcome(send(udp4, frame + 2, length - 2, 0)));
	printf(", arrived with mark %d\n", arrived_mark(at, NULL));
}

static void *other(void *unused)
{
	while (sem_wait(&changed) != 0)
		;
	send_all();
	return unused;
}

int main(void)
{
	int server = bound_udp("127.0.0.1", SERVER_PORT);
	pthread_t thread;

	at = upstream();
	udp4 = to_upstream();
	udp6 = connected6();
	tcp_pair(tcp, UPSTREAM_PORT);
	puts("client 1");
	length = frame_of(1, "one.test", server, frame);
	send_all();
	puts("client 2, in a thread that may no longer set marks");
	length = frame_of(2, "two.test", server, frame);
	NEED(sem_init(&changed, 0, 0) == 0);
	NEED(pthread_create(&thread, NULL, other, NULL) == 0);
	NEED(setuid(65534) == 0);
	NEED(sem_post(&changed) == 0);
	NEED(pthread_join(thread, NULL) == 0);
	puts("client 2, in the thread that changed its user");
	send_all();
	return 0;
}
