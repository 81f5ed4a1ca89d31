// SPDX-License-Identifier: GPL-2.0-or-later
#include "expect.h"
#include "intake_slot.h"

#include <string.h>

enum {
	CROSSED_MAX = 16,     /* in a row: then nothing is charged here any more ... */
	CROSSED_AGAIN = 4096, /* ... until so many queries have come */
	LINGER_MS = 2000,     /* who waits for longer goes into the table when the next ones come */
	ADVANCE_EVERY = 8,
	CACHE_LINE = 64,
};

void intake_init(struct intake *in)
{
	pthread_mutex_init(&in->lock, NULL);
}

/* ---- finding a query again ---- */

static void set_key(struct intake *in, unsigned number, enum intake_key by, uint32_t key)
{
	atomic_store_explicit(&in->key[by][number], key, memory_order_relaxed);
}

static uint32_t key_of(const struct intake *in, unsigned number, enum intake_key by)
{
	return atomic_load_explicit(&in->key[by][number], memory_order_relaxed);
}

static uint16_t *bucket_of(struct intake *in, enum intake_key by, uint32_t key)
{
	return &in->bucket[by][key % INTAKE_SLOTS];
}

static void chain(struct intake *in, unsigned number, enum intake_key by, uint32_t key)
{
	uint16_t *bucket = bucket_of(in, by, key);
	struct intake_slot *slot = &in->slot[number];

	set_key(in, number, by, key);
	slot->next[by] = *bucket;
	slot->chained[by] = true;
	*bucket = (uint16_t)(number + 1);
}

/* It is the one that the chain goes on to there. */
static void unchain_at(struct intake *in, uint16_t *at, enum intake_key by)
{
	struct intake_slot *slot = &in->slot[*at - 1];

	*at = slot->next[by];
	slot->chained[by] = false;
}

static void unchain(struct intake *in, unsigned number, enum intake_key by)
{
	uint16_t *at = bucket_of(in, by, key_of(in, number, by));

	while (*at != number + 1)
		at = &in->slot[*at - 1].next[by];
	unchain_at(in, at, by);
}

/* ---- client queries ---- */

static void move_now(struct intake *in, struct attrib *a, struct intake_slot *slot, uint32_t now)
{
	pthread_mutex_lock(&in->lock);
	intake_move(a, slot, now);
	pthread_mutex_unlock(&in->lock);
}

/* Whom it was lent to may look where it lies in the table. */
static void take_back(struct intake *in, struct intake_slot *slot)
{
	pthread_mutex_lock(&in->lock);
	intake_set_state(slot, INTAKE_EMPTY);
	slot->lent = false;
	pthread_mutex_unlock(&in->lock);
}

/* The next slot, where what it held is over, or in the table. */
static struct intake_slot *next_slot(struct intake *in, struct attrib *a, uint32_t now,
				     uint32_t sequence)
{
	unsigned number = intake_number(sequence);
	struct intake_slot *slot = &in->slot[number];
	uint32_t state = intake_state(slot);
	bool over = state == INTAKE_ANSWERED || state == INTAKE_DONE;

	if (over && intake_claim(slot, state, INTAKE_EMPTY))
		state = INTAKE_EMPTY;
	if (state != INTAKE_EMPTY && state != INTAKE_ENTERED)
		move_now(in, a, slot, now);
	if (slot->lent)
		take_back(in, slot);
	for (enum intake_key by = 0; by < INTAKE_CHAINS; by++)
		if (slot->chained[by])
			unchain(in, number, by);
	return slot;
}

/* By what is over the front moves on; one that lingers there goes into the table. Called for one query in ADVANCE_EVERY. */
static void advance(struct intake *in, struct attrib *a, uint32_t now, uint32_t newest)
{
	uint32_t over = atomic_load_explicit(&in->over, memory_order_relaxed);

	if (newest - over > INTAKE_SLOTS)
		over = newest - INTAKE_SLOTS;
	for (unsigned steps = 0; steps < 2 * ADVANCE_EVERY && over != newest; steps++) {
		struct intake_slot *slot = &in->slot[intake_number(over + 1)];
		uint32_t state = intake_state(slot);

		if (intake_is_live(state)) {
			if ((int32_t)(now - slot->now) < LINGER_MS)
				break;
			move_now(in, a, slot, now);
		} else if (state == INTAKE_MOVING) {
			break;
		}
		over++;
	}
	atomic_store_explicit(&in->over, over, memory_order_release);
	if (newest % CROSSED_AGAIN < ADVANCE_EVERY)
		atomic_store_explicit(&in->crossed, 0, memory_order_relaxed);
}

