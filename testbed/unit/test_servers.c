// SPDX-License-Identifier: GPL-2.0-or-later
#include "harness.h"
#include "wire.h"

#include "servers.h"

#include <pthread.h>
#include <stdio.h>

static const struct sip_key key = {11, 12};
static struct servers *table;

static int setup(void **state)
{
	(void)state;
	table = calloc(1, sizeof(*table));
	if (!table)
		return -1;
	servers_init(table);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(table);
	return 0;
}

static struct dns_name name_of(const char *text)
{
	static struct wire w;
	struct dns_message m;

	wire_message(&w, 1, 0, text, 1);
	assert_true(dns_parse(&key, w.bytes, w.len, &m));
	return m.name;
}

static uint64_t hash_of(const char *text)
{
	struct dns_name name = name_of(text);

	return dns_name_hash(&name);
}

static void learn_number(const char *server, uint64_t zone, unsigned shard)
{
	struct dns_name name = name_of(server);

	servers_learn(table, &name, (struct served_zone){zone, (uint8_t)shard});
}

static void learn(const char *server, const char *zone)
{
	learn_number(server, hash_of(zone), 3);
}

/* A server that is nothing but a hash: of one label, so that it alone is learned. */
static void learn_hash(uint64_t server)
{
	static struct dns_name name = {.labels = 1};

	name.suffix[0] = server;
	servers_learn(table, &name, (struct served_zone){server ^ 1, 0});
}

static unsigned zones_of(uint64_t server, struct served_zone zones[SERVERS_ZONES])
{
	unsigned n = 0;

	if (!servers_find(table, server, zones))
		return 0;
	while (n < SERVERS_ZONES && zones[n].zone)
		n++;
	for (unsigned i = n; i < SERVERS_ZONES; i++)
		assert_int_equal(zones[i].zone, 0); /* none behind the last */
	return n;
}

/* Exactly these zones, the newest first. */
static void serves(const char *server, unsigned count, ...)
{
	struct served_zone zones[SERVERS_ZONES];
	va_list expected;

	if (zones_of(hash_of(server), zones) != count)
		fail_msg("%s does not serve %u zones", server, count);
	va_start(expected, count);
	for (unsigned i = 0; i < count; i++) {
		const char *zone = va_arg(expected, const char *);

		if (zones[i].zone != hash_of(zone))
			fail_msg("zone %u of %s is not %s", i, server, zone);
	}
	va_end(expected);
}

static void unknown_at_first(void **state)
{
	struct served_zone zones[SERVERS_ZONES];

	(void)state;
	serves("ns.example.net", 0);
	assert_false(servers_find(table, DNS_ROOT_HASH, zones));
	assert_false(servers_is_root(table, hash_of("ns.example.net")));
}

static void zones_and_shards(void **state)
{
	struct served_zone zones[SERVERS_ZONES];

	(void)state;
	learn_number("ns.example.net", 77, 7);
	learn_number("ns.example.net", 55, 5);
	assert_int_equal(zones_of(hash_of("NS.example.net"), zones), 2);
	assert_true(zones[0].zone == 55 && zones[0].shard == 5);
	assert_true(zones[1].zone == 77 && zones[1].shard == 7);
	/* learned again elsewhere: what was said last counts */
	learn_number("ns.example.net", 77, 2);
	assert_int_equal(zones_of(hash_of("ns.example.net"), zones), 2);
	assert_true(zones[0].zone == 77 && zones[0].shard == 2);
	assert_true(zones[1].zone == 55 && zones[1].shard == 5);
}

/* The names above a server's lead to it; those beneath it, beside it, and the root do not. */
static void ancestors(void **state)
{
	struct served_zone zones[SERVERS_ZONES];

	(void)state;
	learn("a.ns.example.net", "example.com");
	serves("a.ns.example.net", 1, "example.com");
	serves("ns.example.net", 1, "example.com");
	serves("example.net", 1, "example.com");
	serves("net", 1, "example.com");
	serves("x.a.ns.example.net", 0);
	serves("b.ns.example.net", 0);
	serves("ns.example.com", 0);
	serves("example.com", 0);
	assert_false(servers_find(table, DNS_ROOT_HASH, zones));
	learn("b.ns.example.net", "example.org");
	serves("a.ns.example.net", 1, "example.com");
	serves("ns.example.net", 2, "example.org", "example.com");
	learn("c.net", "example.com");
	serves("net", 2, "example.com", "example.org");
	serves("ns.example.net", 2, "example.org", "example.com");
}

