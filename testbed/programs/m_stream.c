// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * TCP, judged by the connection's mark after each write: whole queries, a question in two writes, a length alone, TLS,
 * a duplicate of the descriptor, and what the number means after it was closed past the library.
 */
#include "client.h"

#include <fcntl.h>

static int server;
static char frame[512];

static int connection(int port)
{
	int pair[2];

	tcp_pair(pair, port);
	return pair[0];
}

static void put(const char *what, int fd, const void *data, size_t n)
{
	errno = UNTOUCHED;
	show_result(what, send(fd, data, n, 0));
	printf("  mark %u\n", socket_mark(fd));
	usleep(5000); /* it has left by now */
}

static void pieces(int fd)
{
	size_t n = frame_of(1, "one.test", server, frame);

	put("client 1", fd, frame, n);
	n = frame_of(2, "two.test", server, frame);
	put("client 2, half a question", fd, frame, 20);
	put("client 2, the rest", fd, frame + 20, n - 20);
	n = frame_of(3, "six.test", server, frame);
	put("client 3, a length alone", fd, frame, 2);
	put("client 3, the message", fd, frame + 2, n - 2);
	n = frame_of(1, "one.more.test", server, frame);
	put("client 1, half a length", fd, frame, 1);
	put("client 1, the rest", fd, frame + 1, n - 1);
	n = dns_frame(frame, 9, "nobody.test");
	put("nobody", fd, frame, n);
}

static struct sockaddr_in asker;
static ssize_t asked;

static void receive_last(void)
{
	socklen_t len = sizeof(asker);

	asked = recvfrom(server, frame, sizeof(frame), 0, (struct sockaddr *)&asker, &len);
	NEED(asked > 0);
}

static void answer_last(void)
{
	frame[2] |= (char)0x80;
	NEED(sendto(server, frame, (size_t)asked, 0, (struct sockaddr *)&asker, sizeof(asker)) > 0);
	turn_ends();
}

/* Records of TLS 1.3 say nothing of whose queries they carry: only a turn does. */
static void tls(int port)
{
	static const char hello[64] = {22, 3, 1, 0, 59, 1, 0, 0, 55, 3, 3};
	static const char record[64] = {23, 3, 3, 0, 59};
	int client = client_asks(1, 1, "secret.test");

	turn_ends();
	receive_last();
	int fd = connection(port);

	put("TLS hello in client 1's turn", fd, hello, sizeof(hello));
	turn_ends();
	put("TLS in no turn", fd, record, sizeof(record));
	answer_last();
	NEED(syscall(SYS_close, client) == 0);
	client = client_asks(2, 2, "other.test");
	turn_ends();
	receive_last();
	put("TLS in client 2's turn", fd, record, sizeof(record));
	turn_ends();
	put("TLS in no turn", fd, record, sizeof(record));
	answer_last();
	NEED(syscall(SYS_close, client) == 0);
}

static void duplicate(int port)
{
	size_t n = frame_of(1, "duplicate.test", server, frame);
	int fd = connection(port), twin;

	put("client 1", fd, frame, n);
	NEED((twin = dup(fd)) >= 0);
	n = dns_frame(frame, 9, "nobody.asked.test");
	put("nobody, over a duplicate", twin, frame, n);
	n = frame_of(2, "twin.test", server, frame);
	put("client 2, over the duplicate", twin, frame, n);
	n = dns_frame(frame, 9, "nobody.asked.again.test");
	put("nobody, over the first", fd, frame, n);
}

static void file_instead(int port)
{
	char name[] = "/tmp/marks.XXXXXX";
	int fd = connection(port), next;
	size_t n = frame_of(1, "reuse.test", server, frame);

	put("client 1", fd, frame, n);
	while ((next = open("/dev/null", O_RDONLY)) < fd)
		NEED(next >= 0);
	NEED(close(next) == 0);
	FILE *file = fdopen(fd, "r+");

	NEED(file && fclose(file) == 0);
	NEED(mkstemp(name) == fd && unlink(name) == 0);
	SHOW(write(fd, frame, n));
	SHOW(write(fd, "x", 1));
	SHOW(lseek(fd, 0, SEEK_END));
}

int main(void)
{
	server = bound_udp("127.0.0.1", SERVER_PORT);
	tls(UPSTREAM_PORT +
	    1); /* first: a turn says whose a connection is while nobody else waits */
	pieces(connection(UPSTREAM_PORT));
	duplicate(UPSTREAM_PORT + 2);
	file_instead(UPSTREAM_PORT + 3);
	return 0;
}
