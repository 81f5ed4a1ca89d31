// SPDX-License-Identifier: GPL-2.0-or-later
#include "intake.h"

#include <string.h>

void intake_init(struct intake *in)
{
	pthread_mutex_init(&in->lock, NULL);
}

static struct intake_slot *slot_of(struct intake *in, uint32_t sequence)
{
	return &in->slot[sequence % INTAKE_SLOTS];
}

static uint32_t state_of(const struct intake_slot *slot)
{
	return atomic_load_explicit(&slot->state, memory_order_acquire);
}

static void set_state(struct intake_slot *slot, enum intake_state state)
{
	atomic_store_explicit(&slot->state, state, memory_order_release);
}

/* Whoever turns a pending or an answered slot first has it. */
static bool claim(struct intake_slot *slot, enum intake_state from, enum intake_state to)
{
	uint32_t state = from;

	return atomic_compare_exchange_strong_explicit(&slot->state, &state, to,
						       memory_order_acq_rel, memory_order_acquire);
}

/* ---- into the table ---- */

/* As the message came: an ID, one question, and nothing else that attribution wants. */
static size_t rebuild(const struct intake_slot *slot, uint8_t msg[DNS_HEAD_MAX])
{
	memset(msg, 0, DNS_HEADER_LEN);
	msg[0] = (uint8_t)(slot->who.id >> 8);
	msg[1] = (uint8_t)slot->who.id;
	msg[5] = 1; /* QDCOUNT */
	memcpy(msg + DNS_HEADER_LEN, slot->question, slot->length);
	return DNS_HEADER_LEN + (size_t)slot->length;
}

static void enter_table(struct attrib *a, struct intake_slot *slot)
{
	struct attrib_owner who = slot->who;
	uint8_t msg[DNS_HEAD_MAX];
	struct dns_message parsed;

	if (dns_parse(attrib_key(a), msg, rebuild(slot, msg), &parsed))
		attrib_client_query(a, slot->now, &parsed, &who, NULL);
	/* nothing that the owner may be comparing with an answer just now */
	slot->who.ref = who.ref;
	slot->who.asked = who.asked;
	slot->who.question = who.question;
	slot->who.mark = who.mark;
	slot->who.state = who.state;
	slot->who.how = who.how;
	set_state(slot, INTAKE_ENTERED);
}

/* From the oldest on: who came first is first in the table. What the last one left behind was no longer pending. */
static void empty(struct intake *in, struct attrib *a)
{
	uint32_t newest = atomic_load_explicit(&in->sequence, memory_order_acquire);
	uint32_t since = newest - atomic_load_explicit(&in->emptied, memory_order_relaxed);

	for (uint32_t i = since < INTAKE_SLOTS ? since : INTAKE_SLOTS; i-- > 0;) {
		struct intake_slot *slot = slot_of(in, newest - i);

		if (state_of(slot) == INTAKE_PENDING && claim(slot, INTAKE_PENDING, INTAKE_MOVING))
			enter_table(a, slot);
	}
	atomic_store_explicit(&in->emptied, newest, memory_order_release);
}

void intake_empty(struct intake *in, struct attrib *a)
{
	uint32_t newest = atomic_load_explicit(&in->sequence, memory_order_acquire);

	if (atomic_load_explicit(&in->emptied, memory_order_acquire) == newest)
		return;
	pthread_mutex_lock(&in->lock);
	empty(in, a);
	pthread_mutex_unlock(&in->lock);
}

static void enter_past(struct attrib *a, struct intake_slot *slot)
{
	struct attrib_owner who = slot->who;
	uint8_t msg[DNS_HEAD_MAX];
	struct dns_message parsed;

	if (dns_parse(attrib_key(a), msg, rebuild(slot, msg), &parsed))
		attrib_client_past(a, slot->now, &parsed, &who);
}

/* Enters it where it was answered a moment ago. False: it may be answered yet. */
static bool recall_slot(struct attrib *a, struct intake_slot *slot, uint32_t now)
{
	uint32_t state = state_of(slot);

	if (state == INTAKE_PENDING)
		return false;
	if (state != INTAKE_ANSWERED || !claim(slot, INTAKE_ANSWERED, INTAKE_MOVING))
		return true;
	if ((int32_t)(now - slot->now) < ATTRIB_ANSWERED_MS)
		enter_past(a, slot);
	set_state(slot, INTAKE_EMPTY);
	return true;
}

