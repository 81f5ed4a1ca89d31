// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Clients 1 and 2 wait beneath one zone, 2 being the later. While a thread answers 2, and has got no further than the
 * call that sent the answer (behind.c), another sends a query for the zone: that is client 1's, whoever still waits.
 */
#include "client.h"

#include <dlfcn.h>
#include <pthread.h>

enum { SENDTO, SENDMSG, SENDMMSG, TCP, WAYS };

static const char *const names[WAYS] = {"sendto", "sendmsg", "sendmmsg", "TCP"};
static int at, held; /* held: the mark of what left while the answer did */
static void (**behind_send)(void);
static char zone[64];

static void *send_for_zone(void *unused)
{
	char query[512];
	size_t n = dns_query(query, 7, zone);
	int fd = to_upstream();

	NEED(send(fd, query, n, 0) == (ssize_t)n);
	NEED(close(fd) == 0);
	held = arrived_mark(at, NULL);
	return unused;
}

static void answer_has_left(void)
{
	pthread_t other;

	*behind_send = NULL;
	NEED(pthread_create(&other, NULL, send_for_zone, NULL) == 0);
	NEED(pthread_join(other, NULL) == 0);
}

static size_t receive(int server, char *data, struct sockaddr_in *from)
{
	socklen_t len = sizeof(*from);
	ssize_t n = recvfrom(server, data, 512, 0, (struct sockaddr *)from, &len);

	NEED(n > 0);
	turn_ends();
	return (size_t)n;
}

/* The TCP client's query comes in, behind its length. */
static size_t receive_frame(int fd, char *data)
{
	ssize_t n = recv(fd, data, 512, 0);

	NEED(n > 2);
	turn_ends();
	return (size_t)n;
}

static int tcp_client_asks(int listener, const char *name, int *client)
{
	char frame[512];
	size_t n = dns_frame(frame, 2, name);
	struct sockaddr_in from = v4("127.0.1.2", 0), to = v4("127.0.0.1", SERVER_PORT);

	*client = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
	NEED(*client >= 0 && syscall(SYS_bind, *client, &from, sizeof(from)) == 0);
	NEED(syscall(SYS_connect, *client, &to, sizeof(to)) == 0);
	NEED(syscall(SYS_sendto, *client, frame, n, 0, NULL, 0) == (long)n);
	int fd = accept(listener, NULL, NULL);

	NEED(fd >= 0);
	return fd;
}

/* Client 2's answer leaves, in one of these ways. */
static void answer(int way, int fd, char *data, size_t n, struct sockaddr_in *to)
{
	struct iovec iov = {data, n};
	struct mmsghdr many = {.msg_hdr = {.msg_name = to,
					   .msg_namelen = sizeof(*to),
					   .msg_iov = &iov,
					   .msg_iovlen = 1}};

	data[way == TCP ? 4 : 2] |= (char)0x80;
	held = -1;
	*behind_send = answer_has_left;
	switch (way) {
	case SENDTO:
		NEED(sendto(fd, data, n, 0, (struct sockaddr *)to, sizeof(*to)) == (ssize_t)n);
		break;
	case SENDMSG:
		NEED(sendmsg(fd, &many.msg_hdr, 0) == (ssize_t)n);
		break;
	case SENDMMSG:
		NEED(sendmmsg(fd, &many, 1, 0) == 1);
		break;
	default:
		NEED(send(fd, data, n, 0) == (ssize_t)n);
	}
}

int main(void)
{
	char data[512], name[80];
	int server = bound_udp("127.0.0.1", SERVER_PORT), client[2];
	int listener = bound(SOCK_STREAM, "127.0.0.1", SERVER_PORT);
	struct sockaddr_in from;

	NEED(listen(listener, 4) == 0);
	behind_send = dlsym(RTLD_DEFAULT, "behind_send");
	NEED(behind_send);
	at = upstream();
	for (int way = 0; way < WAYS; way++) {
		int fd = server;
		size_t n;

		snprintf(zone, sizeof(zone), "zone%d.test", way);
		snprintf(name, sizeof(name), "one.%s", zone);
		client[0] = client_asks(1, 1, name);
		receive(server, data, &from);
		snprintf(name, sizeof(name), "two.%s", zone);
		if (way == TCP) {
			fd = tcp_client_asks(listener, name, &client[1]);
			n = receive_frame(fd, data);
		} else {
			client[1] = client_asks(2, 2, name);
			n = receive(server, data, &from);
		}
		send_for_zone(NULL);
		printf("%s: mark %d", names[way], held);
		answer(way, fd, data, n, &from);
		printf(", once client 2 has its answer %d\n", held);
		NEED(syscall(SYS_close, client[0]) == 0 && syscall(SYS_close, client[1]) == 0);
	}
	return 0;
}
