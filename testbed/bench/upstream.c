// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An upstream that costs next to nothing: takes many queries at once and answers them at once, with the same address
 * for every name.
 *
 *     upstream ADDRESS PORT TTL
 *
 * Ends at SIGTERM, with the number of queries that it answered on standard output.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	AT_ONCE = 64,
	MESSAGE = 1232, /* no fragments (RFC 9715) */
	HEADER = 12,
	OPT = 41,
	ROOM = 1 << 22, /* of the socket's buffers */
};

static volatile sig_atomic_t ended;

static void end(int number)
{
	ended = number;
}

/* ---- answers ---- */

/* Where the question ends; 0: this is no question of ours. Names in questions are not compressed. */
static size_t question_end(const uint8_t *msg, size_t n)
{
	size_t at = HEADER;

	if (n < HEADER || msg[2] & 0x80 || msg[4] || msg[5] != 1)
		return 0;
	while (at < n && msg[at])
		at += 1 + (size_t)msg[at];
	return at + 5 <= n ? at + 5 : 0;
}

static uint8_t *put16(uint8_t *p, unsigned value)
{
	*p++ = (uint8_t)(value >> 8);
	*p++ = (uint8_t)value;
	return p;
}

/* An address record for the question's own name. */
static uint8_t *put_address(uint8_t *p, unsigned type, uint32_t ttl)
{
	static const uint8_t address[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
	static const uint8_t address4[4] = {192, 0, 2, 1};
	bool v6 = type == 28;

	p = put16(p, 0xc000 | HEADER);
	p = put16(p, type);
	p = put16(p, 1);
	p = put16(p, ttl >> 16);
	p = put16(p, ttl & 0xffff);
	p = put16(p, v6 ? 16 : 4);
	memcpy(p, v6 ? address : address4, v6 ? 16 : 4);
	return p + (v6 ? 16 : 4);
}

/* Turns a query into its answer where it lies; 0: there is none. */
static size_t answer(uint8_t *msg, size_t n, uint32_t ttl)
{
	size_t at = question_end(msg, n);

	if (!at)
		return 0;
	unsigned type = (unsigned)msg[at - 4] << 8 | msg[at - 3];
	bool address = type == 1 || type == 28;
	bool edns = at + 11 <= n && msg[at] == 0 && msg[at + 1] == 0 && msg[at + 2] == OPT;
	uint8_t *p = msg + at;

	msg[2] = (uint8_t)(0x80 | (msg[2] & 0x79)); /* QR; opcode and RD as they were */
	msg[3] = 0x80;				    /* RA */
	memset(msg + 6, 0, 6);
	msg[7] = address;
	msg[11] = edns;
	if (address)
		p = put_address(p, type, ttl);
	if (edns) {
		memset(p, 0, 11);
		p[2] = OPT;
		put16(p + 3, MESSAGE);
		p += 11;
	}
	return (size_t)(p - msg);
}

/* ---- the loop ---- */

static uint8_t data[AT_ONCE][MESSAGE + 64]; /* an answer is a little longer than its query */
static struct sockaddr_in from[AT_ONCE];
static struct iovec iov[AT_ONCE];
static struct mmsghdr vec[AT_ONCE];

static int receive(int fd)
{
	for (unsigned i = 0; i < AT_ONCE; i++) {
		iov[i] = (struct iovec){data[i], MESSAGE};
		vec[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i],
						      .msg_namelen = sizeof(from[i]),
						      .msg_iov = &iov[i],
						      .msg_iovlen = 1}};
	}
	return recvmmsg(fd, vec, AT_ONCE, MSG_WAITFORONE, NULL);
}

/* How many were answered; what cannot be sent is lost, as on any network. */
static unsigned respond(int fd, unsigned got, uint32_t ttl)
{
	unsigned n = 0, sent = 0;

	for (unsigned i = 0; i < got; i++) {
		size_t length = answer(data[i], vec[i].msg_len, ttl);

		if (!length)
			continue;
		vec[n] = vec[i];
		iov[i].iov_len = length;
		n++;
	}
	while (sent < n) {
		int done = sendmmsg(fd, vec + sent, n - sent, 0);

		sent += done > 0 ? (unsigned)done : 1;
	}
	return n;
}

static int serve(const char *address, const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), room = ROOM;

	if (inet_pton(AF_INET, address, &at.sin_addr) != 1) {
		fprintf(stderr, "upstream: '%s' is no IPv4 address\n", address);
		exit(64);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0) {
		fprintf(stderr, "upstream: %s port %s: %s\n", address, port, strerror(errno));
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler =
					   end}; /* no SA_RESTART: it interrupts the receive */
	unsigned long answered = 0;

	if (argc != 4) {
		fprintf(stderr, "Usage: upstream ADDRESS PORT TTL\n");
		return 64;
	}
	sigaction(SIGTERM, &action, NULL);
	int fd = serve(argv[1], argv[2]);
	uint32_t ttl = (uint32_t)atol(argv[3]);

	while (!ended) {
		int got = receive(fd);

		if (got > 0)
			answered += respond(fd, (unsigned)got, ttl);
	}
	printf("%lu\n", answered);
	return 0;
}
