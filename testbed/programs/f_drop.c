// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Queries whose mark is not known (client 4 has no conntrack entry), or cannot be set: what each call returns, and what
 * arrives. The upstream's UDP socket and the far end of each connection say which names came, with which mark.
 *
 *     f_drop udp|batch|tcp|caps
 */
#include "client.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>

enum { UNKNOWN = 4 };

static int server, at;
static char query[4096];

/* The name in a query, up to its first label. */
static const char *name_in(const uint8_t *message)
{
	static char name[64];

	memcpy(name, message + 13, message[12]);
	name[message[12]] = '\0';
	return name;
}

static void arrivals(void)
{
	uint8_t message[512];
	_Alignas(struct cmsghdr) char control[64];
	int mark;

	for (;;) {
		struct iovec iov = {message, sizeof(message)};
		struct msghdr m = {.msg_iov = &iov,
				   .msg_iovlen = 1,
				   .msg_control = control,
				   .msg_controllen = sizeof(control)};

		if (syscall(SYS_recvmsg, at, &m, MSG_DONTWAIT) < 0)
			return;
		mark = 0;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
			if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_MARK)
				memcpy(&mark, CMSG_DATA(c), sizeof(mark));
		printf("  %s arrived with mark %d\n", name_in(message), mark);
	}
}

static void datagrams(void)
{
	struct sockaddr_in to = v4("127.0.0.1", UPSTREAM_PORT);
	int fd = to_upstream(), open = socket(AF_INET, SOCK_DGRAM, 0);
	size_t n = query_of(UNKNOWN, "unknown.test", server, query);
	struct iovec iov[2] = {{query, 7}, {query + 7, n - 7}};
	struct msghdr m = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = iov, .msg_iovlen = 2};

	SHOW(send(fd, query, n, 0));
	SHOW(write(fd, query, n));
	SHOW(writev(fd, iov, 2));
	SHOW(sendto(open, query, n, 0, (struct sockaddr *)&to, sizeof(to)));
	SHOW(sendmsg(open, &m, 0));
	arrivals();
	n = query_of(1, "one.test", server, query);
	SHOW(send(fd, query, n, 0));
	arrivals();
	n = dns_query(query, 9, "nobody.test");
	SHOW(send(fd, query, n, 0));
	arrivals();
}

static void file_instead(void)
{
	char name[] = "/tmp/drop.XXXXXX";
	int fd = to_upstream(), next;
	size_t n = query_of(UNKNOWN, "unknown.test", server, query);

	SHOW(send(fd, query, n, 0));
	while ((next = open("/dev/null", O_RDONLY)) < fd)
		NEED(next >= 0);
	NEED(close(next) == 0);
	FILE *file = fdopen(fd, "r+"); /* closed past the library */

	NEED(file && fclose(file) == 0);
	NEED(mkstemp(name) == fd && unlink(name) == 0);
	SHOW(write(fd, query, n));
	SHOW(lseek(fd, 0, SEEK_END));
	arrivals();
}