/* A name server named "." has no name to be asked for. */
static void the_root_as_a_server(void **state)
{
	struct served_zone zones[SERVERS_ZONES];

	(void)state;
	learn(".", "example.com");
	assert_false(servers_find(table, DNS_ROOT_HASH, zones));
}

static void learned_again_moves_to_the_front(void **state)
{
	(void)state;
	learn("ns", "a");
	learn("ns", "b");
	learn("ns", "c");
	serves("ns", 3, "c", "b", "a");
	learn("ns", "a"); /* from the end */
	serves("ns", 3, "a", "c", "b");
	learn("ns", "c"); /* from the middle */
	serves("ns", 3, "c", "a", "b");
	learn("ns", "c"); /* it is there */
	serves("ns", 3, "c", "a", "b");
}

/* Of more than there is room for, the newest. */
static void newest_zones(void **state)
{
	struct served_zone zones[SERVERS_ZONES];

	(void)state;
	for (unsigned i = 1; i <= 3 * SERVERS_ZONES; i++) {
		learn_number("ns", i, 0);
		unsigned n = zones_of(hash_of("ns"), zones);

		assert_int_equal(n, i < SERVERS_ZONES ? i : SERVERS_ZONES);
		for (unsigned k = 0; k < n; k++)
			assert_int_equal(zones[k].zone, i - k);
	}
	/* the oldest that is still there, learned again: none is lost */
	unsigned oldest = 2 * SERVERS_ZONES + 1;

	learn_number("ns", oldest, 0);
	assert_int_equal(zones_of(hash_of("ns"), zones), SERVERS_ZONES);
	assert_int_equal(zones[0].zone, oldest);
	for (unsigned k = 1; k < SERVERS_ZONES; k++)
		assert_int_equal(zones[k].zone, 3 * SERVERS_ZONES + 1 - k);
	/* and one that had gone */
	learn_number("ns", 1, 0);
	assert_int_equal(zones_of(hash_of("ns"), zones), SERVERS_ZONES);
	assert_int_equal(zones[0].zone, 1);
	assert_int_equal(zones[1].zone, oldest);
	assert_int_equal(zones[SERVERS_ZONES - 1].zone, 2 * SERVERS_ZONES + 3);
}

static void root_servers(void **state)
{
	(void)state;
	learn("a.root-servers.net", ".");
	assert_true(servers_is_root(table, hash_of("a.root-servers.net")));
	assert_true(servers_is_root(table, hash_of("root-servers.net")));
	assert_true(servers_is_root(table, hash_of("net")));
	assert_false(servers_is_root(table, hash_of("b.root-servers.net")));
	assert_false(servers_is_root(table, hash_of("com")));
	/* in whichever place */
	for (uint64_t i = 1; i < SERVERS_ZONES; i++) {
		learn_number("a.root-servers.net", i, 0);
		assert_true(servers_is_root(table, hash_of("a.root-servers.net")));
	}
	learn_number("a.root-servers.net", 100, 0);
	assert_false(servers_is_root(table, hash_of("a.root-servers.net")));
}

/* ---- replacement ---- */

/* The number-th name of a set: some bits of the hash choose it, and the others do not. */
static uint64_t in_set(unsigned set, unsigned number)
{
	return (uint64_t)set << 20 | (uint64_t)(number + 1) << 32 | (number & 0xff);
}

static bool knows(uint64_t server)
{
	struct served_zone zones[SERVERS_ZONES];

	return servers_find(table, server, zones);
}

/* The one unused for longest gives way; finding it, and learning it again, are uses. */
static void unused_gives_way(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SERVERS_WAYS; i++)
		learn_hash(in_set(7, i));
	for (unsigned i = 0; i < SERVERS_WAYS; i++)
		assert_true(knows(in_set(7, i)));
	assert_true(knows(in_set(7, 0)));
	learn_hash(in_set(7, 1));
	learn_hash(in_set(7, 10)); /* instead of 2 */
	learn_hash(in_set(7, 11)); /* instead of 3 */
	assert_false(knows(in_set(7, 2)));
	assert_false(knows(in_set(7, 3)));
	assert_true(knows(in_set(7, 11)));
	assert_true(knows(in_set(7, 0)));
	assert_true(knows(in_set(7, 10)));
	assert_true(knows(in_set(7, 1)));
	learn_hash(in_set(7, 12)); /* instead of 11 */
	assert_false(knows(in_set(7, 11)));
	assert_true(knows(in_set(7, 0)) && knows(in_set(7, 1)) && knows(in_set(7, 10)));
}

