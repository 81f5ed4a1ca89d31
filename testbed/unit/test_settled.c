// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What an intake settles by itself, from a client's query to its answer; and that the table is told the same, where it is
 * wanted there on the way.
 */
#include "settling.h"

#include <stdio.h>

/* ---- events ---- */

/* Who would be charged with it, of those in here; 0: nobody. */
static uint32_t found(uint32_t newest, const char *name, struct attrib_owner *who)
{
	struct wire w;

	wire_message(&w, 0, WIRE_RD, name, 1);
	return intake_find(&intake, now, newest, w.bytes, w.len, who);
}

static bool leaves(unsigned id, struct attrib_socket socket, const char *name)
{
	struct attrib_owner who;
	uint32_t n = found(0, name, &who);

	return n && intake_asked(&intake, now, n, (uint16_t)id, socket, &who);
}

static uint32_t comes_back_as(unsigned id, struct attrib_socket socket, const char *name,
			      unsigned flags, unsigned type, const char *data)
{
	struct wire w;

	wire_message(&w, id, WIRE_QR | WIRE_RA | flags, name, 1);
	if (type)
		wire_record(&w, false, name, (uint16_t)type, data);
	uint8_t *copy = exact_copy(w.bytes, w.len);
	uint32_t n = intake_fed(&intake, a, now, socket, copy, w.len);

	free(copy);
	return n;
}

static uint32_t comes_back(unsigned id, struct attrib_socket socket, const char *name)
{
	return comes_back_as(id, socket, name, 0, 16, "data");
}

/* From the client's query to its answer, in here alone. */
static void settles(unsigned n, unsigned id, unsigned upstream_id, const char *name)
{
	asks(n, id, name);
	assert_true(leaves(upstream_id, up, name));
	assert_int_not_equal(comes_back(upstream_id, up, name), 0);
	assert_true(is_answered(n, id, name));
}

/* ---- alone ---- */

static void settled_without_the_table(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3 * INTAKE_SLOTS; i++) {
		uint32_t n = asks(1, i, "www.example.com");

		assert_true(leaves(i + 1, up, "wWw.example.com"));
		assert_int_equal(comes_back(i + 1, up, "www.exAmple.com"), n);
		assert_true(is_answered(1, i, "www.example.com"));
		assert_false(is_answered(1, i, "www.example.com"));
	}
	assert_table_empty();
	assert_decides(9, other, "www.example.com", ATTRIB_NONE, 0);
}

/* Of several the turn's newest, or else the oldest; each once. */
static void found_in_order(void **state)
{
	struct attrib_owner who;

	(void)state;
	uint32_t first = asks(1, 10, "www.example.com"), second = asks(2, 20, "www.example.com"),
		 third = asks(3, 30, "www.example.com");

	assert_int_equal(found(third, "www.example.com", &who), third);
	assert_int_equal(who.mark, 3);
	assert_int_equal(who.asked, now);
	assert_int_equal(who.ref.index, 0);
	assert_int_equal(found(0, "www.example.com", &who), first);
	assert_int_equal(found(third, "ftp.example.com", &who), 0);
	assert_true(leaves(1, up, "www.example.com"));
	assert_int_equal(found(first, "www.example.com", &who), second);
	assert_true(is_answered(2, 20, "www.example.com"));
	assert_int_equal(found(0, "www.example.com", &who), third);
	assert_true(leaves(2, up, "www.example.com"));
	assert_int_equal(found(third, "www.example.com", &who), 0);
}

/* Questions that begin alike, and one that is the beginning of another; the root's is the shortest. */
static void found_by_the_whole_question(void **state)
{
	static const char *const names[] = {".",
					    "a",
					    "b",
					    "ab.c",
					    "host1000.example.com",
					    "host1001.example.com",
					    "host1000.example.co",
					    "host1000.exbmple.com"};
	enum { N = sizeof(names) / sizeof(names[0]) };
	struct attrib_owner who;
	uint32_t n[N];

	(void)state;
	for (unsigned i = 0; i < N; i++)
		n[i] = asks(i, i, names[i]);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(found(n[N - 1], names[i], &who), n[i]);
	assert_int_equal(found(0, "host1000.example.net", &who), 0);
}

