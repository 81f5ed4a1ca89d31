// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A forwarder small enough for any C library: each query goes to the upstream as it is, from a socket of its own, and
 * its answer back to the client. For cells where no packaged resolver can be had.
 *
 *     forwarder UPSTREAM-ADDRESS LISTEN-ADDRESS...        UDP, all on port 53; ends at SIGTERM
 */
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LARGEST = 65535, SOCKETS = 4096, HEADER = 12 };

/* What waits for an answer, by the number of its upstream socket. */
static struct {
	int listener;
	struct sockaddr_storage client;
	socklen_t client_len;
} waiting[SOCKETS];

static int events;

static struct addrinfo *address(const char *text)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM,
				       .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *found;
	int error = getaddrinfo(text, "53", &hints, &found);

	if (error) {
		fprintf(stderr, "forwarder: %s: %s; give an IPv4 or IPv6 address\n", text,
			gai_strerror(error));
		exit(64);
	}
	return found;
}

static void watch(int fd, const char *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (fd >= 0 && fd < SOCKETS && epoll_ctl(events, EPOLL_CTL_ADD, fd, &event) == 0)
		return;
	perror(what);
	exit(1);
}

static int listen_on(const char *text)
{
	const int on = 1;
	struct addrinfo *at = address(text);
	int fd = socket(at->ai_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (at->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, at->ai_addr, at->ai_addrlen) != 0) {
		perror(text);
		exit(1);
	}
	freeaddrinfo(at);
	watch(fd, text);
	return fd;
}

static void pass_query(int listener, const struct addrinfo *upstream)
{
	static char query[LARGEST];
	struct sockaddr_storage client;
	socklen_t len = sizeof(client);
	ssize_t n = recvfrom(listener, query, sizeof(query), 0, (struct sockaddr *)&client, &len);

	if (n < HEADER)
		return;
	int fd = socket(upstream->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	watch(fd, "forwarder: socket");
	waiting[fd].listener = listener;
	waiting[fd].client = client;
	waiting[fd].client_len = len;
	if (connect(fd, upstream->ai_addr, upstream->ai_addrlen) != 0 ||
	    send(fd, query, (size_t)n, 0) != n)
		perror("forwarder: send");
}

static void pass_answer(int fd)
{
	static char answer[LARGEST];
	ssize_t n = recv(fd, answer, sizeof(answer), 0);

	if (n >= HEADER &&
	    sendto(waiting[fd].listener, answer, (size_t)n, 0,
		   (struct sockaddr *)&waiting[fd].client, waiting[fd].client_len) != n)
		perror("forwarder: sendto");
	close(fd);
}

int main(int argc, char **argv)
{
	const struct rlimit files = {SOCKETS, SOCKETS};
	struct epoll_event event[64];
	int last_listener = -1;

	if (argc < 3) {
		fprintf(stderr, "usage: forwarder UPSTREAM-ADDRESS LISTEN-ADDRESS...\n");
		return 64;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	events = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 2; i < argc; i++)
		last_listener = listen_on(argv[i]);
	for (struct addrinfo *upstream = address(argv[1]);;) {
		int n = epoll_wait(events, event, 64, -1);

		for (int i = 0; i < n; i++)
			if (event[i].data.fd <= last_listener)
				pass_query(event[i].data.fd, upstream);
			else
				pass_answer(event[i].data.fd);
	}
}