/* It has not been touched for as many queries as there are slots: by the time it is wanted it is at hand. */
EXPECTING void expect_next(const struct intake *in, uint32_t sequence)
{
	const char *next = (const char *)&in->slot[intake_number(sequence + 1)];

	for (size_t at = 0; at < offsetof(struct intake_slot, question) + 32; at += CACHE_LINE)
		__builtin_prefetch(next + at, 1);
}

uint32_t intake_query(struct intake *in, struct attrib *a, uint32_t now, const uint8_t *msg,
		      size_t end, const struct attrib_owner *who)
{
	uint32_t sequence = atomic_load_explicit(&in->sequence, memory_order_relaxed) + 1;

	if (!sequence) /* 0 means none; the slots' order does not mind the gap */
		sequence = INTAKE_SLOTS;
	unsigned number = intake_number(sequence);
	struct intake_slot *slot = next_slot(in, a, now, sequence);

	if (sequence % ADVANCE_EVERY == 0)
		advance(in, a, now, sequence - 1);
	slot->sequence = sequence;
	slot->now = now;
	slot->who = *who;
	slot->who.id = dns_id(msg);
	slot->length = (uint16_t)(end - DNS_HEADER_LEN);
	memcpy(slot->question, msg + DNS_HEADER_LEN, slot->length);
	set_key(in, number, INTAKE_BY_QUESTION, intake_key_question(msg, end));
	chain(in, number, INTAKE_BY_CLIENT, intake_key_client(slot->who.id, who));
	intake_set_state(slot, INTAKE_PENDING);
	atomic_store_explicit(&in->sequence, sequence, memory_order_release);
	expect_next(in, sequence);
	return sequence;
}