/* A resolver that keeps its queries waiting, as unbound does for want of sockets: first come, first served. */
static void found_in_a_queue(void **state)
{
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 10 * INTAKE_SLOTS; i++) {
		snprintf(name, sizeof(name), "h%u.example", i);
		uint32_t n = asks(i % 200, i, name);

		if (i < INTAKE_SLOTS - 1)
			continue;
		unsigned then = i - (INTAKE_SLOTS - 1);

		snprintf(name, sizeof(name), "h%u.example", then);
		assert_true(leaves(then, up, name));
		assert_int_equal(comes_back(then, up, name), n - (INTAKE_SLOTS - 1));
		assert_true(is_answered(then % 200, then, name));
	}
	assert_int_equal(used().waiting, 0);
}

static void only_its_own_answer_feeds(void **state)
{
	(void)state;
	uint32_t n = asks(1, 10, "www.example.com");

	assert_int_equal(comes_back(11, up, "www.example.com"), 0); /* before anything left */
	assert_true(leaves(11, up, "www.example.com"));
	assert_int_equal(comes_back(12, up, "www.example.com"), 0);
	assert_int_equal(comes_back(11, other, "www.example.com"), 0);
	assert_int_equal(comes_back(11, reused, "www.example.com"), 0);
	assert_int_equal(comes_back(11, up, "www.example.co"), 0);
	assert_int_equal(comes_back(11, up, "www.example.com"), n);
	assert_int_equal(comes_back(11, up, "www.example.com"), 0);
}

/* Upstream queries of one socket and one ID, for different names: each has its own answer. */
static void same_socket_same_id(void **state)
{
	(void)state;
	uint32_t x = asks(1, 10, "x.example"), y = asks(2, 20, "y.example");

	assert_true(leaves(7, up, "x.example"));
	assert_true(leaves(7, up, "y.example"));
	assert_int_equal(comes_back(7, up, "x.example"), x);
	assert_int_equal(comes_back(7, up, "y.example"), y);
}

static enum intake_repeat repeated(unsigned id, struct attrib_socket socket, const char *name,
				   struct attrib_owner *who)
{
	struct wire w;

	wire_message(&w, id, WIRE_RD, name, 1);
	return intake_repeated(&intake, now, socket, w.bytes, w.len, who);
}

/* Sent once more before its answer: whose it was, though another has asked the same since. */
static void repeats(void **state)
{
	struct attrib_owner who;

	(void)state;
	asks(1, 10, "www.example.com");
	assert_int_equal(repeated(11, up, "www.example.com", &who), INTAKE_NO_REPEAT);
	assert_true(leaves(11, up, "www.example.com"));
	asks(2, 20, "www.example.com");
	assert_int_equal(repeated(11, up, "www.Example.com", &who), INTAKE_REPEAT);
	assert_int_equal(who.mark, 1);
	assert_int_equal(repeated(12, up, "www.example.com", &who), INTAKE_NO_REPEAT);
	assert_int_equal(repeated(11, other, "www.example.com", &who), INTAKE_NO_REPEAT);
	assert_int_equal(repeated(11, up, "ftp.example.com", &who), INTAKE_NO_REPEAT);
	intake_empty(&intake, a, now);
	assert_int_equal(repeated(11, up, "www.example.com", &who), INTAKE_REPEAT_IN_TABLE);

	asks(3, 30, "ftp.example.com");
	assert_true(leaves(31, up, "ftp.example.com"));
	assert_int_not_equal(comes_back(31, up, "ftp.example.com"), 0);
	assert_int_equal(repeated(31, up, "ftp.example.com", &who), INTAKE_NO_REPEAT);
}

