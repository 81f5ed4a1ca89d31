// SPDX-License-Identifier: GPL-2.0-or-later
#include "intakes.h"

#include <stdio.h>

static uint32_t query_of(const struct attrib_owner *o, unsigned id, const char *name, uint32_t now)
{
	struct wire w;

	wire_message(&w, id, WIRE_RD, name, 1);
	size_t end = dns_question_end(w.bytes, w.len);
	uint8_t *copy = exact_copy(w.bytes, end);
	uint32_t n = intake_query(&intake, a, now, copy, end, o);

	free(copy);
	assert_int_not_equal(n, 0);
	return n;
}

static uint32_t query(unsigned n, unsigned id, const char *name)
{
	struct attrib_owner o = client(n);

	return query_of(&o, id, name, 0);
}

static bool answer_to(const struct attrib_owner *o, unsigned id, const char *name)
{
	struct wire w;

	wire_message(&w, id, WIRE_QR, name, 1);
	size_t end = dns_question_end(w.bytes, w.len);
	uint8_t *copy = exact_copy(w.bytes, end);
	bool found = intake_answer(&intake, a, copy, end, o).pending;

	free(copy);
	return found;
}

static bool answer(unsigned n, unsigned id, const char *name)
{
	struct attrib_owner o = client(n);

	return answer_to(&o, id, name);
}

static unsigned pending(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < INTAKE_SLOTS; i++)
		n += atomic_load(&intake.slot[i].state) == INTAKE_PENDING;
	return n;
}

static unsigned in_table(void)
{
	return used().waiting;
}

static struct attrib_decision decide(const char *name, uint32_t now)
{
	struct attrib_decision d;
	struct dns_message m;
	struct wire w;

	intake_empty(&intake, a, 0);
	wire_message(&w, 9, 0, name, 1);
	assert_true(dns_parse(&key, w.bytes, w.len, &m));
	attrib_upstream_query(a, now, &m, (struct attrib_socket){.fd = 9}, NULL, &d);
	return d;
}

/* Whose is this question, once the intake is empty? 0: nobody's. */
static uint32_t owner_of(const char *name)
{
	struct attrib_decision d = decide(name, 0);

	return d.evidence == ATTRIB_EXACT ? d.owner.mark : 0;
}

/* Who had the answer to it a moment ago, and does not wait? 0: nobody. */
static uint32_t answered_of(const char *name, uint32_t now)
{
	struct attrib_decision d = decide(name, now);

	return d.evidence == ATTRIB_ANSWERED ? d.owner.mark : 0;
}

static void answered_never_enters(void **state)
{
	(void)state;
	query(1, 10, "printer");
	assert_int_equal(pending(), 1);
	assert_true(answer(1, 10, "printer"));
	assert_int_equal(pending(), 0);
	assert_false(answer(1, 10, "printer"));
	assert_int_equal(owner_of("printer"), 0);
	assert_int_equal(in_table(), 0);
}

static void waiting_enters_in_order(void **state)
{
	(void)state;
	query(1, 10, "www.example.com");
	query(2, 20, "www.example.com");
	query(3, 30, "www.example.com");
	assert_int_equal(in_table(), 0);
	assert_int_equal(owner_of("www.example.com"), 1);
	assert_int_equal(owner_of("wWw.example.com"), 2);
	assert_int_equal(owner_of("www.example.com"), 3);
	assert_int_equal(pending(), 0);
	assert_false(answer(1, 10, "www.example.com")); /* it is the table's now */
}

static void answers_of_others_take_nothing(void **state)
{
	struct attrib_owner tcp = client(1), port = client(1);

	(void)state;
	tcp.flow.proto = IPPROTO_TCP;
	port.flow.client.port = htons(4001);
	query(1, 10, "www.example.com");
	assert_false(answer(2, 10, "www.example.com"));
	assert_false(answer(1, 11, "www.example.com"));
	assert_false(answer(1, 10, "www.example.co"));
	assert_false(answer_to(&tcp, 10, "www.example.com"));
	assert_false(answer_to(&port, 10, "www.example.com"));
	assert_int_equal(pending(), 1);
	assert_true(answer(1, 10, "www.example.com"));
}

/*
 * The table folds case, so the intake must: else who has been answered waits there for half a
 * minute.
 */
static void answer_in_other_case(void **state)
{
	(void)state;
	query(1, 10, "wWw.ExAmple.com");
	assert_true(answer(1, 10, "www.example.com"));
	assert_int_equal(owner_of("www.example.com"), 0);
}

/* A client that asks again before it is answered has one query, and one answer ends it. */
static void asked_twice_answered_once(void **state)
{
	(void)state;
	query(1, 10, "www.example.com");
	query(1, 10, "www.example.com");
	assert_true(answer(1, 10, "www.example.com"));
	assert_int_equal(owner_of("www.example.com"), 0);
}

