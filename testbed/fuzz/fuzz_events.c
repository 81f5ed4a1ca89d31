// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The events of several threads, by way of their intakes and the table as in the library (events.c, decide.c, intakes.c),
 * against what is promised: an upstream query is charged to a client that waits for it, wherever that is known; never to
 * one that has had its answer, while another waits; and nobody waits for ever.
 *
 * The model knows who waits. Of a client that asked again, by another thread, it may not be known whether that one waits
 * still after the one answer: then both is right.
 *
 * Input: events of four bytes: what and by which thread, who, which question, and what does not matter or is rare.
 */
#include "../unit/wire.h"
#include "conntrack.h"
#include "decide.h"
#include "events.h"
#include "fdtab.h"
#include "intakes.h"
#include "log.h"
#include "source.h"
#include "stats.h"
#include "trace.h"

#include <stdio.h>
#include <sys/mman.h>

enum {
	EVENTS_MAX = 500,
	NAMES = 8,
	TYPES = 2,
	CLIENTS = 6,
	THREADS = 3,
	SENDER = THREADS, /* one more, which no client asks: it sends, and has the answers */
	SOCKETS = 4,
	LONGEST_MS = 20000, /* in all: nobody gives up meanwhile */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[NAMES] = {
	"www.example.com", "wWx.example.com", "example.com", "cdn.example.net",
	"a.test",	   "b.test",	      "test",	     "."};
static const uint16_t types[TYPES] = {1, 28};

/* ---- what the three files need of the rest of the library ---- */

_Thread_local struct thread thread_self __attribute__((tls_model("initial-exec")));
struct shim shim;
bool trace_on;
_Thread_local struct stats_lane *stats_own_lane __attribute__((tls_model("initial-exec")));
_Atomic(struct fd_state *) fd_pages[FD_PAGES];
static struct fd_state client_socket;	   /* one for all threads */
static struct fd_state page[FD_PAGE_SIZE]; /* the upstream sockets lie there */
static uint32_t now;

uint32_t thread_now_ms(void)
{
	return now;
}

void thread_wants_end(void)
{
}

void stats_add_slow(unsigned counter)
{
	(void)counter;
}

void log_cause(enum log_counter cause, int error)
{
	(void)cause;
	(void)error;
}

void trace_note_client(const struct attrib_owner *who, const uint8_t *msg, size_t end)
{
	(void)who;
	(void)msg;
	(void)end;
}

enum config_source source_now(void)
{
	return SOURCE_CONNTRACK;
}

int source_mark(struct attrib_owner *owner)
{
	(void)owner;
	abort(); /* all marks are known */
}

enum log_counter conntrack_cause(int err)
{
	(void)err;
	abort();
}

/* ---- the model ---- */

enum waits { NO, PERHAPS, YES };

struct asked {
	enum waits waits;
	unsigned client, question;
	uint16_t id;
	int thread;
};

static struct asked asked[EVENTS_MAX];
static unsigned count;
static struct thread threads[THREADS + 1];
static unsigned events;

static void fail(const char *what)
{
	fprintf(stderr, "event %u: %s\n", events, what);
	abort();
}

static void require(bool holds, const char *what)
{
	if (!holds)
		fail(what);
}

static bool same_query(const struct asked *x, const struct asked *y)
{
	return x->client == y->client && x->question == y->question && x->id == y->id;
}

/* The best that is known of one that this client asked so, by whatever thread. */
static enum waits waits_still(const struct asked *which)
{
	enum waits best = NO;

	for (unsigned i = 0; i < count; i++)
		if (same_query(&asked[i], which) && asked[i].waits > best)
			best = asked[i].waits;
	return best;
}

static bool somebody_waits(unsigned question)
{
	for (unsigned i = 0; i < count; i++)
		if (asked[i].question == question && asked[i].waits == YES)
			return true;
	return false;
}

/* ---- messages ---- */

static const char *name_of(unsigned question)
{
	return names[question % NAMES];
}

static void write_message(struct wire *w, unsigned id, unsigned flags, unsigned question,
			  uint8_t noise)
{
	char name[32];

	strcpy(name, name_of(question));
	wire_turn_case(name, noise);
	wire_message(w, id, flags, name, types[question / NAMES % TYPES]);
}

static struct attrib_owner client(unsigned n)
{
	struct attrib_owner o;

