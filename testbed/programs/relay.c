// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The simplest forwarder there is: whatever a client sends goes to the upstream as it is, from a socket of its own,
 * and nothing comes back. For what a real resolver would not pass on.
 *
 *     relay LISTEN-ADDRESS UPSTREAM-ADDRESS        both on port 53; ends at SIGTERM
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 53, LARGEST = 65535 };

static struct sockaddr_in address(const char *text)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(PORT)};

	if (inet_pton(AF_INET, text, &sin.sin_addr) != 1) {
		fprintf(stderr, "relay: %s: not an IPv4 address\n", text);
		exit(64);
	}
	return sin;
}

static void pass_on(const struct sockaddr_in *upstream, const char *data, size_t len)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || sendto(fd, data, len, 0, (const struct sockaddr *)upstream,
			     sizeof(*upstream)) != (ssize_t)len)
		perror("relay: sendto");
	close(fd);
}

int main(int argc, char **argv)
{
	static char data[LARGEST];

	if (argc != 3) {
		fprintf(stderr, "usage: relay LISTEN-ADDRESS UPSTREAM-ADDRESS\n");
		return 64;
	}
	struct sockaddr_in local = address(argv[1]), upstream = address(argv[2]);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)) != 0) {
		perror("relay: bind");
		return 1;
	}
	for (;;) {
		ssize_t n = recvfrom(fd, data, sizeof(data), 0, NULL, NULL);

		if (n >= 0)
			pass_on(&upstream, data, (size_t)n);
	}
}