/* Whatever leaves something to do, or to learn, is the table's. */
static void what_leads_on_is_not_settled(void **state)
{
	(void)state;
	asks(1, 10, "www.example.com");
	assert_true(leaves(11, up, "www.example.com"));
	assert_int_equal(comes_back_as(11, up, "www.example.com", 2, 0, NULL), 0); /* SERVFAIL */
	assert_int_equal(used().upstream, 1);
	table_hears(11, up, "www.example.com", 0, DNS_TYPE_CNAME, "cdn.example.net");
	assert_decides(12, up, "cdn.example.net", ATTRIB_LEARNED, 1);
	assert_true(is_answered(1, 10, "www.example.com"));

	const struct {
		unsigned flags, type;
	} others[] = {{WIRE_TC, 0}, {0, DNS_TYPE_CNAME}, {0, DNS_TYPE_DNAME}, {0, DNS_TYPE_NS}};

	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		asks(2, i, "ftp.example.com");
		assert_true(leaves(i, up, "ftp.example.com"));
		assert_int_equal(comes_back_as(i, up, "ftp.example.com", others[i].flags,
					       others[i].type, "x.example"),
				 0);
	}
}

/* ---- and then the table ---- */

static void asked_and_then_moved(void **state)
{
	(void)state;
	asks(1, 10, "www.example.com");
	asks(2, 20, "www.example.com");
	assert_true(leaves(11, up, "www.example.com"));
	assert_decides(11, up, "www.example.com", ATTRIB_REPEAT, 1);
	assert_decides(12, up, "www.example.com", ATTRIB_EXACT, 2); /* not charged yet */
	assert_decides(13, up, "www.example.com", ATTRIB_EXACT, 1); /* the oldest of both */
	assert_int_equal(used().waiting, 2);
	table_hears(11, up, "www.example.com", 0, DNS_TYPE_CNAME, "cdn.example.net");
	assert_decides(14, up, "cdn.example.net", ATTRIB_LEARNED, 1);
	assert_true(is_answered(1, 10, "www.example.com"));
	assert_true(is_answered(2, 20, "www.example.com"));
	assert_int_equal(used().waiting, 0);
}

/* It waits, charged, and its answer is known to have come: so nothing is left to refresh once it is answered. */
static void fed_and_then_moved(void **state)
{
	(void)state;
	asks(1, 10, "www.example.com");
	assert_true(leaves(11, up, "www.example.com"));
	assert_int_not_equal(comes_back(11, up, "www.example.com"), 0);
	assert_decides(12, up, "a.www.example.com", ATTRIB_NONE, 0);
	assert_decides(12, up, "example.com", ATTRIB_ANCESTOR, 1);
	table_hears(12, up, "example.com", 0, 16, "data");
	assert_true(is_answered(1, 10, "www.example.com"));
	assert_table_empty();
	assert_decides(13, up, "www.example.com", ATTRIB_NONE, 0);
}

/* A stale answer: the upstream's may come yet, and what it names is for whom it was asked. */
static void answered_while_asked(void **state)
{
	(void)state;
	asks(1, 10, "www.example.com");
	assert_true(leaves(11, up, "www.example.com"));
	assert_true(is_answered(1, 10, "www.example.com"));
	assert_int_equal(used().waiting, 0);
	assert_int_equal(used().upstream, 1);
	table_hears(11, up, "www.example.com", 0, DNS_TYPE_CNAME, "cdn.example.net");
	assert_decides(12, up, "cdn.example.net", ATTRIB_ANSWERED, 1);
}

/* Sent once more after its answer, with the same ID by the same socket: the same client's, for a while. */
static void repeated_after_all_is_over(void **state)
{
	(void)state;
	settles(1, 10, 11, "www.example.com");
	intake_recall(&intake, a, now);
	assert_table_empty();
	assert_decides(12, up, "www.example.com", ATTRIB_NONE, 0);
	assert_decides(11, up, "www.example.com", ATTRIB_REPEAT, 1);
	now += ATTRIB_REFRESH_MS;
	assert_decides(11, up, "www.example.com", ATTRIB_NONE, 0);
}

static void recalled_no_more_when_old(void **state)
{
	(void)state;
	settles(1, 10, 11, "www.example.com");
	now += ATTRIB_REFRESH_MS;
	intake_recall(&intake, a, now);
	assert_decides(11, up, "www.example.com", ATTRIB_NONE, 0);
}

