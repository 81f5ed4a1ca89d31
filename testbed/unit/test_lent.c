// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A query of one thread's intake that another thread sends and has the answer to: it is charged where it is, and whoever
 * comes first of owner, lender and those who want it in the table, nothing of it is lost, and nothing counts twice.
 */
#include "settling.h"

#include <pthread.h>
#include <stdio.h>

/* ---- events ---- */

/* The upstream query, in memory that ends where it ends; free() it. */
static struct intake_sending sending(unsigned id, struct attrib_socket socket, const char *name)
{
	struct wire w;

	wire_message(&w, id, WIRE_RD, name, 1);
	return (struct intake_sending){
		.socket = socket, .msg = exact_copy(w.bytes, w.len), .end = w.len};
}

static uint32_t lends(unsigned id, struct attrib_socket socket, const char *name,
		      struct attrib_owner *who)
{
	struct intake_sending s = sending(id, socket, name);
	uint32_t query = intake_lend(&intake, a, now, &s, who);

	free((void *)s.msg);
	return query;
}

/* Lent, to the one whose client is n. */
static uint32_t is_lent(unsigned id, const char *name, unsigned n)
{
	struct attrib_owner who;
	uint32_t query = lends(id, up, name, &who);

	assert_int_not_equal(query, 0);
	assert_int_equal(who.mark, n);
	return query;
}

static bool is_not_lent(const char *name)
{
	struct attrib_owner who;

	return lends(7, up, name, &who) == 0;
}

static enum intake_repeat repeated(uint32_t query, unsigned id, struct attrib_socket socket,
				   const char *name, struct attrib_owner *who)
{
	struct intake_sending s = sending(id, socket, name);
	enum intake_repeat same = intake_lent_repeated(&intake, now, query, &s, who);

	free((void *)s.msg);
	return same;
}

static bool fed_as(uint32_t query, unsigned id, struct attrib_socket socket, const char *name,
		   unsigned type, const char *data)
{
	struct wire w;

	wire_message(&w, id, WIRE_QR | WIRE_RA, name, 1);
	wire_record(&w, false, name, (uint16_t)type, data);
	uint8_t *copy = exact_copy(w.bytes, w.len);
	bool fed = intake_lent_fed(&intake, a, now, query, socket, copy, w.len);

	free(copy);
	return fed;
}

static bool fed(uint32_t query, unsigned id, struct attrib_socket socket, const char *name)
{
	return fed_as(query, id, socket, name, 16, "data");
}

/* ---- alone ---- */

static void settled_without_the_table(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3 * INTAKE_SLOTS; i++) {
		uint32_t n = asks(1, i, "www.example.com");

		assert_int_equal(is_lent(i + 1, "wWw.example.com", 1), n);
		assert_true(intake_has_charged(&intake));
		assert_true(fed(n, i + 1, up, "www.exAmple.com"));
		assert_true(is_answered(1, i, "www.example.com"));
		assert_false(is_answered(1, i, "www.example.com"));
	}
	assert_table_empty();
}

static void nobody_asks(void **state)
{
	(void)state;
	assert_true(is_not_lent("www.example.com"));
	asks(1, 10, "ftp.example.com");
	asks(1, 11, "www.example.com");
	assert_true(is_answered(1, 11, "www.example.com"));
	assert_true(is_not_lent("www.example.com"));
	is_lent(20, "ftp.example.com", 1);
	assert_true(is_not_lent("ftp.example.com"));
	asks(2, 12, "www.example.com");
	now += ATTRIB_WAIT_MS;
	assert_true(is_not_lent("www.example.com")); /* it has given up */
}

/* One byte of the name is another, and not of those that make its key. */
static void alike(void **state)
{
	(void)state;
	asks(1, 10, "www.a-very-long-name.with-a-middle.example.com");
	assert_true(is_not_lent("www.b-very-long-name.with-a-middle.example.com"));
	is_lent(20, "www.a-very-long-name.with-a-middle.example.com", 1);
}

static void oldest_first(void **state)
{
	(void)state;
	asks(1, 10, "www.example.com");
	asks(2, 20, "www.example.com");
	is_lent(30, "www.example.com", 1);
	is_lent(31, "www.example.com", 2);
}

