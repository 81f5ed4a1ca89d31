// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One client floods a table of the default size, by way of an intake as the library does. What others wait for must go
 * on as if it were not there: their questions, repeats of them, and the names that answers to them taught.
 */
#include "clients.h"
#include "harness.h"
#include "wire.h"

#include "intake.h"

#include <stdio.h>
#include <sys/mman.h>

enum {
	FLOOD = 200000,
	SHORT_FLOOD = 60000,
	VICTIMS = 50,
	BUSY = 300,
	BUSY_ID = 1000,
	A_MILLISECOND = 40
};

static struct sip_key key = {0xf100d, 0x5eed};
static struct intake intake;
static struct attrib *a;
static uint32_t now;

/* ---- clients ---- */

static struct attrib_owner client4(unsigned n)
{
	return client_at(n, IPPROTO_UDP);
}

/* The n-th address of that /64. */
static struct attrib_owner client6(unsigned network, unsigned n)
{
	struct attrib_owner o = client4(n);

	memset(o.flow.client.addr, 0, sizeof(o.flow.client.addr));
	o.flow.client.family = AF_INET6;
	o.flow.client.addr[0] = 0x20;
	o.flow.client.addr[7] = (uint8_t)network;
	o.flow.client.addr[13] = (uint8_t)(n >> 16);
	o.flow.client.addr[14] = (uint8_t)(n >> 8);
	o.flow.client.addr[15] = (uint8_t)n;
	return o;
}

static struct attrib_owner nameless(unsigned connection)
{
	struct attrib_owner o = client4(connection);

	memset(&o.flow.client, 0, sizeof(o.flow.client));
	o.flow.proto = IPPROTO_TCP;
	o.fd = (int)connection;
	o.fd_gen = 1;
	return o;
}

static struct attrib_owner tls(unsigned connection)
{
	struct attrib_owner o = nameless(connection);

	o.session = connection;
	o.fd = 3;
	return o;
}

/* Half of them with IPv4, half in one IPv6 network; their marks are their numbers, from 1 on. */
static struct attrib_owner victim(unsigned n)
{
	return n % 2 ? client4(n) : client6(1, n);
}

static struct attrib_owner one_address(unsigned n)
{
	(void)n;
	return client4(99999);
}

static struct attrib_owner a_neighbour(unsigned n)
{
	(void)n;
	return client6(1, 99999);
}

static struct attrib_owner a_whole_network(unsigned n)
{
	struct attrib_owner o = client6(2, n);

	o.mark = 99999;
	return o;
}

static struct attrib_owner some_connections(unsigned n)
{
	struct attrib_owner o = nameless(1000 + n % 10);

	o.mark = 99999;
	return o;
}

static struct attrib_owner some_sessions(unsigned n)
{
	struct attrib_owner o = tls(1000 + n % 10);

	o.mark = 99999;
	return o;
}

/* ---- events ---- */

static void parse(const struct wire *w, struct dns_message *m)
{
	assert_true(dns_parse(&key, w->bytes, w->len, m));
}

static void ask(const struct attrib_owner *who, unsigned id, const char *name)
{
	static struct wire w;

	wire_message(&w, id & 0xffff, WIRE_RD, name, 1);
	intake_query(&intake, a, now, w.bytes, w.len, who);
}

static struct attrib_socket socket_of(unsigned n)
{
	return (struct attrib_socket){.fd = (int)(1000 + n), .gen = 1};
}

static struct attrib_decision decide(unsigned socket, unsigned id, const char *name)
{
	static struct wire w;
	struct attrib_decision d;
	struct dns_message m;

	intake_empty(&intake, a, now);
	wire_message(&w, id & 0xffff, 0, name, 1);
	parse(&w, &m);
	attrib_upstream_query(a, now, &m, socket_of(socket), NULL, &d);
	attrib_commit(a, now, &m, &d);
	return d;
}

