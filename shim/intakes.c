// SPDX-License-Identifier: GPL-2.0-or-later
#include "intakes.h"

#include "pages.h"

#include <string.h>

enum {
	INTAKES_MAX = 4096
}; /* threads that receive at once; further ones use the table straight away */

static _Atomic(struct intake *) intakes[INTAKES_MAX];
static _Atomic bool taken[INTAKES_MAX];
static _Atomic unsigned highest; /* no intake lies beyond */
static _Atomic bool shared;	 /* two threads have read one socket that clients send to */

static struct intake *make(void)
{
	struct intake *in = pages_map(sizeof(*in), false);

	if (in)
		intake_init(in);
	return in;
}

static void raise_highest(unsigned count)
{
	unsigned seen = atomic_load(&highest);

	while (seen < count && !atomic_compare_exchange_weak(&highest, &seen, count))
		;
}

static struct intake *take(unsigned i)
{
	struct intake *in = atomic_load(&intakes[i]);

	if (!in) {
		in = make();
		atomic_store(&intakes[i], in);
		raise_highest(i + 1);
	}
	if (!in)
		atomic_store(&taken[i], false);
	return in;
}

struct intake *intakes_make(struct thread *t)
{
	for (unsigned i = 0; !t->intake && i < INTAKES_MAX; i++) {
		bool free = false;

		if (!atomic_compare_exchange_strong(&taken[i], &free, true))
			continue;
		t->intake = take(i);
		t->intake_index = i;
		if (!t->intake)
			break;
		thread_wants_end();
	}
	return t->intake;
}

/* The next one from number *i on, which goes behind it; NULL: there are no more. */
static struct intake *next(unsigned *i)
{
	unsigned count = atomic_load_explicit(&highest, memory_order_acquire);
	struct intake *in = NULL;

	while (!in && *i < count)
		in = atomic_load_explicit(&intakes[(*i)++], memory_order_acquire);
	return in;
}

void intakes_empty(struct attrib *a, uint32_t now)
{
	unsigned i = 0;

	for (struct intake *in; (in = next(&i));)
		intake_empty(in, a, now);
}

bool intakes_have_charged(void)
{
	unsigned i = 0;

	for (struct intake *in; (in = next(&i));)
		if (intake_has_charged(in))
			return true;
	return false;
}

void intakes_read(struct fd_state *st, const struct thread *t)
{
	uint32_t me = t->intake_index + 1, before = 0;
	bool first = atomic_compare_exchange_strong(&st->reader, &before, me);

	if ((!first && before != me) || fd_flags(st) & FD_SHARED)
		atomic_store_explicit(&shared, true, memory_order_relaxed);
}

bool intakes_share(void)
{
	return atomic_load_explicit(&shared, memory_order_relaxed);
}

void intakes_move_those(struct attrib *a, const struct intake *own, uint32_t now,
			enum intake_key by, uint32_t key)
{
	unsigned i = 0;

	for (struct intake *in; (in = next(&i));)
		intake_move_those(in, a, now, by, key, in != own);
}

void intakes_recall(struct attrib *a, struct intake *own, uint32_t now)
{
	unsigned i = 0;

	for (struct intake *in; (in = next(&i));)
		if (in != own)
			intake_recall(in, a, now);
	if (own)
		intake_recall(own, a, now);
}

/* ---- what is lent ---- */

/* In one word of the socket's: which intake, plus one, and which query of it. */
static void note_lent(struct attrib_socket socket, unsigned index, uint32_t query)
{
	struct fd_state *st = fd_find(socket.fd);

	if (st && fd_gen(st) == socket.gen && (fd_flags(st) & FD_KIND) == FD_UDP)
		atomic_store_explicit(&st->lent, (uint64_t)(index + 1) << 32 | query,
				      memory_order_release);
}

struct intakes_lent intakes_lend(const struct attrib *a, const struct intake *own, uint32_t now,
				 const struct intake_sending *sending, struct attrib_owner *who)
{
	struct intakes_lent lent = {.in = NULL};
	unsigned i = 0, index = 0;

	for (struct intake *in; (in = next(&i));) {
		if (in == own || !intake_may_lend(in, sending->msg, sending->end))
			continue;
		if (lent.in || !intake_settles(in))
			return (struct intakes_lent){.in = NULL};
		lent.in = in;
		index = i - 1;
	}
	if (lent.in)
		lent.query = intake_lend(lent.in, a, now, sending, who);
	if (!lent.query)
		return (struct intakes_lent){.in = NULL};
	note_lent(sending->socket, index, lent.query);
	return lent;
}

struct intakes_lent intakes_lent_by(struct attrib_socket socket)
{
	const struct fd_state *st = fd_find(socket.fd);
	bool udp = st && (fd_flags(st) & FD_KIND) == FD_UDP;
	uint64_t word = udp ? atomic_load_explicit(&st->lent, memory_order_acquire) : 0;
	uint64_t index = word >> 32;

	if (!index || index > INTAKES_MAX)
		return (struct intakes_lent){.in = NULL};
	return (struct intakes_lent){
		.in = atomic_load_explicit(&intakes[index - 1], memory_order_acquire),
		.query = (uint32_t)word,
	};
}

void intakes_thread_ends(struct thread *t)
{
	if (!t->intake)
		return;
	if (shim.attrib)
		intake_empty(t->intake, shim.attrib, thread_now_ms());
	t->intake = NULL;
	t->turn_query = 0; /* a later destructor of the program's may send */
	atomic_store(&taken[t->intake_index], false);
}

/* One that was being changed when the process forked is in no known state: then it is forgotten. */
void intakes_after_fork(struct thread *t)
{
	for (unsigned i = 0; i < atomic_load(&highest); i++) {
		struct intake *in = atomic_load(&intakes[i]);

		if (!in)
			continue;
		bool whole = pthread_mutex_trylock(&in->lock) == 0;

		if (!whole || in != t->intake)
			memset(in, 0, sizeof(*in));
		intake_init(in);
		atomic_store(&taken[i], in == t->intake);
	}
}
