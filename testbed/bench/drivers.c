// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Small programs that do what a resolver does with its sockets, over and over, and nothing else: what the library adds
 * to each of their steps can be counted to the instruction (testbed/bench/instructions).
 *
 *     drivers MODE COUNT [MARK]
 *
 * With MARK, everything has to be in place for that mark: the library is mapped, and an upstream query that the driver
 * sends last must have left with it. What lets the driver fail then also shows that it was the library at work that was
 * counted. Another process, without the library, is client and upstream: the driver starts it as 'drivers peer'.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SO_RCVMARK
#define SO_RCVMARK 75
#endif

enum {
	SERVER_PORT = 5353, /* the firewall's rules name it */
	BATCH = 20,	    /* as many as BIND takes at once */
	BATCHES = 5,	    /* ... in a row, when it is busy */
	SECONDS = 20,	    /* nobody waits longer than this */
	MESSAGE = 512,
};

#define NEED(x)                                                                     \
	do {                                                                        \
		if (!(x)) {                                                         \
			fprintf(stderr, "drivers: line %d: %s: %s\n", __LINE__, #x, \
				errno ? strerror(errno) : "not so");                \
			exit(1);                                                    \
		}                                                                   \
	} while (0)

/* ---- messages ---- */

/* The question for the number's own name; ANSWER: the same with the QR bit. */
enum { QUESTION = 0x01, ANSWER = 0x81, RECURSION_AVAILABLE = 0x80 };

static size_t message(uint8_t *msg, int flags, unsigned number)
{
	static const char name[] = "\7q000000\5bench\7example";
	uint8_t *p = msg + 12;

	memset(msg, 0, 12);
	msg[0] = (uint8_t)(number >> 8);
	msg[1] = (uint8_t)number;
	msg[2] = (uint8_t)flags;
	msg[5] = 1;
	memcpy(p, name, sizeof(name));
	for (unsigned i = 7, n = number; i >= 2; i--, n /= 10)
		p[i] = (uint8_t)('0' + n % 10);
	p += sizeof(name);
	memcpy(p, "\0\1\0\1", 4);
	return (size_t)(p + 4 - msg);
}

/* ---- sockets ---- */

static struct sockaddr_in address(uint32_t host, uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(host), .sin_port = htons(port)};
}

static int udp(int flags, uint32_t host, uint16_t port)
{
	struct sockaddr_in at = address(host, port);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | flags, 0);

	NEED(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	return fd;
}

static void wait_for(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	errno = 0;
	NEED(poll(&p, 1, SECONDS * 1000) == 1);
}

/* ---- the driver's own state ---- */

static struct {
	int server,
		upstream; /* the socket for clients; one for upstream queries, where it is kept */
	int pipe[2], epoll;
	struct sockaddr_in upstream_at;
	pid_t peer;
} d;

/* ---- what is counted: one operation each ---- */

static void answer_by_name(unsigned i)
{
	uint8_t msg[MESSAGE];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);

	(void)i;
	wait_for(d.server);
	ssize_t n = recvfrom(d.server, msg, sizeof(msg), 0, (struct sockaddr *)&from, &len);

	NEED(n > 12);
	msg[2] = ANSWER;
	NEED(sendto(d.server, msg, (size_t)n, 0, (struct sockaddr *)&from, len) == n);
}

static void answer_by_message(unsigned i)
{
	uint8_t data[MESSAGE];
	_Alignas(struct cmsghdr) char control[256];
	struct sockaddr_in from;
	struct iovec iov = {data, sizeof(data)};
	struct msghdr msg = {.msg_name = &from,
			     .msg_namelen = sizeof(from),
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};

	(void)i;
	wait_for(d.server);
	ssize_t n = recvmsg(d.server, &msg, 0);

	NEED(n > 12 &&
	     msg.msg_controllen > 0); /* the answer goes out with what told its destination */
	data[2] = ANSWER;
	iov.iov_len = (size_t)n;
	NEED(sendmsg(d.server, &msg, 0) == n);
}

/* The buffers of many messages. */
static struct {
	uint8_t data[BATCH][MESSAGE];
	struct sockaddr_in from[BATCH];
	struct iovec iov[BATCH];
	struct mmsghdr vec[BATCH];
} batch[BATCHES];