static void alias(unsigned socket, unsigned id, const char *name, const char *target)
{
	static struct wire w;
	struct dns_message m;

	wire_message(&w, id & 0xffff, WIRE_QR, name, 1);
	wire_record(&w, false, name, DNS_TYPE_CNAME, target);
	parse(&w, &m);
	attrib_upstream_answer(a, now, &m, w.bytes, w.len, socket_of(socket), NULL);
}

/* ---- names ---- */

typedef void name_writer(char name[256], unsigned n);

static void distinct(char name[256], unsigned n)
{
	snprintf(name, 256, "f%u.zone%u.t%u", n, n % 997, n % 13);
}

/* The victims' zone as well. */
static void beside(char name[256], unsigned n)
{
	snprintf(name, 256, "f%u.example.com", n);
}

static void deep(char name[256], unsigned n)
{
	size_t at = 0;

	for (unsigned i = 0; i < 30; i++)
		at += (size_t)snprintf(name + at, 256 - at, "%x.", n >> i % 5 * 4 & 15);
	snprintf(name + at, 256 - at, "f%u.example.com", n);
}

static const char *numbered(char letter, unsigned n, const char *tld)
{
	static char name[64];

	snprintf(name, sizeof(name), "%c%u.example.%s", letter, n, tld);
	return name;
}

/* ---- the victims ---- */

/* v: asked, and sent upstream; w: likewise, and an alias was named in the answer; x: not yet sent. */
static void victims_ask(void)
{
	for (unsigned n = 1; n <= VICTIMS; n++) {
		struct attrib_owner who = victim(n);

		ask(&who, n, numbered('v', n, "com"));
		ask(&who, n, numbered('w', n, "com"));
		decide(n, n, numbered('v', n, "com"));
		decide(n, 2 * n, numbered('w', n, "com"));
		char target[64];

		snprintf(target, sizeof(target), "w%u.example.org", n);
		alias(n, 2 * n, numbered('w', n, "com"), target);
		ask(&who, n, numbered('x', n, "com"));
	}
}

/* One that has much under way, but far less than the flood. */
static void busy_asks(void)
{
	struct attrib_owner who = client4(BUSY_ID);

	for (unsigned i = 0; i < BUSY; i++)
		ask(&who, i, numbered('b', i, "com"));
}

static void assert_decides(unsigned socket, unsigned id, const char *name,
			   enum attrib_evidence evidence, uint32_t mark)
{
	struct attrib_decision d = decide(socket, id, name);

	if (d.evidence != evidence || d.owner.mark != mark)
		fail_msg("%s: %s of %u, must be %s of %u", name, attrib_evidence_name(d.evidence),
			 d.evidence ? d.owner.mark : 0, attrib_evidence_name(evidence), mark);
}

static void assert_victims_whole(void)
{
	for (unsigned n = 1; n <= VICTIMS; n++) {
		char target[64];

		assert_decides(n, n, numbered('v', n, "com"), ATTRIB_REPEAT, n);
		assert_decides(500 + n, n, numbered('v', n, "com"), ATTRIB_EXACT, n);
		assert_decides(500 + n, n, numbered('x', n, "com"), ATTRIB_EXACT, n);
		assert_decides(500 + n, n, numbered('w', n, "org"), ATTRIB_LEARNED, n);
		snprintf(target, sizeof(target), "v%u.example.org", n);
		alias(n, n, numbered('v', n, "com"), target);
		assert_decides(500 + n, n, target, ATTRIB_LEARNED, n);
	}
	for (unsigned i = 0; i < BUSY; i++)
		assert_decides(400, i, numbered('b', i, "com"), ATTRIB_EXACT, BUSY_ID);
}

/* ---- floods ---- */

typedef struct attrib_owner flooder(unsigned n);

