// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The C library's own resolver, which sends and receives without the interposed calls, against a server on
 * 127.0.0.1:53 in a thread of this process; a truncated answer sends it to TCP. Needs a resolv.conf that says so.
 */
#include "show.h"

#include <netdb.h>
#include <pthread.h>

enum { HEADER = 12, DNS_PORT = 53, TYPE_A = 1 };

/* Makes an answer of a query: 192.0.2.7 where an A record was asked for, and nothing but TC where it was cut. */
static size_t answer(unsigned char *msg, size_t n, bool cut)
{
	static const unsigned char record[] = {0xc0, HEADER, 0, 1, 0,	1, 0, 0,
					       0,    9,	     0, 4, 192, 0, 2, 7};
	size_t end = HEADER;

	while (end < n && msg[end])
		end += msg[end] + 1U;
	bool a = msg[end + 2] == TYPE_A;

	end += 5;
	msg[2] = cut ? 0x83 : 0x81;
	msg[3] = 0x80;
	memset(msg + 6, 0, 6);
	if (!a || cut)
		return end;
	msg[7] = 1;
	memcpy(msg + end, record, sizeof(record));
	return end + sizeof(record);
}

static void *serve_udp(void *arg)
{
	const int *fd = arg;

	for (;;) {
		unsigned char msg[1024];
		struct sockaddr_storage from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(*fd, msg, 512, 0, (struct sockaddr *)&from, &len);

		if (n < HEADER)
			continue;
		size_t out = answer(msg, (size_t)n, msg[HEADER + 1] == 't');

		NEED(sendto(*fd, msg, out, 0, (struct sockaddr *)&from, len) == (ssize_t)out);
	}
	return NULL;
}

static void *serve_tcp(void *arg)
{
	const int *listener = arg;

	for (;;) {
		unsigned char msg[1024];
		int fd = accept(*listener, NULL, NULL);

		while (recv(fd, msg, 2, MSG_WAITALL) == 2) {
			ssize_t n = recv(fd, msg + 2, msg[0] * 256U + msg[1], MSG_WAITALL);
			size_t out = n < HEADER ? 0 : answer(msg + 2, (size_t)n, false);

			msg[0] = (unsigned char)(out >> 8);
			msg[1] = (unsigned char)out;
			NEED(write(fd, msg, out + 2) == (ssize_t)out + 2);
		}
		close(fd);
	}
	return NULL;
}

static void look_up(const char *name)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found = NULL;

	printf("%s: ", name);
	errno = UNTOUCHED;
	int error = getaddrinfo(name, "53", &hints, &found);

	printf("%d %s\n", error, error ? gai_strerror(error) : "");
	for (struct addrinfo *it = found; it; it = it->ai_next)
		show_name(it->ai_addr, it->ai_addrlen);
	if (found)
		freeaddrinfo(found);
}

int main(void)
{
	int udp = bound(SOCK_DGRAM, "127.0.0.1", DNS_PORT),
	    tcp = bound(SOCK_STREAM, "127.0.0.1", DNS_PORT);
	pthread_t thread[2];

	NEED(listen(tcp, 4) == 0);
	NEED(pthread_create(&thread[0], NULL, serve_udp, &udp) == 0);
	NEED(pthread_create(&thread[1], NULL, serve_tcp, &tcp) == 0);
	for (int i = 0; i < 3; i++) {
		look_up("a.example.test");
		look_up("truncated.example.test");
	}
	return 0;
}