/* Another thread looks at one, to lend it, and leaves it: its owner finds it afterwards as before. */
static void looked_at_amid(void **state)
{
	struct intake_sending www = sending(0, up, "www.example.com");
	struct intake_sending ftp = sending(0, up, "ftp.example.com");
	struct attrib_owner who = {.mark = 0};

	(void)state;
	uint32_t n = asks(1, 10, "www.example.com");
	_Atomic uint32_t *slot_state = &intake.slot[n % INTAKE_SLOTS].state;

	atomic_store(slot_state, INTAKE_MOVING);
	assert_int_equal(intake_find(&intake, now, 0, ftp.msg, ftp.end, &who), 0);
	assert_true(intake_may_lend(&intake, www.msg, www.end));
	assert_true(is_not_lent("ftp.example.com"));
	atomic_store(slot_state, INTAKE_PENDING);
	asks(2, 20, "www.example.com");
	assert_int_equal(intake_find(&intake, now, 0, www.msg, www.end, &who), n);
	assert_int_equal(who.mark, 1);
	is_lent(30, "www.example.com", 1);
	free((void *)www.msg);
	free((void *)ftp.msg);
}

/* The older one is in the table: that is asked, and nothing is lent. */
static void older_one_in_the_table(void **state)
{
	(void)state;
	asks(1, 10, "www.example.com");
	intake_empty(&intake, a, now);
	asks(2, 20, "www.example.com");
	assert_true(is_not_lent("www.example.com"));
	assert_true(is_answered(1, 10, "www.example.com"));
	is_lent(30, "www.example.com", 2);
}

static void only_its_own_answer(void **state)
{
	struct wire w;

	(void)state;
	uint32_t n = asks(1, 10, "www.example.com");

	is_lent(11, "www.example.com", 1);
	assert_false(fed(n, 12, up, "www.example.com"));
	assert_false(fed(n, 11, other, "www.example.com"));
	assert_false(fed(n, 11, reused, "www.example.com"));
	assert_false(fed(n, 11, up, "ftp.example.com"));
	assert_false(fed(n + 1, 11, up, "www.example.com"));
	assert_false(fed(n + INTAKE_SLOTS, 11, up, "www.example.com"));
	wire_message(&w, 11, WIRE_QR | WIRE_RA, "www.example.com", 1);
	w.bytes[5] = 2; /* questions, says its header */
	assert_false(intake_lent_fed(&intake, a, now, n, up, w.bytes, w.len));
	assert_true(fed(n, 11, up, "www.example.com"));
	assert_false(fed(n, 11, up, "www.example.com")); /* once more */
}

static void repeats(void **state)
{
	struct attrib_owner who = {.mark = 0};

	(void)state;
	uint32_t n = asks(1, 10, "www.example.com");

	is_lent(11, "www.example.com", 1);
	assert_int_equal(repeated(n, 12, up, "www.example.com", &who), INTAKE_NO_REPEAT);
	assert_int_equal(repeated(n, 11, other, "www.example.com", &who), INTAKE_NO_REPEAT);
	assert_int_equal(repeated(n + 1, 11, up, "www.example.com", &who), INTAKE_NO_REPEAT);
	assert_int_equal(repeated(n, 11, up, "www.example.com", &who), INTAKE_REPEAT);
	assert_int_equal(who.mark, 1);
	assert_true(fed(n, 11, up, "www.example.com"));
	assert_int_equal(repeated(n, 11, up, "www.example.com", &who), INTAKE_REPEAT_IN_TABLE);
}

/* Others who ask the same meanwhile are not whom it is repeated for. */
static void repeated_once_in_the_table(void **state)
{
	struct attrib_owner who;

	(void)state;
	uint32_t n = asks(1, 10, "www.example.com");

	is_lent(11, "www.example.com", 1);
	assert_true(is_answered(1, 10, "www.example.com"));
	asks(2, 20, "www.example.com");
	assert_int_equal(repeated(n, 11, up, "www.example.com", &who), INTAKE_REPEAT_IN_TABLE);
	for (unsigned i = 0; i < INTAKE_SLOTS; i++)
		asks(3, i, "ftp.example.com");
	assert_int_equal(repeated(n, 11, up, "www.example.com", &who), INTAKE_NO_REPEAT);
}

static void mark_found_later(void **state)
{
	struct attrib_owner who = client(1);

	(void)state;
	uint32_t n = asks(1, 10, "www.example.com");

	is_lent(11, "www.example.com", 1);
	who.mark = 77;
	intake_lent_mark(&intake, n + 1, &who);
	assert_int_equal(repeated(n, 11, up, "www.example.com", &who), INTAKE_REPEAT);
	assert_int_equal(who.mark, 1);
	who.mark = 77;
	intake_lent_mark(&intake, n, &who);
	assert_int_equal(repeated(n, 11, up, "www.example.com", &who), INTAKE_REPEAT);
	assert_int_equal(who.mark, 77);
	assert_decides(11, up, "www.example.com", ATTRIB_REPEAT, 77);
}