	attrib_owner_begin(&o, 3, 1, n == 5 ? IPPROTO_TCP : IPPROTO_UDP);
	o.flow.client.family = AF_INET;
	o.flow.client.addr[0] = 1;
	o.flow.client.addr[1] = (uint8_t)(n / 2 % 2);
	o.flow.client.port = (uint16_t)(4000 + n % 2);
	o.flow.proto = n == 5 ? IPPROTO_TCP : IPPROTO_UDP;
	if (n == 4)
		o.session = 7;
	return o;
}

static struct attrib_socket socket_of(unsigned n)
{
	return (struct attrib_socket){.fd = 10 + (int)(n / 2), .gen = n % 2};
}

/* ---- events ---- */

static void client_asks(int thread, const struct asked *which, uint8_t noise)
{
	static struct wire w;
	struct attrib_owner o = client(which->client);

	o.mark = count;
	o.state = MARK_KNOWN;
	o.how = MARK_HOW_PACKET;
	write_message(&w, which->id, WIRE_RD, which->question, noise);
	asked[count] = *which;
	asked[count].thread = thread;
	asked[count++].waits = YES;
	event_client_query(&threads[thread], &o, w.bytes, dns_question_end(w.bytes, w.len));
	intakes_note_reader(&client_socket, &threads[thread]);
}

/*
 * All copies that this thread received have had their answer. Where one of them had none yet, others' copies are looked
 * for only if it was in the table.
 */
static void model_answer(int thread, const struct asked *which)
{
	bool here = false;

	for (unsigned i = 0; i < count; i++)
		here |= same_query(&asked[i], which) && asked[i].thread == thread &&
			asked[i].waits != NO;
	for (unsigned i = 0; i < count; i++)
		if (same_query(&asked[i], which) && asked[i].waits != NO)
			asked[i].waits = here && asked[i].thread != thread ? PERHAPS : NO;
}

static void client_is_answered(int thread, const struct asked *which, uint8_t noise)
{
	static struct wire w;
	struct attrib_owner o = client(which->client);

	model_answer(thread, which);
	write_message(&w, which->id, WIRE_QR, which->question, noise);
	event_client_answer(&threads[thread], &o, w.bytes, w.len);
}

static void check_decision(unsigned question, const struct decision *d)
{
	enum attrib_evidence why = d->why.evidence;
	const struct attrib_owner *owner = &d->why.owner;
	bool exact = why == ATTRIB_EXACT || why == ATTRIB_REPEAT;

	if (somebody_waits(question))
		require(exact, "somebody waits for this very question, and it was not found");
	if (why == ATTRIB_NONE) {
		require(d->mark == shim.config.default_mark, "nobody's, with a mark");
		return;
	}
	require(owner->mark < count && d->mark == owner->mark, "nobody's mark");
	const struct asked *charged = &asked[owner->mark];
	bool waits = waits_still(charged) != NO;

	if (why == ATTRIB_EXACT) {
		require(waits, "charged to one that has had its answer");
		require(strcasecmp(name_of(charged->question), name_of(question)) == 0,
			"charged to one that asked for another name");
	}
	if (why == ATTRIB_EXACT && somebody_waits(question))
		require(charged->question == question,
			"charged to one that asked for another type");
	if (why == ATTRIB_REPEAT && somebody_waits(question))
		require(waits, "repeated for one that has had its answer, while another waits");
	if (why == ATTRIB_LEARNED || why == ATTRIB_ANCESTOR)
		require(waits, "led to for one that has had its answer");
}

/* Two bear one number, one after the other. */
static enum carrier carrier(unsigned n)
{
	struct attrib_socket socket = socket_of(n);
	struct fd_state *st = &page[socket.fd];