/* Without an address to tell them apart by, the socket does, as in the table. */
static void told_apart_by_socket(void **state)
{
	struct attrib_owner x = client(0), y = client(0);

	(void)state;
	x.flow.client = y.flow.client = (struct endpoint){0};
	x.fd = 5;
	x.mark = 5;
	y.fd = 6;
	y.mark = 6;
	query_of(&x, 10, "www.example.com", 0);
	query_of(&y, 10, "www.example.com", 0);
	assert_true(answer_to(&x, 10, "www.example.com"));
	assert_int_equal(owner_of("www.example.com"), 6);
}

/* More than it holds: it is emptied into the table, and nothing is lost. */
static void overflows_into_the_table(void **state)
{
	char name[64];

	(void)state;
	for (unsigned i = 1; i <= 3 * INTAKE_SLOTS; i++) {
		snprintf(name, sizeof(name), "h%u", i);
		query(i, i, name);
		assert_true(pending() <= INTAKE_SLOTS);
	}
	for (unsigned i = 1; i <= 3 * INTAKE_SLOTS; i++) {
		snprintf(name, sizeof(name), "h%u", i);
		assert_int_equal(owner_of(name), i);
	}
}

/* An answered one in between does not make the others forgotten or doubled. */
static void gaps(void **state)
{
	char name[64];

	(void)state;
	for (unsigned i = 1; i <= 5 * INTAKE_SLOTS; i++) {
		snprintf(name, sizeof(name), "h%u", i);
		query(i, i, name);
		if (i % 3)
			assert_true(answer(i, i, name));
	}
	for (unsigned i = 1; i <= 5 * INTAKE_SLOTS; i++) {
		snprintf(name, sizeof(name), "h%u", i);
		assert_int_equal(owner_of(name), i % 3 ? 0 : i);
	}
}

static void owner_once_in_the_table(void **state)
{
	struct attrib_owner o;

	(void)state;
	assert_false(intake_owner(&intake, 0, &o));
	uint32_t n = query(1, 10, "www.example.com");

	assert_false(intake_owner(&intake, n, &o));
	intake_empty(&intake, a, 0);
	assert_true(intake_owner(&intake, n, &o));
	assert_int_equal(o.mark, 1);
	assert_int_equal(o.id, 10);
	assert_int_not_equal(o.ref.index, 0);
	assert_false(intake_owner(&intake, n + 1, &o));
	for (unsigned i = 0; i < INTAKE_SLOTS; i++)
		query(2, i, "other.example");
	assert_false(intake_owner(&intake, n, &o)); /* long gone */
}

static void sequence_turns_over(void **state)
{
	struct attrib_owner o;

	(void)state;
	intake.sequence = UINT32_MAX - 3;
	for (unsigned i = 1; i <= 10; i++) {
		char name[64];

		snprintf(name, sizeof(name), "h%u", i);
		uint32_t n = query(i, i, name);

		if (i % 2) {
			intake_empty(&intake, a, 0);
			assert_true(intake_owner(&intake, n, &o));
			assert_int_equal(o.mark, i);
		}
	}
	for (unsigned i = 1; i <= 10; i++) {
		char name[64];

		snprintf(name, sizeof(name), "h%u", i);
		assert_int_equal(owner_of(name), i);
	}
}

/* The same with an intake that is full but for its oldest: none of the others is overwritten. */
static void sequence_turns_over_full(void **state)
{
	char name[64];

	(void)state;
	intake.sequence = UINT32_MAX - INTAKE_SLOTS;
	for (unsigned i = 1; i <= INTAKE_SLOTS + 1; i++) {
		snprintf(name, sizeof(name), "h%u", i);
		query(i, i, name);
		if (i == INTAKE_SLOTS)
			assert_true(answer(1, 1, "h1"));
	}
	for (unsigned i = 1; i <= INTAKE_SLOTS + 1; i++) {
		snprintf(name, sizeof(name), "h%u", i);
		assert_int_equal(owner_of(name), i == 1 ? 0 : i);
	}
}

static void longest_question(void **state)
{
	static struct wire w;
	struct attrib_owner o = client(1);
	uint8_t label[64];

	(void)state;
	memset(label, 'x', sizeof(label));
	wire_header(&w, 10, 0, 1);
	for (unsigned i = 0; i < 4; i++) {
		wire_8(&w, i < 3 ? 63 : 61);
		wire_bytes(&w, label, i < 3 ? 63 : 61);
	}
	wire_8(&w, 0);
	wire_16(&w, 1);
	wire_16(&w, 1);
	size_t end = dns_question_end(w.bytes, w.len);

	assert_int_equal(end, DNS_HEAD_MAX);
	assert_int_not_equal(intake_query(&intake, a, 0, w.bytes, end, &o), 0);
	intake_empty(&intake, a, 0);
	assert_int_equal(in_table(), 1);
}