/* 20 queries, which become their answers. */
static void receive_batch(unsigned b)
{
	struct mmsghdr *vec = batch[b].vec;

	memset(vec, 0, sizeof(batch[b].vec));
	for (unsigned k = 0; k < BATCH; k++) {
		batch[b].iov[k] = (struct iovec){batch[b].data[k], MESSAGE};
		vec[k].msg_hdr.msg_name = &batch[b].from[k];
		vec[k].msg_hdr.msg_namelen = sizeof(batch[b].from[k]);
		vec[k].msg_hdr.msg_iov = &batch[b].iov[k];
		vec[k].msg_hdr.msg_iovlen = 1;
	}
	NEED(syscall(SYS_recvmmsg, d.server, vec, BATCH, 0, NULL) == BATCH);
	for (unsigned k = 0; k < BATCH; k++) {
		batch[b].data[k][2] = ANSWER;
		batch[b].iov[k].iov_len = vec[k].msg_len;
	}
}

static void send_batch(unsigned b, unsigned first, unsigned n)
{
	NEED(syscall(SYS_sendmmsg, d.server, batch[b].vec + first, n, 0) == (long)n);
}

static void answer_batch(unsigned i)
{
	(void)i;
	receive_batch(0);
	for (unsigned k = 0; k < BATCH; k++)
		send_batch(0, k, 1);
}

/* libuv sends one answer between two receives, and the others when nothing more is to be received. */
static void answer_burst(unsigned i)
{
	(void)i;
	for (unsigned b = 0; b < BATCHES; b++) {
		receive_batch(b);
		send_batch(b, 0, 1);
	}
	for (unsigned b = 0; b < BATCHES; b++)
		send_batch(b, 1, BATCH - 1);
}

/* What a client asks goes to the upstream, whose answer is msg. */
static size_t ask_upstream(unsigned i, const uint8_t *query, int upstream, bool connected,
			   uint8_t *msg)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	size_t length = message(msg, QUESTION, (uint32_t)query[0] << 8 | query[1]);

	memcpy(msg + 12, query + 12, length - 12);
	msg[0] = (uint8_t)(i >> 7);
	msg[1] = (uint8_t)(i + 1);
	if (connected)
		NEED(send(upstream, msg, length, 0) == (ssize_t)length);
	else
		NEED(sendto(upstream, msg, length, 0, (struct sockaddr *)&d.upstream_at,
			    sizeof(d.upstream_at)) == (ssize_t)length);
	wait_for(upstream);
	ssize_t n = recvfrom(upstream, msg, MESSAGE, 0, (struct sockaddr *)&from, &len);

	NEED(n > 12 && msg[2] == ANSWER);
	memcpy(msg, query, 2);
	return (size_t)n;
}

typedef size_t asking(unsigned i, const uint8_t *query, uint8_t *msg);

/* A client's query comes in, and goes to the upstream; its answer goes back. */
static void miss(unsigned i, asking *ask)
{
	uint8_t query[MESSAGE], msg[MESSAGE];
	struct sockaddr_in client;
	socklen_t client_len = sizeof(client);

	wait_for(d.server);
	NEED(recvfrom(d.server, query, sizeof(query), 0, (struct sockaddr *)&client, &client_len) >
	     12);
	size_t n = ask(i, query, msg);

	NEED(sendto(d.server, msg, n, 0, (struct sockaddr *)&client, client_len) == (ssize_t)n);
}

static size_t by_connected(unsigned i, const uint8_t *query, uint8_t *msg)
{
	int fd = udp(SOCK_NONBLOCK, INADDR_ANY, 0);

	NEED(connect(fd, (struct sockaddr *)&d.upstream_at, sizeof(d.upstream_at)) == 0);
	size_t n = ask_upstream(i, query, fd, true, msg);

	close(fd);
	return n;
}

static size_t by_shared(unsigned i, const uint8_t *query, uint8_t *msg)
{
	return ask_upstream(i, query, d.upstream, false, msg);
}

/* As unbound: a connected socket for each query. */
static void miss_connected(unsigned i)
{
	miss(i, by_connected);
}

/* As dnsdist and smartdns, and dnsmasq when it is busy: one socket for all. */
static void miss_shared(unsigned i)
{
	miss(i, by_shared);
}

/* Another thread, which does for this one what is to be done upstream. */
static struct {
	pthread_t thread;
	sem_t begin, end;
	unsigned i;
	const uint8_t *query;
	uint8_t *msg;
	size_t n;
} other;

