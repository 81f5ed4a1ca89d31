/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the transparency programs share: printing of everything that a call leaves behind, so that two runs can be
 * compared. Nothing that differs from run to run is printed. loopback.h has the sockets and the DNS messages.
 */
#ifndef SHOW_H
#define SHOW_H

#include "loopback.h"

enum { UNTOUCHED = 4711 };

/* SHOW(call): its text, what it returns, and errno: its name after a failure, and whether success changed it. */
#define SHOW(call) (errno = UNTOUCHED, show_result(#call, (long)(call)))

static inline long show_result(const char *what, long n)
{
	int error = errno;

	if (n < 0)
		printf("%s = %ld %s\n", what, n, strerrorname_np(error));
	else if (error != UNTOUCHED)
		printf("%s = %ld, errno changed to %s\n", what, n, strerrorname_np(error));
	else
		printf("%s = %ld\n", what, n);
	fflush(stdout);
	errno = error;
	return n;
}

static inline void show_bytes(const char *what, const void *data, size_t n)
{
	const uint8_t *byte = data;

	printf("%s:", what);
	for (size_t i = 0; i < n; i++)
		printf(" %02x", byte[i]);
	printf("\n");
}

static inline void show_name(const void *name, socklen_t len)
{
	char text[INET6_ADDRSTRLEN] = "?";
	struct sockaddr_in in = {0};
	struct sockaddr_in6 in6 = {0};

	printf("  name: length %u", len);
	if (!name || len < sizeof(sa_family_t)) {
		printf("%s\n", name ? "" : ", no buffer");
		return;
	}
	memcpy(&in, name, len < sizeof(in) ? len : sizeof(in));
	memcpy(&in6, name, len < sizeof(in6) ? len : sizeof(in6));
	if (in.sin_family == AF_INET)
		inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
	if (in.sin_family == AF_INET6)
		inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text));
	printf(", family %u, %s port %u\n", in.sin_family, text, ntohs(in.sin_port));
}

/* Timestamps and descriptors differ from run to run: of them only that they are there. */
static inline void show_control(struct msghdr *m)
{
	printf("  control: length %zu\n", m->msg_controllen);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n = c->cmsg_len - CMSG_LEN(0);

		printf("  control message: level %d type %d length %zu\n", c->cmsg_level,
		       c->cmsg_type, (size_t)c->cmsg_len);
		if (c->cmsg_len >= CMSG_LEN(0) && c->cmsg_level != SOL_SOCKET)
			show_bytes("    data", CMSG_DATA(c), n);
	}
}

static inline void show_message(struct msghdr *m)
{
	printf("  flags: %#x\n", (unsigned)m->msg_flags);
	show_name(m->msg_name, m->msg_namelen);
	if (m->msg_control)
		show_control(m);
	else
		printf("  no control buffer: length %zu\n", m->msg_controllen);
}

#endif