/* What was an alias is none any more, once its name has an answer of its own. */
static void aliases_end(void **state)
{
	(void)state;
	asks(1, 10, "www.example.com");
	assert_decides(11, up, "www.example.com", ATTRIB_EXACT, 1);
	table_hears(11, up, "www.example.com", 0, DNS_TYPE_CNAME, "cdn.example.net");
	assert_true(is_answered(1, 10, "www.example.com"));
	now += ATTRIB_CLIENT_MS;

	asks(2, 20, "www.example.com");
	assert_decides(12, up, "cdn.example.net", ATTRIB_LEARNED, 2);
	assert_true(is_answered(2, 20, "www.example.com"));
	now += ATTRIB_CLIENT_MS;

	settles(3, 30, 13, "www.example.com");
	asks(4, 40, "www.example.com");
	assert_decides(14, up, "cdn.example.net", ATTRIB_NONE, 0);
}

/* Whoever waits in the table for that very question is known by its key, until it is answered or gone. */
static void known_to_be_asked(void **state)
{
	struct wire w;

	(void)state;
	wire_message(&w, 1, 0, "WWW.example.com", 1);
	uint32_t question = intake_key_question(w.bytes, w.len);

	asks(1, 10, "www.example.com");
	asks(2, 20, "www.example.com");
	assert_false(attrib_may_be_asked(a, question));
	intake_empty(&intake, a, now);
	assert_true(attrib_may_be_asked(a, question));
	assert_true(is_answered(1, 10, "www.example.com"));
	assert_true(attrib_may_be_asked(a, question));
	assert_true(is_answered(2, 20, "www.example.com"));
	assert_false(attrib_may_be_asked(a, question));
	asks(3, 30, "www.example.com");
	intake_empty(&intake, a, now);
	now += ATTRIB_WAIT_MS;
	assert_decides(1, up, "example.org", ATTRIB_NONE, 0);
	assert_decides(2, up, "www.example.com", ATTRIB_NONE, 0); /* its shard was visited now */
	assert_false(attrib_may_be_asked(a, question));
}

/* Two ask the same, and one upstream query serves both: who had no query of its own has nothing to refresh either. */
static void final_for_who_asked_the_same(void **state)
{
	(void)state;
	asks(1, 10, "www.example.com");
	asks(2, 20, "www.example.com");
	assert_true(leaves(11, up, "www.example.com"));
	now++;
	assert_int_not_equal(comes_back(11, up, "www.example.com"), 0);
	assert_true(is_answered(1, 10, "www.example.com"));
	assert_true(is_answered(2, 20, "www.example.com"));
	now++;
	intake_recall(&intake, a, now);
	asks(3, 30, "an-alias.example.net"); /* of that name, which nobody knows of */
	assert_decides(12, up, "www.example.com", ATTRIB_NONE, 0);
}

/* ... but who is answered from the cache afterwards, and whose answer is refreshed. */
static void refresh_after_a_final(void **state)
{
	(void)state;
	settles(1, 10, 11, "www.example.com");
	now++;
	asks(2, 20, "www.example.com");
	assert_true(is_answered(2, 20, "www.example.com"));
	intake_recall(&intake, a, now);
	asks(3, 30, "www.example.net");
	assert_decides(12, up, "www.example.com", ATTRIB_ANSWERED, 2);
}

/* A client that asks again while its query is out has one query in the table, and one answer ends both. */
static void asks_again_while_asked(void **state)
{
	(void)state;
	asks(1, 10, "www.example.com");
	assert_true(leaves(11, up, "www.example.com"));
	asks(1, 10, "www.example.com");
	assert_decides(12, up, "www.example.com", ATTRIB_EXACT, 1);
	assert_int_equal(used().waiting, 1);
	assert_true(is_answered(1, 10, "www.example.com"));
	assert_int_equal(used().waiting, 0);
	assert_false(is_answered(1, 10, "www.example.com"));
}

