// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The C library closes descriptors without calling close() (fclose), and opens others in their place: what the library
 * took for a socket is a file, a pipe or a UNIX socket by then.
 */
#include "show.h"

#include <fcntl.h>
#include <stdlib.h>

static char query[64], data[512];
static size_t length;

/* Closes a socket past the library. Its number comes back for the next file. */
static void close_behind(int fd)
{
	FILE *file = fdopen(fd, "r+");

	NEED(file && fclose(file) == 0);
}

static void use(int fd, int from)
{
	struct iovec out = {query, length}, in = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &out, .msg_iovlen = 1},
		      got = {.msg_iov = &in, .msg_iovlen = 1};
	struct mmsghdr many = {.msg_hdr = m};

	SHOW(write(fd, query, length));
	SHOW(writev(fd, &out, 1));
	if (lseek(from, 0, SEEK_SET) < 0)
		errno = 0;
	SHOW(read(from, data, length));
	SHOW(readv(from, &in, 1));
	SHOW(send(fd, query, length, MSG_NOSIGNAL));
	SHOW(sendmsg(fd, &m, MSG_NOSIGNAL));
	SHOW(sendmmsg(fd, &many, 1, MSG_NOSIGNAL));
	SHOW(recv(from, data, sizeof(data), MSG_DONTWAIT));
	SHOW(recvmsg(from, &got, MSG_DONTWAIT));
	SHOW(recvmmsg(from, &many, 1, MSG_DONTWAIT, NULL));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){0}, sizeof(int)));
}

/* Takes the free numbers below fd, so that the next one is fd itself. */
static void fill_below(int fd)
{
	int next;

	while ((next = open("/dev/null", O_RDONLY)) < fd)
		NEED(next >= 0);
	NEED(close(next) == 0);
}

/* A UDP server that has received, a UDP client that has sent, a TCP connection that has sent. */
static int old_socket(int kind)
{
	static int port = SERVER_PORT;
	int client = bound_udp("127.0.0.1", CLIENT_PORT + port),
	    server = bound_udp("0.0.0.0", ++port);
	int tcp[2];

	connect_to(client, "127.0.0.1", port);
	NEED(send(client, query, length, 0) == (ssize_t)length);
	NEED(recv(server, data, sizeof(data), 0) == (ssize_t)length);
	if (kind < 2)
		NEED(close(kind ? server : client) == 0);
	if (kind < 2)
		return kind ? client : server;
	NEED(close(client) == 0 && close(server) == 0);
	tcp_pair(tcp, port);
	NEED(send(tcp[kind - 2], query, length, 0) == (ssize_t)length);
	NEED(close(tcp[3 - kind]) == 0);
	return tcp[kind - 2];
}

static void as_file(int kind)
{
	int fd = old_socket(kind);
	char name[] = "/tmp/reuse.XXXXXX";

	fill_below(fd);
	close_behind(fd);
	NEED(mkstemp(name) == fd && unlink(name) == 0);
	printf("a file in place of socket %d\n", kind);
	use(fd, fd);
	SHOW(close(fd));
}

static void as_pipe(int kind)
{
	int fd = old_socket(kind), ends[2];

	fill_below(fd);
	close_behind(fd);
	NEED(pipe(ends) == 0 && (ends[0] == fd || ends[1] == fd));
	printf("a pipe in place of socket %d\n", kind);
	use(ends[1], ends[0]);
	NEED(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void as_unix(int kind)
{
	int fd = old_socket(kind), ends[2];

	fill_below(fd);
	close_behind(fd);
	NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0 && (ends[0] == fd || ends[1] == fd));
	printf("UNIX sockets in place of socket %d\n", kind);
	use(ends[1], ends[0]);
	use(ends[0], ends[1]);
	NEED(close(ends[0]) == 0 && close(ends[1]) == 0);
}

int main(void)
{
	for (int kind = 0; kind < 4; kind++) {
		length = dns_query(query, 1, "reuse.test");
		as_file(kind);
		as_pipe(kind);
		as_unix(kind);
	}
	return 0;
}