static void *ask_for_others(void *unused)
{
	for (;;) {
		NEED(sem_wait(&other.begin) == 0);
		other.n = by_connected(other.i, other.query, other.msg);
		NEED(sem_post(&other.end) == 0);
	}
	return unused;
}

static void start_other(void)
{
	NEED(sem_init(&other.begin, 0, 0) == 0 && sem_init(&other.end, 0, 0) == 0);
	errno = pthread_create(&other.thread, NULL, ask_for_others,
			       NULL); /* it ends with the process */
	NEED(errno == 0);
}

static size_t by_other(unsigned i, const uint8_t *query, uint8_t *msg)
{
	other.i = i;
	other.query = query;
	other.msg = msg;
	NEED(sem_post(&other.begin) == 0 && sem_wait(&other.end) == 0);
	return other.n;
}

/* As BIND: likewise, by another thread. */
static void miss_by_other(unsigned i)
{
	miss(i, by_other);
}

static void read_pipe(unsigned i)
{
	char byte;

	(void)i;
	NEED(read(d.pipe[0], &byte, 1) == 1);
}

static void wait_epoll(unsigned i)
{
	struct epoll_event event;

	(void)i;
	NEED(epoll_wait(d.epoll, &event, 1, 0) == 0);
}

/* ---- the modes ---- */

struct mode {
	const char *name;
	void (*step)(unsigned i);
	unsigned queries; /* that the peer asks for one step */
	bool any;	  /* the server's socket is bound to the wildcard address */
	bool misses;	  /* upstream queries leave */
	bool alias;	  /* ... and their answers lead on, so that the table is wanted */
};

static const struct mode modes[] = {
	{"cached", answer_by_name, 1, false, false, false},
	{"cached-any", answer_by_name, 1, true, false, false},
	{"cached-msg", answer_by_message, 1, true, false, false},
	{"batch", answer_batch, BATCH, false, false, false},
	{"burst", answer_burst, BATCH *BATCHES, false, false, false},
	{"miss", miss_connected, 1, false, true, false},
	{"miss-shared", miss_shared, 1, false, true, false},
	{"miss-lent", miss_by_other, 1, false, true, false},
	{"miss-alias", miss_connected, 1, false, true, true},
	{"pipe", read_pipe, 0, false, false, false},
	{"epoll", wait_epoll, 0, false, false, false},
};

static const struct mode *mode_named(const char *name)
{
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	fprintf(stderr, "drivers: there is no mode %s\n", name);
	exit(64);
}

/* ---- the peer: client and upstream in one, bare ---- */

static void ask(int client, unsigned number)
{
	uint8_t msg[MESSAGE];
	size_t n = message(msg, QUESTION, number);

	NEED(send(client, msg, n, 0) == (ssize_t)n);
}

static void expect_answer(int client)
{
	uint8_t msg[MESSAGE];

	wait_for(client);
	NEED(recv(client, msg, sizeof(msg), 0) > 12 && msg[2] == ANSWER);
}

static uint32_t mark_of(struct msghdr *msg)
{
	uint32_t mark = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_MARK)
			memcpy(&mark, CMSG_DATA(c), sizeof(mark));
	return mark;
}

/* The question's name is an alias of one beneath the same domain. */
static size_t add_alias(uint8_t *msg, size_t n)
{
	static const uint8_t record[] = {0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 0, 0, 4, 1, 'c', 0xc0, 20};

	msg[7] = 1;
	memcpy(msg + n, record, sizeof(record));
	return n + sizeof(record);
}

static void answer_upstream(int fd, uint32_t mark, bool alias)
{
	uint8_t data[MESSAGE];
	_Alignas(struct cmsghdr) char control[64];
	struct sockaddr_in from;
	struct iovec iov = {data, sizeof(data)};
	struct msghdr msg = {.msg_name = &from,
			     .msg_namelen = sizeof(from),
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};

	wait_for(fd);
	ssize_t n = recvmsg(fd, &msg, 0);

	NEED(n > 12 && n <= MESSAGE / 2 && data[2] == QUESTION);
	if (mark_of(&msg) != mark) {
		fprintf(stderr, "drivers: an upstream query has the mark %u, not %u\n",
			mark_of(&msg), mark);
		exit(1);
	}
	data[2] = ANSWER;
	data[3] = RECURSION_AVAILABLE; /* a forwarder's upstream: so this is no referral */
	size_t length = alias ? add_alias(data, (size_t)n) : (size_t)n;

	NEED(sendto(fd, data, length, 0, (struct sockaddr *)&from, msg.msg_namelen) ==
	     (ssize_t)length);
}