/* Who asked half a minute ago has given up, and goes nowhere. */
static void given_up(void **state)
{
	struct attrib_owner who;

	(void)state;
	asks(1, 10, "www.example.com");
	asks(2, 20, "ftp.example.com");
	assert_true(leaves(11, up, "www.example.com"));
	now += ATTRIB_WAIT_MS;
	assert_int_equal(found(0, "ftp.example.com", &who), 0);
	assert_int_equal(repeated(11, up, "www.example.com", &who), INTAKE_REPEAT_IN_TABLE);
	intake_empty(&intake, a, now);
	assert_table_empty();
	assert_false(is_answered(1, 10, "www.example.com"));
}

/* One after the other needs its slot while it waits: that one alone goes into the table, and all is known there. */
static void overtaken(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * INTAKE_SLOTS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "h%u.example", i);
		asks(1, i, name);
		assert_true(leaves(i, up, name));
		assert_int_equal(used().waiting, i < INTAKE_SLOTS ? 0 : i - INTAKE_SLOTS + 1);
		assert_int_equal(used().upstream, used().waiting);
	}
	assert_decides(0, up, "h0.example", ATTRIB_REPEAT, 1);
}

/* Who waits for long waits in the table, where all are in the order of their age. */
static void lingering(void **state)
{
	(void)state;
	asks(1, 10, "www.example.com");
	assert_true(leaves(11, up, "www.example.com"));
	asks(2, 20, "ftp.example.com");
	for (unsigned i = 0; i < 64; i++) {
		now += 50;
		asks(3, i, "printer");
		assert_true(is_answered(3, i, "printer"));
	}
	assert_int_equal(used().waiting, 2);
	assert_decides(12, up, "ftp.example.com", ATTRIB_EXACT, 2);
}

/* One that comes into the table late, behind younger ones, goes when its own time is over. */
static void given_up_behind_younger_ones(void **state)
{
	(void)state;
	asks(1, 10, "www.example.com");
	now += ATTRIB_WAIT_MS - 1000;
	for (unsigned i = 0; i < 8; i++) { /* meanwhile, by another thread */
		char name[32];
		struct dns_message m;
		struct wire w;
		struct attrib_owner o = client(2);

		snprintf(name, sizeof(name), "h%u.example.com", i);
		wire_message(&w, 20 + i, WIRE_RD, name, 1);
		assert_true(dns_parse(&key, w.bytes, w.len, &m));
		attrib_client_query(a, now, &m, &o, NULL);
	}
	now += 500;
	intake_empty(&intake, a, now);
	assert_int_equal(used().waiting, 9);
	now += 501;
	assert_decides(1, up, "www.example.com", ATTRIB_NONE, 0);
	assert_int_equal(used().waiting, 8);
	assert_decides(2, up, "h7.example.com", ATTRIB_EXACT, 2);
}

/* An intake that was never emptied for more than half of all numbers. */
static void never_emptied(void **state)
{
	(void)state;
	intake.sequence = 0x90000000;
	asks(1, 10, "www.example.com");
	assert_false(intake_has_charged(&intake));
	assert_true(leaves(11, up, "www.example.com"));
	assert_true(intake_has_charged(&intake));
	intake_move_those(&intake, a, now, INTAKE_BY_SOCKET, intake_key_socket(11, up), true);
	assert_int_equal(used().waiting, 1);
	intake_empty(&intake, a, now);
	assert_false(intake_has_charged(&intake));
}

/* ---- other threads ---- */

/* Where others do what follows, nothing is settled here any more; where one of its own is, it goes on. */
static void crossed(void **state)
{
	(void)state;
	assert_true(intake_settles(&intake));
	for (unsigned i = 0; i < 40; i++) {
		asks(1, i, "www.example.com");
		assert_true(leaves(i, up, "www.example.com"));
		if (i == 10)
			assert_int_not_equal(comes_back(i, up, "www.example.com"), 0);
		else
			intake_move_those(&intake, a, now, INTAKE_BY_SOCKET,
					  intake_key_socket((uint16_t)i, up), i > 5);
		assert_int_equal(intake_settles(&intake), i < 26);
	}
}