/*
 * A client asks, nothing comes, its query goes into the table, and it asks again: the one answer must end both, or it
 * would seem to wait for half a minute longer.
 */
static void asked_again_while_in_the_table(void **state)
{
	struct attrib_owner o = client(1);
	struct wire w;

	(void)state;
	query(1, 10, "printer");
	assert_int_equal(owner_of("printer"), 1);
	query(1, 10, "printer");
	wire_message(&w, 10, WIRE_QR, "printer", 1);

	assert_true(attrib_may_await(a, 10, &o));
	struct intake_found found = intake_answer(&intake, a, w.bytes, w.len, &o);

	assert_true(found.pending);
	assert_int_equal(pending(), 0);
	assert_true(attrib_answered(a, 0, found.entered));
	assert_false(attrib_answered(a, 0, found.entered));
	assert_false(attrib_may_await(a, 10, &o));
	query(1, 10, "printer");
	found = intake_answer(&intake, a, w.bytes, w.len, &o);
	assert_true(found.pending);
	assert_int_equal(found.entered.index, 0);
	assert_int_equal(owner_of("printer"), 0);
}

/* Its answer takes it out of the table, in whatever case the name is written; a second one finds nothing there. */
static void answered_twice_out_of_the_table(void **state)
{
	struct attrib_owner o = client(1);
	struct wire w;

	(void)state;
	query(1, 10, "printer");
	assert_int_equal(owner_of("printer"), 1);
	wire_message(&w, 10, WIRE_QR, "prInter", 1);
	struct intake_found found = intake_answer(&intake, a, w.bytes, w.len, &o);

	assert_false(found.pending);
	assert_true(attrib_answered(a, 0, found.entered));
	found = intake_answer(&intake, a, w.bytes, w.len, &o);
	assert_false(found.pending);
	assert_int_equal(found.entered.index, 0);
	assert_int_equal(in_table(), 0);
}

/* One that another thread is just moving into the table is neither here nor there: the table must be told. */
static void answered_while_moving(void **state)
{
	struct attrib_owner o = client(1);
	struct intake_found found;
	struct wire w;

	(void)state;
	query(1, 10, "printer");
	intake_empty(&intake, a, 0);
	query(1, 10, "printer");
	atomic_store(&intake.slot[2].state, INTAKE_MOVING);
	wire_message(&w, 10, WIRE_QR, "printer", 1);
	found = intake_answer(&intake, a, w.bytes, w.len, &o);
	assert_true(found.moving);
	assert_false(found.pending);
	assert_int_not_equal(found.entered.index, 0);
}

/* A cached answer is refreshed: whoever had it last caused that, and not who had one before from upstream. */
static void recalled_once_answered(void **state)
{
	struct attrib_owner late = client(3);

	(void)state;
	query(1, 10, "printer");
	assert_int_equal(owner_of("printer"), 1);
	struct wire w;
	struct dns_message m;

	wire_message(&w, 10, WIRE_QR, "printer", 1);
	assert_true(dns_parse(&key, w.bytes, w.len, &m));
	struct attrib_owner first = client(1);

	attrib_client_answer(a, 5, &m, &first);
	assert_int_equal(answered_of("printer", 10), 1);

	query_of(&late, 30, "printer", 20);
	assert_true(answer(3, 30, "printer"));
	assert_int_equal(answered_of("printer", 20), 1);
	intake_recall(&intake, a, 20);
	assert_int_equal(answered_of("printer", 20), 3);
	intake_recall(&intake, a, 20);
	assert_int_equal(in_table(), 0);
	assert_int_equal(answered_of("printer", 20 + ATTRIB_ANSWERED_MS), 0);
}

static void recalled_no_more_when_old(void **state)
{
	(void)state;
	query(1, 10, "printer");
	assert_true(answer(1, 10, "printer"));
	intake_recall(&intake, a, ATTRIB_ANSWERED_MS);
	assert_int_equal(answered_of("printer", ATTRIB_ANSWERED_MS), 0);
}

/* Answers come in another order than their queries. */
static void recalled_as_they_are_answered(void **state)
{
	(void)state;
	query(1, 10, "printer");
	query(2, 20, "scanner");
	assert_true(answer(2, 20, "scanner"));
	intake_recall(&intake, a, 0);
	assert_true(answer(1, 10, "printer"));
	assert_int_equal(answered_of("scanner", 0), 2);
	assert_int_equal(answered_of("printer", 0), 0);
	intake_recall(&intake, a, 0);
	assert_int_equal(answered_of("printer", 0), 1);
}