/* Every query goes upstream, and every answer but each fourth is kept back; those name an alias. */
static void flood_on(flooder *who, name_writer *write, unsigned queries)
{
	char name[256], target[300];

	for (unsigned n = 0; n < queries; n++) {
		struct attrib_owner o = who(n);

		write(name, n);
		now += n % A_MILLISECOND == 0;
		ask(&o, n, name);
		if (n % 2)
			continue;
		struct attrib_decision d = decide(2000 + n % 4096, n / 4096, name);

		assert_true(d.evidence == ATTRIB_EXACT || d.evidence == ATTRIB_REPEAT);
		assert_int_equal(d.owner.mark, 99999);
		snprintf(target, sizeof(target), "t%u.example.org", n);
		if (n % 8 == 0)
			alias(2000 + n % 4096, n / 4096, name, target);
	}
}

static void flood(flooder *who, name_writer *write, unsigned queries)
{
	struct attrib_usage usage;

	victims_ask();
	busy_asks();
	flood_on(who, write, queries);
	attrib_usage(a, &usage);
	assert_true(usage.evicted > queries / 4); /* else nothing was proven */
	assert_victims_whole();
}

static void distinct_names(void **state)
{
	(void)state;
	flood(one_address, distinct, FLOOD);
}

static void names_in_one_zone(void **state)
{
	(void)state;
	flood(one_address, beside, FLOOD);
}

static void deep_names(void **state)
{
	(void)state;
	flood(one_address, deep, FLOOD);
}

static void from_a_victims_network(void **state)
{
	(void)state;
	flood(a_neighbour, beside, SHORT_FLOOD);
}

static void from_all_of_a_network(void **state)
{
	(void)state;
	flood(a_whole_network, beside, SHORT_FLOOD);
}

static void deep_from_all_of_a_network(void **state)
{
	(void)state;
	flood(a_whole_network, deep, SHORT_FLOOD);
}

static void on_ten_connections(void **state)
{
	(void)state;
	flood(some_connections, beside, SHORT_FLOOD);
}

static void on_ten_tls_connections(void **state)
{
	(void)state;
	flood(some_sessions, beside, SHORT_FLOOD);
}

/* Two at once: neither pushes out who holds less than both. */
static void two_of_them(void **state)
{
	(void)state;
	victims_ask();
	busy_asks();
	flood_on(one_address, beside, SHORT_FLOOD);
	flood_on(a_neighbour, distinct, SHORT_FLOOD);
	flood_on(a_neighbour, beside, SHORT_FLOOD);
	assert_victims_whole();
}

/* Those who ask when the table is full already are as safe as those who asked before. */
static void asked_amid_the_flood(void **state)
{
	(void)state;
	flood_on(one_address, beside, SHORT_FLOOD);
	flood(one_address, beside, FLOOD);
}

/* Answered ones go first, whosever they are: the flooder loses nothing while there are any. */
static void answered_first(void **state)
{
	struct attrib_owner whose = client4(99999);
	static struct wire w;
	struct attrib_usage before, after;
	struct dns_message m;

	(void)state;
	for (unsigned n = 1; n <= 256; n++) {
		struct attrib_owner who = client4(n);

		ask(&who, n, numbered('v', n, "com"));
		decide(n, n, numbered('v', n, "com"));
		wire_message(&w, n, WIRE_QR, numbered('v', n, "com"), 1);
		parse(&w, &m);
		attrib_client_answer(a, now, &m, &who);
	}
	for (unsigned n = 0; n < ATTRIB_CAPACITY_DEFAULT - 512; n++)
		ask(&whose, n, numbered('f', n, "com"));
	intake_empty(&intake, a, now);
	attrib_usage(a, &before);
	assert_int_equal(attrib_lost(a), 0);
	for (unsigned n = 0; n < 512; n++)
		ask(&whose, n, numbered('g', n, "com"));
	intake_empty(&intake, a, now);
	attrib_usage(a, &after);
	assert_int_equal(attrib_lost(a), 0);
	assert_true(after.answered < before.answered);
	assert_decides(1, 1, "f0.example.com", ATTRIB_EXACT, 99999);
}