static void moved_by_one_key(void **state)
{
	struct attrib_owner one = client(1);
	struct wire w;

	(void)state;
	asks(1, 10, "www.example.com");
	asks(2, 20, "www.example.com");
	asks(1, 30, "ftp.example.com");
	asks(2, 40, "irc.example.com");
	assert_true(leaves(44, up, "irc.example.com"));
	intake_move_those(&intake, a, now, INTAKE_BY_SOCKET, intake_key_socket(45, up), true);
	assert_int_equal(used().waiting, 0);
	intake_move_those(&intake, a, now, INTAKE_BY_CLIENT, intake_key_client(30, &one), true);
	assert_int_equal(used().waiting, 1);
	intake_move_those(&intake, a, now, INTAKE_BY_SOCKET, intake_key_socket(44, up), true);
	assert_int_equal(used().waiting, 2);
	wire_message(&w, 1, 0, "WWW.example.com", 1);
	intake_move_those(&intake, a, now, INTAKE_BY_QUESTION, intake_key_question(w.bytes, w.len),
			  true);
	assert_int_equal(used().waiting, 4);
}

enum { RACE_QUERIES = 10000 };

static _Atomic bool race_over;

static void *move_all_the_time(void *unused)
{
	(void)unused;
	for (unsigned i = 0; !atomic_load(&race_over); i++) {
		if (i % 3 == 0)
			intake_empty(&intake, a, now);
		else if (i % 3 == 1)
			intake_recall(&intake, a, now);
		else
			intake_move_those(&intake, a, now, INTAKE_BY_SOCKET,
					  intake_key_socket((uint16_t)i, up), true);
	}
	return NULL;
}

/* At whatever step another thread moves it, it is here or there. */
static void moved_amid(void **state)
{
	pthread_t mover;
	unsigned here = 0;

	(void)state;
	atomic_store(&race_over, false);
	assert_int_equal(pthread_create(&mover, NULL, move_all_the_time, NULL), 0);
	for (unsigned i = 0; i < RACE_QUERIES; i++) {
		struct attrib_owner o = client(1 + i % 200);
		struct wire w;

		asks(1 + i % 200, i, "www.example.com");
		bool fed = leaves(i, up, "www.example.com") && comes_back(i, up, "www.example.com");

		wire_message(&w, i & 0xffff, WIRE_QR, "www.example.com", 1);
		struct intake_found answered = intake_answer(&intake, a, w.bytes, w.len, &o);

		here += fed && answered.pending;
		if (answered.moving) {
			intake_move_those(&intake, a, now, INTAKE_BY_CLIENT,
					  intake_key_client((uint16_t)i, &o), false);
			struct dns_message m;

			assert_true(dns_parse(&key, w.bytes, w.len, &m));
			attrib_client_answer(a, now, &m, &o);
		} else if (!answered.pending) {
			assert_true(attrib_answered(a, now, answered.entered));
		}
	}
	atomic_store(&race_over, true);
	assert_int_equal(pthread_join(mover, NULL), 0);
	intake_empty(&intake, a, now);
	assert_int_equal(used().waiting, 0);
	assert_true(here <= RACE_QUERIES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(settled_without_the_table),
		TEST(found_in_order),
		TEST(found_by_the_whole_question),
		TEST(found_in_a_queue),
		TEST(only_its_own_answer_feeds),
		TEST(same_socket_same_id),
		TEST(what_leads_on_is_not_settled),
		TEST(asked_and_then_moved),
		TEST(fed_and_then_moved),
		TEST(answered_while_asked),
		TEST(repeated_after_all_is_over),
		TEST(recalled_no_more_when_old),
		TEST(aliases_end),
		TEST(final_for_who_asked_the_same),
		TEST(refresh_after_a_final),
		TEST(asks_again_while_asked),
		TEST(given_up),
		TEST(overtaken),
		TEST(lingering),
		TEST(known_to_be_asked),
		TEST(never_emptied),
		TEST(given_up_behind_younger_ones),
		TEST(repeats),
		TEST(crossed),
		TEST(moved_by_one_key),
		TEST(moved_amid),
	};

	return cmocka_run_group_tests_name("settled", tests, NULL, NULL);
}