/* From the oldest on: who was answered last is found first. What the last one left behind was recalled, or is no more. */
void intake_recall(struct intake *in, struct attrib *a, uint32_t now)
{
	bool all = true;

	if (atomic_load_explicit(&in->recalled, memory_order_acquire) ==
	    atomic_load_explicit(&in->sequence, memory_order_acquire))
		return;
	pthread_mutex_lock(&in->lock);
	uint32_t newest = atomic_load_explicit(&in->sequence, memory_order_acquire);
	uint32_t since = newest - atomic_load_explicit(&in->recalled, memory_order_relaxed);

	for (uint32_t i = since < INTAKE_SLOTS ? since : INTAKE_SLOTS; i-- > 0;) {
		all = recall_slot(a, slot_of(in, newest - i), now) && all;
		if (all)
			atomic_store_explicit(&in->recalled, newest - i, memory_order_release);
	}
	pthread_mutex_unlock(&in->lock);
}

/* ---- the owner's side ---- */

/* The bucket of a client's query with that ID. */
static uint16_t *bucket_of(struct intake *in, uint16_t id, const struct attrib_owner *who)
{
	return &in->bucket[attrib_asker(id, who) % INTAKE_SLOTS];
}

static void chain(struct intake *in, struct intake_slot *slot)
{
	uint16_t *bucket = bucket_of(in, slot->who.id, &slot->who);

	slot->next = *bucket;
	slot->chained = true;
	*bucket = (uint16_t)(slot - in->slot + 1);
}

static void unchain(struct intake *in, struct intake_slot *slot)
{
	uint16_t *at = bucket_of(in, slot->who.id, &slot->who);

	while (*at != slot - in->slot + 1)
		at = &in->slot[*at - 1].next;
	*at = slot->next;
	slot->chained = false;
}

/* The next slot, with what it held before in the table or answered. */
static struct intake_slot *next_slot(struct intake *in, struct attrib *a, uint32_t sequence)
{
	struct intake_slot *slot = slot_of(in, sequence);
	uint32_t state = state_of(slot);

	if (state == INTAKE_ANSWERED && claim(slot, INTAKE_ANSWERED, INTAKE_EMPTY))
		return slot;
	if (state != INTAKE_EMPTY && state != INTAKE_ENTERED) {
		pthread_mutex_lock(&in->lock);
		empty(in, a);
		pthread_mutex_unlock(&in->lock);
	}
	if (slot->chained)
		unchain(in, slot);
	return slot;
}

uint32_t intake_query(struct intake *in, struct attrib *a, uint32_t now, const uint8_t *msg,
		      size_t end, const struct attrib_owner *who)
{
	uint32_t sequence = atomic_load_explicit(&in->sequence, memory_order_relaxed) + 1;

	if (!sequence) /* 0 means none; the slots' order does not mind the gap */
		sequence = INTAKE_SLOTS;
	struct intake_slot *slot = next_slot(in, a, sequence);

	slot->sequence = sequence;
	slot->now = now;
	slot->who = *who;
	slot->who.id = dns_id(msg);
	slot->who.ref = (struct attrib_ref){0};
	slot->length = (uint16_t)(end - DNS_HEADER_LEN);
	memcpy(slot->question, msg + DNS_HEADER_LEN, slot->length);
	set_state(slot, INTAKE_PENDING);
	chain(in, slot);
	atomic_store_explicit(&in->sequence, sequence, memory_order_release);
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

/* Bytes that are the query's own question are one, and end where it ends: the answer needs no reading for it. */
static bool is_answer_to(const struct intake_slot *slot, const uint8_t *msg, size_t have,
			 const struct attrib_owner *who)
{
	return slot->who.id == dns_id(msg) && have >= DNS_HEADER_LEN + (size_t)slot->length &&
	       same_client(&slot->who, who) &&
	       same_question(slot->question, msg + DNS_HEADER_LEN, slot->length);
}

/* Perhaps several: a client that asked again has one query, which one answer ends. The newest come first. */
struct intake_found intake_answer(struct intake *in, const uint8_t *msg, size_t have,
				  const struct attrib_owner *who)
{
	struct intake_found found = {.pending = false};

	if (!dns_is_standard(msg, have))
		return found;
	for (uint16_t *at = bucket_of(in, dns_id(msg), who); *at;) {
		struct intake_slot *slot = &in->slot[*at - 1];
		bool entered = state_of(slot) == INTAKE_ENTERED;

		if (!is_answer_to(slot, msg, have, who)) {
			at = &slot->next;
			continue;
		}
		if (entered && !found.entered.index)
			found.entered = slot->who.ref;
		else if (!entered && claim(slot, INTAKE_PENDING, INTAKE_ANSWERED))
			found.pending = true;
		else if (!entered)
			found.moving = true;
		*at = slot->next;
		slot->chained = false;
	}
	return found;
}

bool intake_owner(struct intake *in, uint32_t sequence, struct attrib_owner *who)
{
	const struct intake_slot *slot = slot_of(in, sequence);
	bool found = sequence && state_of(slot) == INTAKE_ENTERED && slot->sequence == sequence &&
		     slot->who.ref.index;

	if (found)
		*who = slot->who;
	return found;
}