static int peer(const struct mode *mode, unsigned count, uint32_t mark, int upstream)
{
	struct sockaddr_in server = address(INADDR_LOOPBACK, SERVER_PORT);
	int client = udp(0, INADDR_LOOPBACK, 0), on = 1;

	NEED(setsockopt(upstream, SOL_SOCKET, SO_RCVMARK, &on, sizeof(on)) == 0);
	NEED(connect(client, (struct sockaddr *)&server, sizeof(server)) == 0);
	for (unsigned i = 0; i < count; i++) {
		for (unsigned k = 0; k < mode->queries; k++)
			ask(client, i * mode->queries + k);
		for (unsigned k = 0; mode->misses && k < mode->queries; k++)
			answer_upstream(upstream, mark, mode->alias);
		for (unsigned k = 0; k < mode->queries; k++)
			expect_answer(client);
	}
	ask(client, count * mode->queries);
	answer_upstream(upstream, mark, mode->alias);
	expect_answer(client);
	return 0;
}

/* ---- setting up, and looking whether it was real ---- */

static void start_peer(char **argv, const char *mark, int upstream)
{
	char *args[] = {argv[0], (char *)"peer", argv[1], argv[2], (char *)mark, NULL};
	char *no_environment[] = {NULL};
	posix_spawn_file_actions_t actions;

	NEED(posix_spawn_file_actions_init(&actions) == 0);
	NEED(posix_spawn_file_actions_adddup2(&actions, upstream, STDIN_FILENO) == 0);
	errno = posix_spawn(&d.peer, argv[0], &actions, NULL, args, no_environment);
	NEED(errno == 0);
	posix_spawn_file_actions_destroy(&actions);
}

static void set_up(const struct mode *mode, char **argv, const char *mark)
{
	static const char filling[65536]; /* a byte for each step: what a pipe holds */
	int fd = udp(0, INADDR_LOOPBACK, 0), on = 1;
	socklen_t len = sizeof(d.upstream_at);

	NEED(getsockname(fd, (struct sockaddr *)&d.upstream_at, &len) == 0);
	d.server = udp(mode->queries > 1 ? 0 : SOCK_NONBLOCK,
		       mode->any ? INADDR_ANY : INADDR_LOOPBACK, SERVER_PORT);
	if (mode->step == answer_by_message)
		NEED(setsockopt(d.server, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) == 0);
	d.upstream = udp(SOCK_NONBLOCK, INADDR_ANY, 0);
	d.epoll = epoll_create1(EPOLL_CLOEXEC);
	NEED(d.epoll >= 0 && pipe(d.pipe) == 0);
	NEED(write(d.pipe[1], filling, sizeof(filling)) == sizeof(filling));
	if (mode->step == miss_by_other) /* a process of one thread does some calls with less */
		start_other();
	start_peer(argv, mark, fd);
	close(fd);
}

static void need_library(void)
{
	char line[512];
	bool mapped = false;
	FILE *maps = fopen("/proc/self/maps", "re");

	NEED(maps);
	while (!mapped && fgets(line, sizeof(line), maps))
		mapped = strstr(line, "/libconnmarkshim.so") != NULL;
	fclose(maps);
	NEED(mapped);
}

int main(int argc, char **argv)
{
	int status;

	if (argc == 5 && strcmp(argv[1], "peer") == 0)
		return peer(mode_named(argv[2]), (unsigned)atoi(argv[3]), (uint32_t)atoi(argv[4]),
			    STDIN_FILENO);
	if (argc < 3 || argc > 4) {
		fprintf(stderr, "Usage: drivers MODE COUNT [MARK]\n");
		return 64;
	}
	const struct mode *mode = mode_named(argv[1]);
	unsigned count = (unsigned)atoi(argv[2]);

	if (argc == 4)
		need_library();
	set_up(mode, argv, argc == 4 ? argv[3] : "0");
	for (unsigned i = 0; i < count; i++)
		mode->step(i);
	miss_shared(count);
	NEED(waitpid(d.peer, &status, 0) == d.peer);
	return status == 0 ? 0 : 1;
}