/* A flooder's own oldest goes, and its newest is known. */
static void the_flooders_own_oldest(void **state)
{
	(void)state;
	flood_on(one_address, beside, SHORT_FLOOD);
	struct attrib_decision d = decide(1, 1, "f1.example.com");

	assert_int_not_equal(d.evidence, ATTRIB_EXACT);
	assert_decides(1, 1, "f59999.example.com", ATTRIB_EXACT, 99999);
	assert_decides(1, 1, "f53000.example.com", ATTRIB_EXACT, 99999);
}

/* When the flood is over and has had its time, others have all the room there is. */
static void forgotten_in_time(void **state)
{
	struct attrib_owner busy = client4(7);
	struct attrib_usage usage;

	(void)state;
	flood_on(one_address, beside, SHORT_FLOOD);
	now += ATTRIB_WAIT_MS + 1;
	for (unsigned n = 0; n < ATTRIB_CAPACITY_DEFAULT; n++)
		ask(&busy, n, numbered('z', n, "com"));
	attrib_usage(a, &usage);
	for (unsigned n = 0; n < ATTRIB_CAPACITY_DEFAULT; n++)
		assert_decides(1, 1, numbered('z', n, "com"), ATTRIB_EXACT, 7);
}

/* Names that lie in one bucket under one key lie in many under another: none can be chosen without the key. */
static void colliding_names(void **state)
{
	enum { NAMES = 50000, BUCKETS = 4096, CHOSEN = 8 };
	static unsigned in[BUCKETS], most[BUCKETS];
	const struct sip_key other = {1, 2};
	struct dns_message m;
	static struct wire w;
	unsigned chosen = 0, crowd = 0;

	(void)state;
	memset(in, 0, sizeof(in));
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned n = 0; n < NAMES; n++) {
			wire_message(&w, 1, 0, numbered('c', n, "com"), 1);
			parse(&w, &m);
			unsigned bucket = dns_name_hash(&m.name) % BUCKETS;

			in[bucket] += pass == 0;
			if (pass == 0 || bucket != chosen)
				continue;
			assert_true(dns_parse(&other, w.bytes, w.len, &m));
			most[dns_name_hash(&m.name) % BUCKETS]++;
		}
		for (unsigned i = 0; pass == 0 && i < BUCKETS; i++)
			chosen = in[i] > in[chosen] ? i : chosen;
	}
	for (unsigned i = 0; i < BUCKETS; i++)
		crowd = most[i] > crowd ? most[i] : crowd;
	assert_true(in[chosen] >= CHOSEN);
	assert_true(crowd <= in[chosen] / 4);
}

/* ---- all together ---- */

static int setup(void **state)
{
	size_t bytes = attrib_size(ATTRIB_CAPACITY_DEFAULT);

	(void)state;
	a = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (a == MAP_FAILED)
		return -1;
	attrib_init(a, ATTRIB_CAPACITY_DEFAULT, &key);
	memset(&intake, 0, sizeof(intake));
	intake_init(&intake);
	now = UINT32_MAX - 5000; /* the clock turns over amid it */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return munmap(a, attrib_size(ATTRIB_CAPACITY_DEFAULT));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(distinct_names),
		TEST(names_in_one_zone),
		TEST(deep_names),
		TEST(from_a_victims_network),
		TEST(from_all_of_a_network),
		TEST(deep_from_all_of_a_network),
		TEST(on_ten_connections),
		TEST(on_ten_tls_connections),
		TEST(two_of_them),
		TEST(asked_amid_the_flood),
		TEST(answered_first),
		TEST(the_flooders_own_oldest),
		TEST(forgotten_in_time),
		TEST(colliding_names),
	};

	return cmocka_run_group_tests_name("flood", tests, NULL, NULL);
}