static void batch(void)
{
	enum { MANY = 5 };
	static char text[MANY][512];
	static const int client[MANY] = {UNKNOWN, 1, UNKNOWN, UNKNOWN, 2};
	static const char *const name[MANY] = {"unknown-a.test", "one.test", "unknown-b.test",
					       "unknown-c.test", "two.test"};
	struct iovec iov[MANY];
	struct mmsghdr many[MANY] = {{.msg_len = 0}};
	int fd = to_upstream();

	for (int i = 0; i < MANY; i++) {
		iov[i] = (struct iovec){text[i], query_of(client[i], name[i], server, text[i])};
		many[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	SHOW(sendmmsg(fd, many, MANY, 0));
	for (int i = 0; i < MANY; i++)
		printf("  message %d: %u of %zu bytes\n", i, many[i].msg_len, iov[i].iov_len);
	arrivals();
}

/* ---- connections ---- */

static int pair[2];
static uint8_t data[65536]; /* what came at its far end, and has not been told of */
static size_t have;

static void connection(void)
{
	static int port = UPSTREAM_PORT;

	tcp_pair(pair, port++);
	have = 0;
	limit_wait(pair[1]);
}

/* What the far end has got by now: whole messages, and what is no whole one. */
static void far_end(void)
{
	ssize_t n;

	while ((n = syscall(SYS_read, pair[1], data + have, sizeof(data) - have)) > 0)
		have += (size_t)n;
	size_t used = 0, length;

	for (; used < have && have - used > 14; used += length) {
		length = 2 + ((size_t)data[used] << 8 | data[used + 1]);
		if (length > have - used)
			break;
		printf("  %s came\n", name_in(data + used + 2));
	}
	have -= used;
	memmove(data, data + used, have);
	if (have)
		printf("  %zu bytes are there of another\n", have);
	if (n == 0)
		printf("  the connection has ended\n");
	printf("  mark %u\n", socket_mark(pair[0]));
}

static ssize_t put(const char *what, const void *bytes, size_t n)
{
	errno = UNTOUCHED;
	n = (size_t)show_result(what, send(pair[0], bytes, n, MSG_NOSIGNAL));
	far_end();
	return (ssize_t)n;
}

static void whole_queries(void)
{
	size_t n, m;

	connection();
	n = frame_of(UNKNOWN, "unknown.test", server, query);
	put("unknown", query, n);
	n = frame_of(1, "one.test", server, query);
	put("client 1", query, n);
	n = frame_of(UNKNOWN, "unknown.test", server, query);
	put("unknown, the first half", query, n - 4);
	put("unknown, the rest", query + n - 4, 4);
	n = frame_of(1, "one.test", server, query);
	m = frame_of(UNKNOWN, "unknown.test", server, query + n);
	size_t all = n + m + frame_of(1, "uno.test", server, query + n + m);

	put("client 1, unknown, client 1", query, all);
	put("unknown and a byte of client 1's length", query + n, m + 1);
	put("the rest of client 1's", query + n + m + 1, all - n - m - 1);
	put("half a question", query, 20);
	put("the rest", query + 20, n - 20);
	n = dns_frame(query, 9, "nobody.test");
	put("nobody", query, n);
}

static void pieces(void)
{
	size_t n;

	connection();
	n = frame_of(1, "one.test", server, query);
	put("client 1", query, n);
	n = frame_of(UNKNOWN, "unknown.test", server, query);
	put("a length alone", query, 2);
	if (put("unknown, the message", query + 2, n - 2) < 0)
		put("once more", query + 2, n - 2);
}

static void fast_open(void)
{
	struct sockaddr_in to = v4("127.0.0.1", UPSTREAM_PORT - 1);
	int fd = socket(AF_INET, SOCK_STREAM, 0), listener;
	size_t n = frame_of(UNKNOWN, "unknown.test", server, query);

	listener = bound(SOCK_STREAM, "127.0.0.1", UPSTREAM_PORT - 1);
	NEED(fd >= 0 && listen(listener, 4) == 0);
	NEED(fcntl(listener, F_SETFL, O_NONBLOCK) == 0);
	SHOW(sendto(fd, query, n, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to)));
	SHOW(accept(listener, NULL, NULL));
}

/* ---- a lost capability ---- */

static void lose_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	/* past the library, which would keep one */
	NEED(syscall(SYS_capset, &header, none) == 0);
}

static void lost(void)
{
	struct sockaddr_in6 to6 = v6("::1", UPSTREAM_PORT);
	int fd = to_upstream(), fd6 = socket(AF_INET6, SOCK_DGRAM, 0);
	char two[512];
	size_t n, m = query_of(2, "two.test", server, two);

	NEED(fd6 >= 0 && connect(fd6, (struct sockaddr *)&to6, sizeof(to6)) == 0);
	connection();
	n = frame_of(1, "one.test", server, query);
	put("client 1", query, n);
	SHOW(send(fd6, query + 2, n - 2, 0)); /* this socket bears client 1's mark now */
	lose_capabilities();
	SHOW(send(fd, two, m, 0));
	SHOW(send(fd6, two, m, 0));
	struct iovec iov[2] = {{two, m}, {query + 2, n - 2}};
	struct mmsghdr many[2] = {{.msg_hdr = {.msg_iov = &iov[0], .msg_iovlen = 1}},
				  {.msg_hdr = {.msg_iov = &iov[1], .msg_iovlen = 1}}};

	SHOW(sendmmsg(fd, many, 2, 0));
	memcpy(query + 2, two, m);
	query[1] = (char)m;
	put("client 2 on the connection of client 1", query, m + 2);
	connection();
	put("client 2 on a new connection", query, m + 2);
	n = dns_frame(query, 9, "nobody.test");
	put("nobody", query, n);
	SHOW(send(fd, query + 2, n - 2, 0));
	arrivals();
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	server = bound_udp("127.0.0.1", SERVER_PORT);
	at = upstream();
	if (strcmp(what, "udp") == 0) {
		datagrams();
		file_instead();
	} else if (strcmp(what, "batch") == 0) {
		batch();
	} else if (strcmp(what, "tcp") == 0) {
		whole_queries();
		pieces();
		fast_open();
	} else if (strcmp(what, "caps") == 0) {
		lost();
	} else {
		return 64;
	}
	return 0;
}