	if (n == 3)
		return BY_CONNECTION;
	if (fd_gen(st) != socket.gen || !fd_flags(st)) {
		atomic_store(&st->gen, socket.gen);
		atomic_store(&st->flags, FD_UDP);
		atomic_store(&st->lent, 0);
	}
	return fd_set_flags(st, FD_SENT) & FD_SENT ? BY_SOCKET : BY_NEW_SOCKET;
}

static struct decision upstream_is_asked(int thread, unsigned socket, uint16_t id,
					 unsigned question, uint8_t noise)
{
	static struct wire w;
	struct decision d;

	write_message(&w, id, WIRE_RD, question, noise);
	decide_query(&threads[thread], socket_of(socket), carrier(socket), w.bytes,
		     dns_question_end(w.bytes, w.len), &d);
	check_decision(question, &d);
	return d;
}

static void upstream_answers(int thread, unsigned socket, uint16_t id, unsigned question,
			     uint8_t noise)
{
	static struct wire w;
	unsigned kind = noise & 15, flags = WIRE_QR | WIRE_RA;
	unsigned other = noise >> 4 & (NAMES - 1);

	if (kind == 1)
		flags |= 2; /* SERVFAIL */
	if (kind == 2)
		flags |= WIRE_TC;
	if (kind == 3)
		flags |= 3; /* NXDOMAIN */
	/* from then on it recurses, and nothing is settled outside the table */
	if (kind == 5 && noise >> 7)
		flags &= ~(unsigned)WIRE_RA;
	write_message(&w, id, flags, question, kind < 8 ? noise : 0);
	if (kind == 4)
		wire_record(&w, false, name_of(question), DNS_TYPE_CNAME, names[other]);
	if (kind == 5)
		wire_record(&w, true, name_of(question), DNS_TYPE_NS, names[other]);
	if (kind > 9)
		wire_record(&w, false, name_of(question), 16, names[other]);
	event_upstream_answer(&threads[thread], socket_of(socket), w.bytes, w.len);
}

static void recalled(int thread)
{
	intakes_recall(shim.attrib, threads[thread].intake, now);
}

static void step(const uint8_t e[4])
{
	int thread = e[0] >> 4 & 3;
	struct asked which = {.client = e[1] % CLIENTS,
			      .question = e[2] % (NAMES * TYPES),
			      .id = (uint16_t)(e[1] / CLIENTS % 2 ? 0x1234 : 0x3412)};
	unsigned socket = e[1] % SOCKETS;

	if (thread == SENDER && !(e[0] % 16 >= 4 && e[0] % 16 <= 9) && e[0] % 16 != 13)
		thread = 0;
	switch (e[0] & 15) {
	case 0:
	case 1:
	case 2:
		client_asks(thread, &which, e[3]);
		break;
	case 3: /* as a forwarder does it: one message, and what comes of it */
		threads[thread].turn.messages = 0;
		client_asks(thread, &which, e[3]);
		upstream_is_asked(thread, socket, which.id, which.question, e[3] / 3);
		break;
	case 4:
	case 5:
	case 6:
		upstream_is_asked(thread, socket, which.id, which.question, e[3]);
		break;
	case 7:
	case 8:
	case 9:
		upstream_answers(thread, socket, which.id, which.question, e[3]);
		break;
	case 10:
	case 11:
	case 12:
		client_is_answered(thread, &which, e[3]);
		break;
	case 13:
		threads[thread].turn.messages = 0;
		break;
	case 14:
		if (e[3] < 16)
			recalled(thread);
		else if (e[3] < 32)
			intakes_empty(shim.attrib, now);
		break;
	default:
		now += LONGEST_MS / EVENTS_MAX * (uint32_t)e[3] / 256;
	}
}

/* ---- the end ---- */

/* Everybody is answered, where it asked; and then nobody waits, here or there. */
static void finish(void)
{
	struct attrib_usage usage;

	for (unsigned i = 0; i < count; i++)
		client_is_answered(asked[i].thread, &asked[i], 0);
	for (unsigned i = 0; i < count; i++)
		require(asked[i].waits == NO, "the model is wrong");
	intakes_empty(shim.attrib, now);
	for (unsigned i = 0; i < count; i++)
		client_is_answered(asked[i].thread, &asked[i], 0);
	attrib_usage(shim.attrib, &usage);
	require(!usage.waiting, "somebody waits for ever");
	require(!usage.evicted, "the table is too small");
	for (int i = 0; i < THREADS; i++) {
		struct thread *t = &threads[i];

		for (unsigned n = 0; t->intake && n < INTAKE_SLOTS; n++) {
			uint32_t state = atomic_load(&t->intake->slot[n].state);

			require(state != INTAKE_PENDING && state != INTAKE_ASKED &&
					state != INTAKE_FED && state != INTAKE_MOVING,
				"a slot waits for ever");
		}
		intakes_thread_ends(t);
	}
}

static void begin(void)
{
	static const struct sip_key key = {5, 6};
	size_t bytes = attrib_size(ATTRIB_CAPACITY_MIN);
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	shim.attrib = attrib_init(memory, ATTRIB_CAPACITY_MIN, &key);
	shim.config.default_mark = 0xffff;
	memset(threads, 0, sizeof(threads));
	memset(page, 0, sizeof(page));
	atomic_store(&fd_pages[0], page);
	count = events = 0;
	now = UINT32_MAX - 5000; /* the clock turns over soon */
	for (int i = 0; i < THREADS; i++) {
		struct intake *in = intakes_make(&threads[i]);

		/* the last input's */
		memset(in, 0, sizeof(*in));
		intake_init(in);
	}
}

/* A query that another thread received once more, and dropped, ends with the first one's answer. */
static void check_copies(void)
{
	const struct asked which = {.client = 1, .question = 2, .id = 7};
	struct attrib_usage usage;

	begin();
	client_asks(0, &which, 0);
	upstream_is_asked(0, 1, 8, which.question, 0);
	client_asks(1, &which, 0);
	upstream_answers(0, 1, 8, which.question, 15);
	client_is_answered(0, &which, 0);
	intakes_empty(shim.attrib, now);
	attrib_usage(shim.attrib, &usage);
	require(!usage.waiting, "the copy waits");
	finish();
	munmap(shim.attrib, attrib_size(ATTRIB_CAPACITY_MIN));
}

/* What another thread sends once more is for whom it was sent, whoever asks the same meanwhile. */
static void check_lent_again(void)
{
	const struct asked which = {.client = 1, .question = 2, .id = 7};
	const struct asked later = {.client = 2, .question = 2, .id = 9};

	begin();
	client_asks(0, &which, 0);
	struct decision first = upstream_is_asked(SENDER, 1, 8, which.question, 0);

	client_asks(0, &later, 0);
	struct decision again = upstream_is_asked(SENDER, 1, 8, which.question, 0);
	struct decision other = upstream_is_asked(SENDER, 2, 8, which.question, 0);

	require(first.why.evidence == ATTRIB_EXACT && first.mark == 0, "the first is not lent");
	require(again.why.evidence == ATTRIB_REPEAT && again.mark == 0, "it is another's now");
	require(other.why.evidence == ATTRIB_EXACT && other.mark == 1, "the second is not lent");
	finish();
	munmap(shim.attrib, attrib_size(ATTRIB_CAPACITY_MIN));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool checked;

	if (!checked) {
		check_copies();
		check_lent_again();
	}
	checked = true;
	if (size > 4 * EVENTS_MAX)
		return 0;
	begin();
	for (size_t at = 0; at + 4 <= size; at += 4, events++)
		step(data + at);
	finish();
	munmap(shim.attrib, attrib_size(ATTRIB_CAPACITY_MIN));
	return 0;
}