/* Who asks the same again and waits goes on waiting. */
static void recalled_while_it_waits_again(void **state)
{
	(void)state;
	query(1, 10, "printer");
	assert_true(answer(1, 10, "printer"));
	query(1, 10, "printer");
	intake_empty(&intake, a, 0);
	intake_recall(&intake, a, 0);
	assert_int_equal(owner_of("printer"), 1);
}

/* More than there is room for: those who wait stay. */
static void recalled_into_a_full_table(void **state)
{
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 20 * ATTRIB_CAPACITY_MIN; i++) {
		snprintf(name, sizeof(name), "h%u.example.net", i);
		query(1 + i % 200, i, name);
	}
	intake_empty(&intake, a, 0);
	uint64_t lost = attrib_lost(a);

	for (unsigned i = 0; i < INTAKE_SLOTS; i++) {
		snprintf(name, sizeof(name), "p%u.example.net", i);
		query(201, i, name);
		assert_true(answer(201, i, name));
	}
	intake_recall(&intake, a, 0);
	assert_int_equal(attrib_lost(a), lost);
}

enum { RACE_QUERIES = 20000, RACE_EMPTIERS = 2 };

static _Atomic bool race_over;

static void *empty_all_the_time(void *unused)
{
	(void)unused;
	while (!atomic_load(&race_over)) {
		intake_empty(&intake, a, 0);
		intake_recall(&intake, a, 0);
	}
	return NULL;
}

static void start_emptiers(pthread_t emptier[RACE_EMPTIERS])
{
	atomic_store(&race_over, false);
	for (unsigned i = 0; i < RACE_EMPTIERS; i++)
		assert_int_equal(pthread_create(&emptier[i], NULL, empty_all_the_time, NULL), 0);
}

static void join_emptiers(pthread_t emptier[RACE_EMPTIERS])
{
	atomic_store(&race_over, true);
	for (unsigned i = 0; i < RACE_EMPTIERS; i++)
		assert_int_equal(pthread_join(emptier[i], NULL), 0);
}

/* Each query is answered in here or enters the table, never both, and never neither, whoever empties meanwhile. */
static void emptied_by_others(void **state)
{
	pthread_t emptier[RACE_EMPTIERS];
	unsigned answered = 0, entered = 0;

	(void)state;
	start_emptiers(emptier);
	for (unsigned i = 0; i < RACE_QUERIES; i++) {
		struct attrib_owner o;
		uint32_t n = query(1 + i % 200, i, "printer");

		if (answer(1 + i % 200, i, "printer")) {
			answered++;
			continue;
		}
		intake_empty(&intake, a, 0);
		assert_true(intake_owner(&intake, n, &o));
		assert_int_equal(o.mark, 1 + i % 200);
		entered++;
	}
	join_emptiers(emptier);
	assert_int_equal(answered + entered, RACE_QUERIES);
	assert_int_equal(pending(), 0);
}

/* Whoever recalls meanwhile: what was answered before is in the table when one's own recall returns. */
static void recalled_by_others(void **state)
{
	pthread_t emptier[RACE_EMPTIERS];
	char name[32];

	(void)state;
	start_emptiers(emptier);
	for (unsigned i = 0; i < RACE_QUERIES / 4; i++) {
		snprintf(name, sizeof(name), "h%u", i);
		query(1 + i % 200, i, name);
		if (!answer(1 + i % 200, i, name))
			continue;
		intake_recall(&intake, a, 0);
		assert_int_equal(answered_of(name, 0), 1 + i % 200);
	}
	join_emptiers(emptier);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answered_never_enters),	      TEST(waiting_enters_in_order),
		TEST(answers_of_others_take_nothing), TEST(answer_in_other_case),
		TEST(asked_twice_answered_once),      TEST(told_apart_by_socket),
		TEST(overflows_into_the_table),	      TEST(gaps),
		TEST(owner_once_in_the_table),	      TEST(sequence_turns_over),
		TEST(sequence_turns_over_full),	      TEST(longest_question),
		TEST(asked_again_while_in_the_table), TEST(answered_twice_out_of_the_table),
		TEST(answered_while_moving),	      TEST(recalled_once_answered),
		TEST(recalled_no_more_when_old),      TEST(recalled_while_it_waits_again),
		TEST(recalled_as_they_are_answered),  TEST(recalled_by_others),
		TEST(recalled_into_a_full_table),     TEST(emptied_by_others),
	};

	return cmocka_run_group_tests_name("intake", tests, NULL, NULL);
}
