// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The pure core alone: what does an event cost while many names wait?
 *
 *     core --waiting N [--clients N] [--zones N] [--threads N] [--operations N] [--table N]
 *
 * First N client queries come in and stay. Then each operation is the life of one query more: the client asks, the
 * upstream query is decided, its answer comes in, the client is answered: four events. Time goes by as if there were
 * 20,000 of them a second; those of the first 12 seconds are not measured, for by then memory is used again. Prints one
 * line of JSON: nanoseconds an event over all operations, for each of the four too, and what the table let go.
 */
#include "attrib.h"
#include "clock.h"
#include "pages.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	EVENTS = 4,
	MESSAGE = 128,
	THREADS_MAX = 16,
	SLICE = 64,
	A_MILLISECOND = 20, /* operations */
	WARM = 12000 * A_MILLISECOND,
};

_Static_assert(WARM > ATTRIB_ANSWERED_MS * A_MILLISECOND, "answered clients go again by then");

static const char *const event_names[EVENTS] = {"client_query", "upstream_query", "upstream_answer",
						"client_answer"};

static struct {
	unsigned waiting, clients, zones, threads, operations, capacity;
	struct attrib *table;
} run = {.clients = 1000,
	 .zones = 1000,
	 .threads = 1,
	 .operations = 200000,
	 .capacity = ATTRIB_CAPACITY_MAX};

#define NEED(x)                                                                       \
	do {                                                                          \
		if (!(x)) {                                                           \
			fprintf(stderr, "core: line %d: %s: not so\n", __LINE__, #x); \
			exit(1);                                                      \
		}                                                                     \
	} while (0)

/* ---- messages ---- */

static uint8_t *put_label(uint8_t *p, char letter, unsigned number)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%c%u", letter, number);

	*p++ = (uint8_t)n;
	memcpy(p, text, (size_t)n);
	return p + n;
}

/* wN.hN.zN.tN, of which the last two labels are the zone. */
static size_t question(uint8_t msg[MESSAGE], unsigned number, bool response)
{
	uint8_t *p = msg + DNS_HEADER_LEN;

	memset(msg, 0, DNS_HEADER_LEN);
	msg[0] = (uint8_t)(number >> 8);
	msg[1] = (uint8_t)number;
	msg[2] = response ? 0x81 : 0x01;
	msg[3] = response ? 0x80
			  : 0; /* RA: a forwarder's upstream recurses, so this is no referral */
	msg[5] = 1;
	p = put_label(p, 'w', number);
	p = put_label(p, 'h', number % 7);
	p = put_label(p, 'z', number % run.zones);
	p = put_label(p, 't', number % run.zones % 10);
	memcpy(p, "\0\0\1\0\1", 5);
	return (size_t)(p + 5 - msg);
}

/* ---- events ---- */

/* One more query's life: its messages, read beforehand, and who asked. */
struct life {
	struct dns_message query, answer;
	struct attrib_owner who;
	struct attrib_decision decision;
	uint8_t msg[MESSAGE], response[MESSAGE];
	size_t length;
	struct attrib_socket socket;
};

static void prepare(struct life *l, unsigned number)
{
	unsigned client = number % run.clients;
	uint32_t address = htonl(0x0a000000 + client);

	memset(l, 0, sizeof(*l));
	l->length = question(l->msg, number, false);
	question(l->response, number, true);
	NEED(dns_parse(attrib_key(run.table), l->msg, l->length, &l->query));
	NEED(dns_parse(attrib_key(run.table), l->response, l->length, &l->answer));
	l->who.flow.proto = IPPROTO_UDP;
	l->who.flow.client.family = AF_INET;
	l->who.flow.client.port = (uint16_t)(1024 + number / 65536 % 60000);
	memcpy(l->who.flow.client.addr, &address, sizeof(address));
	l->who.fd = 3;
	l->who.id = (uint16_t)number;
	l->who.state = MARK_KNOWN;
	l->who.mark = client + 1;
	l->socket = (struct attrib_socket){(int)(10 + number % 500), number};
}

static void ask(struct life *l, uint32_t now)
{
	attrib_client_query(run.table, now, &l->query, &l->who, NULL);
}

static void decide(struct life *l, uint32_t now)
{
	attrib_upstream_query(run.table, now, &l->query, l->socket, NULL, &l->decision);
	attrib_commit(run.table, now, &l->query, &l->decision);
}

static void hear(struct life *l, uint32_t now)
{
	attrib_upstream_answer(run.table, now, &l->answer, l->response, l->length, l->socket, NULL);
}

static void answer(struct life *l, uint32_t now)
{
	attrib_client_answer(run.table, now, &l->answer, &l->who);
}

static void (*const events[EVENTS])(struct life *, uint32_t) = {ask, decide, hear, answer};

/* ---- threads ---- */

struct worker {
	pthread_t thread;
	unsigned first, count; /* number of its first query, and how many */
	uint64_t ns[EVENTS];
	unsigned wrong;
};

static pthread_barrier_t barrier;