static bool same_end(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && a->family == b->family &&
	       memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

/* As the table tells clients apart (client_key in attrib.c). */
static bool same_client(const struct attrib_owner *a, const struct attrib_owner *b)
{
	if (a->session || b->session)
		return a->session == b->session;
	if (!a->flow.client.family)
		return !b->flow.client.family && a->fd == b->fd && a->fd_gen == b->fd_gen;
	return a->flow.proto == b->flow.proto && same_end(&a->flow.client, &b->flow.client);
}

/* The name in any case (RFC 4343), type and class exactly. Most answers repeat the question to the letter. */
static bool same_question(const uint8_t *a, const uint8_t *b, size_t len)
{
	size_t name = len - 4;

	if (memcmp(a, b, len) == 0)
		return true;
	if (memcmp(a + name, b + name, 4) != 0)
		return false;
	for (size_t i = 0; i < name; i++)
		if (dns_fold(a[i]) != dns_fold(b[i]))
			return false;
	return true;
}

/* Bytes that are the query's own question are one, and end where it ends: a message needs no reading for it. */
static bool same_asked(const struct intake_slot *slot, const uint8_t *msg, size_t have)
{
	return have >= intake_question_end(slot) &&
	       same_question(slot->question, msg + DNS_HEADER_LEN, slot->length);
}

/* ---- upstream queries, and their answers ---- */

bool intake_settles(const struct intake *in)
{
	return atomic_load_explicit(&in->crossed, memory_order_relaxed) < CROSSED_MAX;
}

bool intake_asks(const struct intake_slot *slot, uint32_t now, const uint8_t *msg, size_t end)
{
	return intake_may_wait(slot, now) && end == intake_question_end(slot) &&
	       same_asked(slot, msg, end);
}

/* Its state once no other thread is at it: one that was only looked at, to be lent, is pending again. */
static uint32_t settled_state(struct intake *in, const struct intake_slot *slot)
{
	uint32_t state = intake_state(slot);

	if (state != INTAKE_MOVING)
		return state;
	pthread_mutex_lock(&in->lock);
	state = intake_state(slot);
	pthread_mutex_unlock(&in->lock);
	return state;
}

static bool asks(struct intake *in, const struct intake_slot *slot, uint32_t now,
		 const uint8_t *msg, size_t end)
{
	return settled_state(in, slot) == INTAKE_PENDING && intake_asks(slot, now, msg, end);
}

/* The oldest: a queue's, where it is one. */
static const struct intake_slot *oldest_asking(struct intake *in, uint32_t now, const uint8_t *msg,
					       size_t end)
{
	uint32_t newest = atomic_load_explicit(&in->sequence, memory_order_relaxed);
	uint32_t key = intake_key_question(msg, end);

	in->not_pending = intake_skip(in, in->not_pending, newest);
	for (uint32_t i = in->not_pending + 1; (int32_t)(newest - i) >= 0; i++)
		if (key_of(in, intake_number(i), INTAKE_BY_QUESTION) == key &&
		    asks(in, &in->slot[intake_number(i)], now, msg, end))
			return &in->slot[intake_number(i)];
	return NULL;
}

/* The newest of its turn, or else the oldest. */
static const struct intake_slot *find_asking(struct intake *in, uint32_t now, uint32_t newest,
					     const uint8_t *msg, size_t end)
{
	const struct intake_slot *slot = &in->slot[intake_number(newest)];

	if (newest && slot->sequence == newest && asks(in, slot, now, msg, end))
		return slot;
	return oldest_asking(in, now, msg, end);
}

uint32_t intake_find(struct intake *in, uint32_t now, uint32_t newest, const uint8_t *msg,
		     size_t end, struct attrib_owner *who)
{
	const struct intake_slot *slot = find_asking(in, now, newest, msg, end);

	if (!slot)
		return 0;
	*who = slot->who;
	who->ref = (struct attrib_ref){.index = 0};
	who->asked = slot->now;
	return slot->sequence;
}

bool intake_asked(struct intake *in, uint32_t now, uint32_t sequence, uint16_t id,
		  struct attrib_socket socket, const struct attrib_owner *who)
{
	unsigned number = intake_number(sequence);
	struct intake_slot *slot = &in->slot[number];
	uint32_t key = intake_key_socket(id, socket);

	slot->upstream = (struct intake_upstream){
		.socket = socket,
		.asked = now,
		.mark = who->mark,
		.id = id,
		.state = who->state,
		.how = who->how,
	};
	set_key(in, number, INTAKE_BY_SOCKET, key); /* who moves it may ask for that */
	if (!intake_claim(slot, INTAKE_PENDING, INTAKE_ASKED))
		return false;
	chain(in, number, INTAKE_BY_SOCKET, key);
	intake_note_newest(&in->asked, atomic_load_explicit(&in->sequence, memory_order_relaxed),
			   sequence);
	return true;
}

static bool same_socket(struct attrib_socket a, struct attrib_socket b)
{
	return a.fd == b.fd && a.gen == b.gen;
}

bool intake_sent_as(const struct intake_slot *slot, struct attrib_socket socket, const uint8_t *msg,
		    size_t have)
{
	const struct intake_upstream *up = intake_upstream_of(slot);

	return up->id == dns_id(msg) && same_socket(up->socket, socket) &&
	       same_asked(slot, msg, have);
}

/* Where the chain by sockets goes on to who sent that; NULL: nobody did. */
static uint16_t *find_sent(struct intake *in, struct attrib_socket socket, const uint8_t *msg,
			   size_t have)
{
	uint16_t *at = bucket_of(in, INTAKE_BY_SOCKET, intake_key_socket(dns_id(msg), socket));

	for (; *at; at = &in->slot[*at - 1].next[INTAKE_BY_SOCKET])
		if (intake_sent_as(&in->slot[*at - 1], socket, msg, have))
			return at;
	return NULL;
}

enum intake_repeat intake_repeated(struct intake *in, uint32_t now, struct attrib_socket socket,
				   const uint8_t *msg, size_t end, struct attrib_owner *who)
{
	const uint16_t *at = find_sent(in, socket, msg, end);
	const struct intake_slot *slot = at ? &in->slot[*at - 1] : NULL;

	if (!slot)
		return INTAKE_NO_REPEAT;
	if (intake_state(slot) != INTAKE_ASKED || !intake_may_wait(slot, now))
		return INTAKE_REPEAT_IN_TABLE;
	*who = intake_charged(slot);
	return INTAKE_REPEAT;
}

bool intake_is_last_word(const struct intake_slot *slot, const uint8_t *msg, size_t have)
{
	return dns_is_final(msg) && dns_leads_nowhere(msg, have, intake_question_end(slot));
}

uint32_t intake_fed(struct intake *in, struct attrib *a, uint32_t now, struct attrib_socket socket,
		    const uint8_t *msg, size_t have)
{
	uint16_t *at = dns_is_standard(msg, have) ? find_sent(in, socket, msg, have) : NULL;
	struct intake_slot *slot = at ? &in->slot[*at - 1] : NULL;

	if (!slot)
		return 0;
	unchain_at(in, at, INTAKE_BY_SOCKET);
	slot->upstream.fed = now; /* until it is fed nobody looks there */
	if (!intake_is_last_word(slot, msg, have) ||
	    !intake_claim(slot, INTAKE_ASKED, INTAKE_FED)) {
		move_now(in, a, slot, now);
		return 0;
	}
	attrib_final(a, now, msg, intake_question_end(slot));
	intake_not_crossed(in);
	return slot->sequence;
}

/* ---- answers to clients ---- */

static bool is_answer_to(const struct intake_slot *slot, const uint8_t *msg, size_t have,
			 const struct attrib_owner *who)
{
	return slot->who.id == dns_id(msg) && same_client(&slot->who, who) &&
	       same_asked(slot, msg, have);
}

static void end_wait(struct intake *in, struct attrib *a, struct intake_slot *slot,
		     struct intake_found *found)
{
	uint32_t state = settled_state(in, slot);

	/* its upstream query may be answered yet: the table keeps who is served by that */
	if (state == INTAKE_ASKED || state == INTAKE_LENT)
		move_now(in, a, slot, slot->now);
	if (intake_claim(slot, INTAKE_PENDING, INTAKE_ANSWERED) ||
	    intake_claim(slot, INTAKE_FED, INTAKE_DONE)) {
		found->pending = true;
		return;
	}
	state = intake_state(slot);
	if (state == INTAKE_MOVING || intake_is_live(state)) /* lent a moment ago, or about to be */
		found->moving = true;
	else if (state == INTAKE_ENTERED && !found->entered.index)
		found->entered = slot->entered.ref;
}

/* Perhaps several: a client that asked again has one query, which one answer ends. The newest come first. */
struct intake_found intake_answer(struct intake *in, struct attrib *a, const uint8_t *msg,
				  size_t have, const struct attrib_owner *who)
{
	struct intake_found found = {.pending = false};

	if (!dns_is_standard(msg, have))
		return found;
	uint16_t *at = bucket_of(in, INTAKE_BY_CLIENT, intake_key_client(dns_id(msg), who));

	while (*at) {
		struct intake_slot *slot = &in->slot[*at - 1];

		if (is_answer_to(slot, msg, have, who)) {
			unchain_at(in, at, INTAKE_BY_CLIENT);
			end_wait(in, a, slot, &found);
		} else {
			at = &slot->next[INTAKE_BY_CLIENT];
		}
	}
	return found;
}

bool intake_owner(const struct intake *in, uint32_t sequence, struct attrib_owner *who)
{
	const struct intake_slot *slot = &in->slot[intake_number(sequence)];
	const struct intake_entered *there = &slot->entered;

	if (!sequence || intake_state(slot) != INTAKE_ENTERED || slot->sequence != sequence ||
	    !there->ref.index)
		return false;
	*who = slot->who;
	who->ref = there->ref;
	who->asked = there->asked;
	who->question = there->question;
	who->mark = there->mark;
	who->state = there->state;
	who->how = there->how;
	return true;
}