/* Whoever takes the place of another has none of its zones. */
static void nothing_is_inherited(void **state)
{
	struct served_zone zones[SERVERS_ZONES];

	(void)state;
	for (unsigned i = 0; i < 3 * SERVERS_WAYS; i++) {
		learn_hash(in_set(1, i));
		assert_int_equal(zones_of(in_set(1, i), zones), 1);
		assert_true(zones[0].zone == (in_set(1, i) ^ 1));
	}
}

/* A flood in one set leaves the others alone; and all sets together hold what they have room for. */
static void sets_are_apart(void **state)
{
	(void)state;
	for (unsigned set = 0; set < SERVERS_SETS; set++)
		for (unsigned i = 0; i < SERVERS_WAYS; i++)
			learn_hash(in_set(set, i));
	for (unsigned i = 0; i < 1000; i++)
		learn_hash(in_set(9, 100 + i));
	for (unsigned set = 0; set < SERVERS_SETS; set++)
		for (unsigned i = 0; i < SERVERS_WAYS; i++)
			assert_int_equal(knows(in_set(set, i)), set != 9);
	for (unsigned i = 0; i < SERVERS_WAYS; i++)
		assert_true(knows(in_set(9, 1099 - i)));
}

/* Names as they come spread over the sets: most of half as many as there is room for stay. */
static void names_spread(void **state)
{
	enum { NAMES = SERVERS_SETS * SERVERS_WAYS / 2 };
	unsigned kept = 0;
	char name[32];

	(void)state;
	for (unsigned i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "ns%u", i);
		learn(name, "example.com");
	}
	for (unsigned i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "ns%u", i);
		kept += knows(hash_of(name));
	}
	assert_true(kept > NAMES * 9 / 10);
}

/* A name of as many labels as there can be, each of them a way to the server. */
static void deepest_name(void **state)
{
	struct served_zone zones[SERVERS_ZONES];
	char text[2 * DNS_LABELS_MAX];
	struct dns_name name;
	unsigned known = 0;

	(void)state;
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = i % 2 ? '.' : 'x';
	text[sizeof(text) - 1] = '\0';
	name = name_of(text);
	assert_int_equal(name.labels, DNS_LABELS_MAX);
	servers_learn(table, &name, (struct served_zone){5, 5});
	for (unsigned i = 0; i < name.labels; i++)
		known += zones_of(name.suffix[i], zones) == 1 && zones[0].zone == 5;
	assert_true(known > DNS_LABELS_MAX * 9 / 10); /* some share a set */
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 5000 };

static void *work(void *ctx)
{
	unsigned mine = (unsigned)(uintptr_t)ctx, wrong = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct dns_name name = {.labels = 2, .suffix = {in_set(i % 3, mine), in_set(5, 0)}};
		struct served_zone zones[SERVERS_ZONES];

		servers_learn(table, &name, (struct served_zone){mine + 1, (uint8_t)mine});
		/* each has a place in each set, and its own zone in the common name */
		wrong += !servers_find(table, name.suffix[0], zones) || zones[0].zone != mine + 1 ||
			 zones[0].shard != mine || zones[1].zone;
		wrong += !servers_find(table, name.suffix[1], zones) ||
			 zones[0].zone != zones[0].shard + 1U;
		wrong += servers_is_root(table, name.suffix[1]);
	}
	return (void *)(uintptr_t)wrong;
}

static void threads_at_once(void **state)
{
	pthread_t thread[THREADS];
	void *wrong;

	(void)state;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)i), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(thread[i], &wrong);
		assert_null(wrong);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unknown_at_first),
		TEST(zones_and_shards),
		TEST(ancestors),
		TEST(the_root_as_a_server),
		TEST(learned_again_moves_to_the_front),
		TEST(newest_zones),
		TEST(root_servers),
		TEST(unused_gives_way),
		TEST(nothing_is_inherited),
		TEST(sets_are_apart),
		TEST(names_spread),
		TEST(deepest_name),
		TEST(threads_at_once),
	};

	return cmocka_run_group_tests_name("servers", tests, NULL, NULL);
}