/* ---- with the table ---- */

static void answer_leads_on(void **state)
{
	(void)state;
	uint32_t n = asks(1, 10, "www.example.com");

	is_lent(11, "www.example.com", 1);
	assert_false(fed_as(n, 11, up, "www.example.com", DNS_TYPE_CNAME, "cdn.example.net"));
	assert_int_equal(used().waiting, 1);
	assert_int_equal(used().upstream, 1);
	table_hears(11, up, "www.example.com", 0, DNS_TYPE_CNAME, "cdn.example.net");
	assert_decides(12, up, "cdn.example.net", ATTRIB_LEARNED, 1);
	assert_true(is_answered(1, 10, "www.example.com"));
}

/* The client gives up, or has an answer that is stale, before the upstream's comes. */
static void answered_before_upstream(void **state)
{
	(void)state;
	uint32_t n = asks(1, 10, "www.example.com");

	is_lent(11, "www.example.com", 1);
	assert_true(is_answered(1, 10, "www.example.com"));
	assert_int_equal(used().upstream, 1);
	assert_false(fed(n, 11, up, "www.example.com"));
}

static void moved_while_lent(void **state)
{
	struct attrib_owner who;

	(void)state;
	uint32_t n = asks(1, 10, "www.example.com");

	is_lent(11, "www.example.com", 1);
	assert_false(intake_lent_owner(&intake, n, &who));
	intake_empty(&intake, a, now);
	assert_true(intake_lent_owner(&intake, n, &who));
	assert_int_equal(who.mark, 1);
	assert_int_equal(used().upstream, 1);
	assert_false(fed(n, 11, up, "www.example.com"));
	assert_decides(11, up, "www.example.com", ATTRIB_REPEAT, 1);
	assert_true(is_answered(1, 10, "www.example.com"));
}

static void moved_once_fed(void **state)
{
	(void)state;
	uint32_t n = asks(1, 10, "www.example.com");

	asks(2, 10, "www.example.com");
	is_lent(11, "www.example.com", 1);
	assert_true(fed(n, 11, up, "www.example.com"));
	intake_empty(&intake, a, now);
	assert_int_equal(used().waiting, 2);
	assert_int_equal(used().upstream, 0);
	assert_true(is_answered(1, 10, "www.example.com"));
	assert_true(is_answered(2, 10, "www.example.com"));
}

/* As with one that its own thread charged. */
static void refresh_after_all_is_over(void **state)
{
	(void)state;
	uint32_t n = asks(1, 10, "www.example.com");

	is_lent(11, "www.example.com", 1);
	assert_true(fed(n, 11, up, "www.example.com"));
	assert_true(is_answered(1, 10, "www.example.com"));
	intake_recall(&intake, a, now);
	assert_decides(11, up, "www.example.com", ATTRIB_REPEAT, 1);
}

/* The slot is another query's by now. */
static void slot_used_again(void **state)
{
	struct attrib_owner who;

	(void)state;
	uint32_t n = asks(1, 10, "www.example.com");

	is_lent(11, "www.example.com", 1);
	for (unsigned i = 0; i < INTAKE_SLOTS; i++)
		asks(2, i, "ftp.example.com");
	assert_int_equal(used().waiting, 1);
	assert_false(intake_lent_owner(&intake, n, &who));
	assert_false(intake_lent_owner(&intake, n + INTAKE_SLOTS, &who));
	assert_false(fed(n, 11, up, "www.example.com"));
	is_lent(12, "ftp.example.com", 2);
}

static void lent_to_one_of_two(void **state)
{
	struct attrib_owner who;

	(void)state;
	asks(1, 10, "www.example.com");
	is_lent(11, "www.example.com", 1);
	struct intake_sending s = sending(12, other, "www.example.com");

	assert_false(intake_may_lend(&intake, s.msg, s.end));
	assert_int_equal(intake_find(&intake, now, 0, s.msg, s.end, &who), 0);
	free((void *)s.msg);
}

/* ---- threads ---- */

enum { RACE_QUERIES = 20000, RACE_NAMES = 40 };

static _Atomic bool race_over;
static _Atomic unsigned taken;	/* were lent */
static _Atomic unsigned newest; /* was asked last */

static void name_for(char name[32], unsigned n)
{
	snprintf(name, 32, "h%u.example.com", n % RACE_NAMES);
}

