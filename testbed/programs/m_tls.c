// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Queries that are encrypted (records.c) in their clients' turns and written in a later one, over two connections: one
 * record by itself, two in one write, half a record and the rest with another, two clients' queries in one record. The
 * packets' marks are for the firewall's counters to judge, which see the names.
 */
#include "client.h"

#include <dlfcn.h>

typedef ssize_t send_fn(void *session, const void *data, size_t len);
typedef size_t take_fn(uint8_t *out);

static send_fn *record_send;
static take_fn *records_take;
static int server;
static uint8_t records[16384];

/* The client's query comes in, and is encrypted in its turn. */
static size_t take_query(void *session, int client, const char *name)
{
	char frame[512];
	size_t n = frame_of(client, name, server, frame);

	NEED(record_send(session, frame, n) == (ssize_t)n);
	turn_ends();
	return n + 22; /* what records.c makes of it */
}

static void put(int fd, const uint8_t *data, size_t n)
{
	for (size_t done = 0; done < n;
	     usleep(20000)) { /* each write's bytes leave by themselves */
		ssize_t sent = send(fd, data + done, n - done, 0);

		NEED(sent > 0 || errno == EAGAIN);
		done += sent > 0 ? (size_t)sent : 0;
	}
	turn_ends();
}

static int connection(int port)
{
	static const uint8_t hello[15] = {22, 3, 1, 0, 10},
			     finished[45] = {20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 34};
	int pair[2];

	tcp_pair(pair, port);
	put(pair[0], hello, sizeof(hello));
	put(pair[0], finished, sizeof(finished));
	return pair[0];
}

static void put_all(int fd)
{
	put(fd, records, records_take(records));
}

int main(void)
{
	enum { HALF = 50 };
	char first[] = "a session", second[] = "another", both[1024];

	record_send = (send_fn *)dlsym(RTLD_DEFAULT, "gnutls_record_send");
	records_take = (take_fn *)dlsym(RTLD_DEFAULT, "records_take");
	NEED(record_send && records_take);
	server = bound_udp("127.0.0.1", SERVER_PORT);
	int one = connection(UPSTREAM_PORT);

	take_query(first, 1, "alone-of-one.test");
	put_all(one);

	take_query(first, 2, "pair-of-two.test");
	take_query(first, 3, "pair-of-three.test");
	put_all(one);

	take_query(first, 1, "half-of-one.test");
	take_query(first, 2, "rest-of-two.test");
	size_t n = records_take(records);

	put(one, records, HALF);
	put(one, records + HALF, n - HALF);

	int two = connection(UPSTREAM_PORT);

	n = take_query(second, 2, "other-of-two.test");
	take_query(first, 3, "first-of-three.test");
	size_t m = records_take(records);

	put(one, records + n, m - n);
	put(two, records, n);

	n = frame_of(1, "joined-of-one.test", server, both);
	n += frame_of(2, "joined-of-two.test", server, both + n);
	NEED(record_send(first, both, n) == (ssize_t)n);
	turn_ends();
	put_all(one);

	take_query(first, 1, "last-of-one.test");
	put_all(one);
	return 0;
}