/* Milliseconds since the start, by the number of queries that came since. */
static uint32_t now_ms(unsigned query)
{
	return 1 + (query - run.waiting) / A_MILLISECOND;
}

/* Many of each event in a row, so that the clock is not what is measured. */
static void slice(struct worker *w, struct life *lives, unsigned first)
{
	uint32_t now = now_ms(first);

	for (unsigned i = 0; i < SLICE; i++)
		prepare(&lives[i], first + i);
	for (unsigned e = 0; e < EVENTS; e++) {
		uint64_t start = now_ns();

		for (unsigned i = 0; i < SLICE; i++)
			events[e](&lives[i], now);
		w->ns[e] += now_ns() - start;
	}
	for (unsigned i = 0; i < SLICE; i++)
		w->wrong += lives[i].decision.evidence != ATTRIB_EXACT ||
			    lives[i].decision.owner.mark != lives[i].who.mark;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	static _Thread_local struct life lives[SLICE];

	pthread_barrier_wait(&barrier);
	for (unsigned done = 0; done < w->count; done += SLICE)
		slice(w, lives, w->first + done * run.threads);
	return NULL;
}

static void fill(void)
{
	struct life l;

	for (unsigned i = 0; i < run.waiting; i++) {
		prepare(&l, i);
		ask(&l, 1);
	}
}

/* ---- the run ---- */

static void make_table(void)
{
	const struct sip_key key = {.k0 = 0x9c1f2b64d07e35a9,
				    .k1 = 0x3e85a7f01c6d492b}; /* as random as any */
	size_t size = attrib_size(run.capacity);
	void *memory = pages_map(size, run.capacity >= ATTRIB_CAPACITY_LARGE);

	NEED(memory);
	run.table = attrib_init(memory, run.capacity, &key);
}

static void report(const struct worker *workers)
{
	struct attrib_usage usage;
	uint64_t ns[EVENTS] = {0}, all = 0;
	unsigned wrong = 0;

	for (unsigned t = 0; t < run.threads; t++) {
		wrong += workers[t].wrong;
		for (unsigned e = 0; e < EVENTS; e++)
			ns[e] += workers[t].ns[e];
	}
	attrib_usage(run.table, &usage);
	printf("{\"waiting\":%u,\"clients\":%u,\"zones\":%u,\"threads\":%u,\"table\":%u,"
	       "\"events\":{",
	       run.waiting, run.clients, run.zones, run.threads, run.capacity);
	for (unsigned e = 0; e < EVENTS; e++) {
		all += ns[e];
		printf("%s\"%s\":%.1f", e ? "," : "", event_names[e],
		       (double)ns[e] / run.operations);
	}
	printf("},\"nanoseconds\":%.1f,\"still_waiting\":%u,\"evicted\":%llu,\"wrong\":%u,"
	       "\"bytes\":%zu}\n",
	       (double)all / run.operations / EVENTS, usage.waiting,
	       (unsigned long long)usage.evicted, wrong, attrib_size(run.capacity));
}

/* All threads together, each a slice in turn; returns the number of the query after the last. */
static unsigned operate(struct worker *workers, unsigned first, unsigned operations)
{
	unsigned each = operations / run.threads / SLICE * SLICE;

	NEED(each && pthread_barrier_init(&barrier, NULL, run.threads) == 0);
	for (unsigned t = 0; t < run.threads; t++) {
		workers[t] = (struct worker){.first = first + t * SLICE, .count = each};
		NEED(pthread_create(&workers[t].thread, NULL, work, &workers[t]) == 0);
	}
	for (unsigned t = 0; t < run.threads; t++)
		pthread_join(workers[t].thread, NULL);
	pthread_barrier_destroy(&barrier);
	return first + each * run.threads;
}

static void measure(void)
{
	struct worker workers[THREADS_MAX];
	unsigned first = operate(workers, run.waiting, WARM);

	run.operations = operate(workers, first, run.operations) - first;
	report(workers);
}

static unsigned number(const char *text, unsigned least, unsigned most)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || n < least || n > most) {
		fprintf(stderr, "core: '%s' is no number from %u to %u\n", text, least, most);
		exit(64);
	}
	return (unsigned)n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"waiting", required_argument, NULL, 'w'},
						{"clients", required_argument, NULL, 'c'},
						{"zones", required_argument, NULL, 'z'},
						{"threads", required_argument, NULL, 't'},
						{"operations", required_argument, NULL, 'o'},
						{"table", required_argument, NULL, 'T'},
						{NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'w':
			run.waiting = number(optarg, 0, 4000000);
			break;
		case 'c':
			run.clients = number(optarg, 1, 1000000);
			break;
		case 'z':
			run.zones = number(optarg, 1, 1000000);
			break;
		case 't':
			run.threads = number(optarg, 1, THREADS_MAX);
			break;
		case 'o':
			run.operations = number(optarg, SLICE, 100000000);
			break;
		case 'T':
			run.capacity = number(optarg, ATTRIB_CAPACITY_MIN, ATTRIB_CAPACITY_MAX);
			break;
		default:
			return 64;
		}
	}
	make_table();
	fill();
	measure();
	return 0;
}
