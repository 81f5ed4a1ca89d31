// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The intake against a model of it: a list of all queries that ever came, and what became of each. In the end the
 * table must hold those that were not answered in time, in the order in which they came.
 *
 * A recall of what was answered may come at any time, and changes nothing of that.
 *
 * Input: one byte for where the sequence begins, then events of three bytes: what and who, which
 * question, and what does not matter (case, and where a client is told apart by something else).
 */
#include "../unit/wire.h"
#include "intake.h"

#include <sys/mman.h>

enum { QUERIES_MAX = 400, NAMES = 4, TYPES = 2, IDS = 2, CLIENTS = 6 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* '@' and '`' differ as 'A' and 'a' do, but are no letters. */
static const char *const names[NAMES] = {"www.Example", "a@.eXample", "a`.exaMple", "example"};

enum fate { PENDING, ANSWERED, ENTERED };

struct query {
	enum fate fate;
	bool told; /* in the table, and its answer has come */
	unsigned client, question;
	uint16_t id;
	uint32_t sequence;
};

static struct query query[QUERIES_MAX];
static unsigned queries;
static struct intake intake;
static struct attrib *table;
static const struct sip_key key = {3, 4};

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* ---- what goes in ---- */

/* Two by address, one of them also over TCP; two TLS sessions; two known by their sockets only. */
static struct attrib_owner client(unsigned n, uint8_t noise)
{
	struct attrib_owner o;

	memset(&o, 0, sizeof(o));
	o.flow.proto = n == 2 || n == 3 || n == 4 ? IPPROTO_TCP : IPPROTO_UDP;
	o.fd = noise & 7;
	o.fd_gen = noise >> 3;
	if (n == 5) {
		o.fd = 5;
		o.fd_gen = 6;
	} else {
		o.flow.client.family = AF_INET;
		o.flow.client.addr[0] = n == 1 ? 2 : 1;
		o.flow.client.port = 4000;
	}
	if (n == 3 || n == 4) {
		o.session = n;
		o.flow.client.addr[0] = noise;
	}
	o.state = MARK_KNOWN;
	return o;
}

static size_t write_question(struct wire *w, unsigned id, unsigned flags, unsigned question,
			     uint8_t noise)
{
	char name[16];

	strcpy(name, names[question % NAMES]);
	wire_turn_case(name, noise);
	wire_message(w, id, flags, name, question / NAMES ? 28 : 1);
	size_t end = dns_question_end(w->bytes, w->len);

	require(end == w->len);
	return end;
}

/* ---- events ---- */

static bool same(const struct query *x, const struct query *y)
{
	return x->client == y->client && x->question == y->question && x->id == y->id;
}

static void enter_all(void)
{
	for (unsigned i = 0; i < queries; i++)
		if (query[i].fate == PENDING)
			query[i].fate = ENTERED;
}

static void ask(const struct query *q, uint8_t noise)
{
	static struct wire w;
	struct attrib_owner o = client(q->client, noise);

	if (queries == QUERIES_MAX)
		return;
	o.mark = queries;
	size_t end = write_question(&w, q->id, WIRE_RD, q->question, noise);

	if (queries >= INTAKE_SLOTS && query[queries - INTAKE_SLOTS].fate == PENDING)
		query[queries - INTAKE_SLOTS].fate = ENTERED; /* there is no room */
	query[queries] = *q;
	query[queries].sequence = intake_query(&intake, table, 0, w.bytes, end, &o);
	require(query[queries].sequence != 0);
	queries++;
}

static void answer(const struct query *q, uint8_t noise)
{
	static struct wire w;
	struct attrib_owner o = client(q->client, noise);
	size_t end = write_question(&w, q->id, WIRE_QR, q->question, noise);
	struct attrib_ref expected = {0};
	bool pending = false;

	for (unsigned i = 0; i < queries; i++) {
		if (!same(&query[i], q))
			continue;
		if (query[i].fate == PENDING) {
			query[i].fate = ANSWERED;
			pending = true;
		} else if (query[i].fate == ENTERED && !query[i].told) {
			struct attrib_owner there;

			query[i].told = true;
			if (intake_owner(&intake, query[i].sequence, &there))
				expected = there.ref;
		}
	}
	struct intake_found found = intake_answer(&intake, table, w.bytes, end, &o);

	require(found.pending == pending);
	require(found.entered.index == expected.index && found.entered.tag == expected.tag &&
		found.entered.shard == expected.shard);
}

static void check(void)
{
	uint32_t pending = 0, held = 0;

	for (unsigned i = 0; i < INTAKE_SLOTS; i++)
		held += atomic_load(&intake.slot[i].state) == INTAKE_PENDING;
	for (unsigned i = 0; i < queries; i++) {
		struct attrib_owner o;
		bool known = query[i].fate == ENTERED && i + INTAKE_SLOTS >= queries;

		pending += query[i].fate == PENDING;
		require(intake_owner(&intake, query[i].sequence, &o) == known);
		require(!known || (o.mark == i && o.id == query[i].id && o.ref.index));
	}
	require(held == pending);
}

/* A repeat of one that is in the table already changes nothing there. */
static bool is_repeat(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (query[i].fate == ENTERED && same(&query[i], &query[n]))
			return true;
	return false;
}

/* The table gives each question's clients in the order in which they came. */
static void check_table(void)
{
	static struct wire w;
	struct attrib_decision d;
	struct dns_message m;

	for (unsigned i = 0; i < queries; i++) {
		if (query[i].fate != ENTERED || is_repeat(i))
			continue;
		write_question(&w, i, 0, query[i].question, 0);
		require(dns_parse(&key, w.bytes, w.len, &m));
		attrib_upstream_query(table, 0, &m, (struct attrib_socket){.fd = 9}, NULL, &d);
		require(d.evidence == ATTRIB_EXACT && d.owner.mark == i);
	}
}

static void check_waiting(void)
{
	struct attrib_usage usage;
	uint32_t waiting = 0;

	for (unsigned i = 0; i < queries; i++)
		waiting += query[i].fate == ENTERED && !is_repeat(i);
	attrib_usage(table, &usage);
	require(usage.waiting == waiting);
}

static void step(const uint8_t e[3])
{
	struct query q = {.client = e[0] / 8 % CLIENTS,
			  .question = e[1] % (NAMES * TYPES),
			  .id = (uint16_t)(e[1] / (NAMES * TYPES) % IDS ? 0x1234 : 0x3412)};

	switch (e[0] % 8) {
	case 5:
	case 6:
		answer(&q, e[2]);
		break;
	case 7:
		if (e[2] & 1)
			intake_recall(&intake, table, 0);
		intake_empty(&intake, table, 0);
		enter_all();
		break;
	default:
		ask(&q, e[2]);
	}
	check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t bytes = attrib_size(ATTRIB_CAPACITY_MIN);

	if (!size || size > 1 + 3 * QUERIES_MAX)
		return 0;
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	table = attrib_init(memory, ATTRIB_CAPACITY_MIN, &key);
	memset(&intake, 0, sizeof(intake));
	intake_init(&intake);
	intake.sequence = data[0] < 128 ? data[0]
					: UINT32_MAX - (255 - data[0]); /* it turns over */
	queries = 0;
	for (size_t at = 1; at + 3 <= size; at += 3)
		step(data + at);
	check_waiting();
	check_table();
	munmap(memory, bytes);
	return 0;
}
