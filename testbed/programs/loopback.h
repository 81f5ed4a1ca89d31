/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets on the loopback device, and DNS messages to send between them. */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SERVER_PORT = 5300, CLIENT_PORT = 5400 };

/* The program cannot go on: what was needed for the test itself did not work. */
#define NEED(x)                                                                             \
	do {                                                                                \
		if (!(x)) {                                                                 \
			printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #x, strerror(errno)); \
			exit(99);                                                           \
		}                                                                           \
	} while (0)

/* ---- sockets ---- */

static inline struct sockaddr_in v4(const char *address, int port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	NEED(inet_pton(AF_INET, address, &sin.sin_addr) == 1);
	return sin;
}

static inline struct sockaddr_in6 v6(const char *address, int port)
{
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

	NEED(inet_pton(AF_INET6, address, &sin6.sin6_addr) == 1);
	return sin6;
}

static inline int bound(int type, const char *address, int port)
{
	struct sockaddr_in sin = v4(address, port);
	int fd = socket(AF_INET, type, 0), on = 1;

	NEED(fd >= 0);
	NEED(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
	NEED(bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0);
	return fd;
}

/* Nobody waits longer than this for a datagram that does not come. */
static inline void limit_wait(int fd)
{
	struct timeval limit = {.tv_usec = 40000};

	NEED(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
}

static inline int bound_udp(const char *address, int port)
{
	int fd = bound(SOCK_DGRAM, address, port);

	limit_wait(fd);
	return fd;
}

/* Room for many datagrams: as much as the system allows. */
static inline void large_buffer(int fd)
{
	int size = 8 << 20;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		NEED(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) == 0);
}

static inline void connect_to(int fd, const char *address, int port)
{
	struct sockaddr_in sin = v4(address, port);

	NEED(connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0);
}

static inline void turn_on(int fd, int level, int option)
{
	int on = 1;

	NEED(setsockopt(fd, level, option, &on, sizeof(on)) == 0);
}

/* Two ends of one TCP connection: [0] asked for it, [1] accepted it. */
static inline void tcp_pair(int pair[2], int port)
{
	int listener = bound(SOCK_STREAM, "127.0.0.1", port);

	NEED(listen(listener, 4) == 0);
	NEED((pair[0] = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	connect_to(pair[0], "127.0.0.1", port);
	NEED((pair[1] = accept(listener, NULL, NULL)) >= 0);
	NEED(close(listener) == 0);
}

/* ---- DNS ---- */

/* A query for the name's A record, without EDNS. Returns its length. */
static inline size_t dns_query(void *out, unsigned id, const char *name)
{
	uint8_t *p = out;
	const uint8_t header[12] = {(uint8_t)(id >> 8), (uint8_t)id, 1, 0, 0, 1};
	const uint8_t tail[5] = {0, 0, 1, 0, 1};

	memcpy(p, header, sizeof(header));
	p += sizeof(header);
	while (*name) {
		size_t n = strcspn(name, ".");

		*p++ = (uint8_t)n;
		memcpy(p, name, n);
		p += n;
		name += n + (name[n] == '.');
	}
	memcpy(p, tail, sizeof(tail));
	return (size_t)(p + sizeof(tail) - (uint8_t *)out);
}

/* The same behind its length, as on a stream. */
static inline size_t dns_frame(void *out, unsigned id, const char *name)
{
	uint8_t *p = out;
	size_t n = dns_query(p + 2, id, name);

	p[0] = (uint8_t)(n >> 8);
	p[1] = (uint8_t)n;
	return n + 2;
}

#endif