/* Each client asks for a name of its own: who is charged with another's is found here. */
static void *lend_all_the_time(void *arg)
{
	unsigned first = *(const unsigned *)arg;

	for (unsigned round = first; !atomic_load(&race_over); round++) {
		/* what comes in just now, and what has been there for a while; and a slot that is just used again */
		unsigned i = round % 2 ? atomic_load(&newest) : round;
		struct attrib_socket socket = {.fd = 30 + (int)first, .gen = round};
		struct attrib_owner who;
		char name[32];

		intake_lent_owner(&intake, atomic_load(&intake.sequence) + 1 - INTAKE_SLOTS, &who);
		who.mark = 0;
		name_for(name, i);
		uint32_t n = lends(i & 0xffff, socket, name, &who);

		if (!n)
			continue;
		assert_int_equal(who.mark, 1 + i % RACE_NAMES);
		atomic_fetch_add(&taken, 1);
		intake_lent_mark(&intake, n, &who);
		repeated(n, i & 0xffff, socket, name, &who);
		if (i % 3)
			fed_as(n, i & 0xffff, socket, name, i % 3 == 1 ? 16 : DNS_TYPE_CNAME,
			       "cdn.example.net");
		intake_lent_owner(&intake, n, &who);
	}
	return NULL;
}

static void *empty_all_the_time(void *unused)
{
	while (!atomic_load(&race_over)) {
		intake_empty(&intake, a, now);
		intake_recall(&intake, a, now);
	}
	return unused;
}

/* Is it over, one way or the other? */
static void ends(unsigned n, unsigned id, const char *name)
{
	struct attrib_owner o = client(n);
	struct dns_message m;
	struct wire w;

	wire_message(&w, id, WIRE_QR, name, 1);
	struct intake_found found = intake_answer(&intake, a, w.bytes, w.len, &o);

	if (found.pending && !found.moving)
		return;
	intake_move_those(&intake, a, now, INTAKE_BY_CLIENT, intake_key_client((uint16_t)id, &o),
			  false);
	assert_true(dns_parse(&key, w.bytes, w.len, &m));
	attrib_client_answer(a, now, &m, &o);
}

/* Some of the owner's queries are charged by itself, some by others, some by nobody. */
static void whoever_comes_first(void **state)
{
	pthread_t lender[2], emptier;
	unsigned first[2] = {0, RACE_NAMES / 2};

	(void)state;
	atomic_store(&race_over, false);
	atomic_store(&taken, 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&lender[i], NULL, lend_all_the_time, &first[i]), 0);
	assert_int_equal(pthread_create(&emptier, NULL, empty_all_the_time, NULL), 0);
	unsigned count = 0;

	for (; count < RACE_QUERIES || (!atomic_load(&taken) && count < 100 * RACE_QUERIES);
	     count++) {
		unsigned i = count;
		struct attrib_owner who;
		char name[32];

		name_for(name, i);
		atomic_store(&newest, i);
		asks(1 + i % RACE_NAMES, i & 0xffff, name);
		struct intake_sending s = sending(i & 0xffff, up, name);
		uint32_t n = i % 4 ? 0 : intake_find(&intake, now, 0, s.msg, s.end, &who);

		if (n)
			intake_asked(&intake, now, n, (uint16_t)i, up, &who);
		free((void *)s.msg);
		if (i < RACE_NAMES)
			continue; /* so many are under way at once */
		name_for(name, i - RACE_NAMES);
		ends(1 + i % RACE_NAMES, (i - RACE_NAMES) & 0xffff, name);
	}
	atomic_store(&race_over, true);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_join(lender[i], NULL), 0);
	assert_int_equal(pthread_join(emptier, NULL), 0);
	assert_true(atomic_load(&taken) > 0);
	for (unsigned k = count - RACE_NAMES; k < count; k++) {
		char name[32];

		name_for(name, k);
		ends(1 + k % RACE_NAMES, k & 0xffff, name);
	}
	intake_empty(&intake, a, now);
	assert_int_equal(used().waiting, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(settled_without_the_table),
		TEST(nobody_asks),
		TEST(alike),
		TEST(oldest_first),
		TEST(looked_at_amid),
		TEST(older_one_in_the_table),
		TEST(only_its_own_answer),
		TEST(repeats),
		TEST(mark_found_later),
		TEST(repeated_once_in_the_table),
		TEST(answer_leads_on),
		TEST(answered_before_upstream),
		TEST(moved_while_lent),
		TEST(moved_once_fed),
		TEST(refresh_after_all_is_over),
		TEST(slot_used_again),
		TEST(lent_to_one_of_two),
		TEST(whoever_comes_first),
	};

	return cmocka_run_group_tests_name("lent", tests, NULL, NULL);
}
