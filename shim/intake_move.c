// SPDX-License-Identifier: GPL-2.0-or-later
/* From an intake into the table: each query with what happened to it so far, as if the table had been told at once. */
#include "intake_slot.h"

#include <string.h>

/* How many of the newest there are behind that one: no more than there is room for. */
static uint32_t behind(uint32_t newest, uint32_t sequence)
{
	uint32_t since = newest - sequence;

	return since < INTAKE_SLOTS ? since : INTAKE_SLOTS;
}

/* As the message came: an ID, one question, and nothing else that attribution wants. */
static size_t rebuild(const struct intake_slot *slot, uint8_t msg[DNS_HEAD_MAX])
{
	memset(msg, 0, DNS_HEADER_LEN);
	msg[0] = (uint8_t)(slot->who.id >> 8);
	msg[1] = (uint8_t)slot->who.id;
	msg[5] = 1; /* QDCOUNT */
	memcpy(msg + DNS_HEADER_LEN, slot->question, slot->length);
	return intake_question_end(slot);
}

static bool parse(struct attrib *a, const struct intake_slot *slot, uint8_t msg[DNS_HEAD_MAX],
		  struct dns_message *out)
{
	return dns_parse(attrib_key(a), msg, rebuild(slot, msg), out);
}

struct attrib_owner intake_charged(const struct intake_slot *slot)
{
	const struct intake_upstream *up = intake_upstream_of(slot);
	struct attrib_owner who = slot->who;

	who.ref = (struct attrib_ref){.index = 0};
	who.asked = slot->now;
	who.mark = up->mark;
	who.state = up->state;
	who.how = up->how;
	return who;
}

static void replay_upstream(struct attrib *a, const struct intake_slot *slot, bool fed,
			    const struct dns_message *client, const struct attrib_owner *who)
{
	const struct intake_upstream *up = intake_upstream_of(slot);
	struct dns_message query = *client;

	query.id = up->id;
	attrib_asked(a, up->asked, &query, up->socket, who);
	if (fed)
		attrib_fed(a, up->fed, &query, up->socket);
}

static void enter_table(struct attrib *a, struct intake_slot *slot, enum intake_state was)
{
	bool asked = was == INTAKE_ASKED || was == INTAKE_LENT || was == INTAKE_FED;
	struct attrib_owner who = asked ? intake_charged(slot) : slot->who;
	uint8_t msg[DNS_HEAD_MAX];
	struct dns_message parsed;

	if (parse(a, slot, msg, &parsed)) {
		attrib_client_query(a, slot->now, &parsed, &who, NULL);
		if (asked)
			replay_upstream(a, slot, was == INTAKE_FED, &parsed, &who);
	}
	slot->entered = (struct intake_entered){
		.ref = who.ref,
		.asked = who.asked,
		.question = who.question,
		.mark = who.mark,
		.state = who.state,
		.how = who.how,
	};
	intake_set_state(slot, INTAKE_ENTERED);
}

void intake_move(struct attrib *a, struct intake_slot *slot, uint32_t now)
{
	/* its owner may turn it on meanwhile: from pending to fed in two steps at most */
	for (uint32_t state; intake_is_live(state = intake_state(slot));) {
		if (!intake_claim(slot, state, INTAKE_MOVING))
			continue;
		if ((int32_t)(now - slot->now) < ATTRIB_WAIT_MS)
			enter_table(a, slot, state);
		else
			intake_set_state(slot, INTAKE_EMPTY);
	}
}

/* From the oldest on: who came first is first in the table. What the last one left behind was over. */
void intake_empty(struct intake *in, struct attrib *a, uint32_t now)
{
	uint32_t newest = atomic_load_explicit(&in->sequence, memory_order_acquire);

	if (atomic_load_explicit(&in->emptied, memory_order_acquire) == newest)
		return;
	pthread_mutex_lock(&in->lock);
	newest = atomic_load_explicit(&in->sequence, memory_order_acquire);
	uint32_t left = atomic_load_explicit(&in->emptied, memory_order_relaxed);

	for (uint32_t i = behind(newest, left); i-- > 0;)
		intake_move(a, intake_slot_of(in, newest - i), now);
	atomic_store_explicit(&in->emptied, newest, memory_order_release);
	pthread_mutex_unlock(&in->lock);
}

static bool is_charged(const struct intake_slot *slot)
{
	uint32_t state = intake_state(slot);

	return state == INTAKE_ASKED || state == INTAKE_LENT || state == INTAKE_FED;
}

/* Of the newest, so many have not left yet. */
static uint32_t count_present(const struct intake *in, uint32_t newest)
{
	uint32_t left = behind(newest, atomic_load_explicit(&in->emptied, memory_order_acquire));
	uint32_t live = behind(newest, atomic_load_explicit(&in->over, memory_order_acquire));

	return left < live ? left : live;
}

bool intake_has_charged(const struct intake *in)
{
	uint32_t asked = atomic_load_explicit(&in->asked, memory_order_acquire);
	uint32_t lent = atomic_load_explicit(&in->lent, memory_order_acquire);
	uint32_t newest = atomic_load_explicit(&in->sequence, memory_order_acquire);
	uint32_t present = count_present(in, newest);

	return (asked && behind(newest, asked) < present) ||
	       (lent && behind(newest, lent) < present);
}

void intake_move_those(struct intake *in, struct attrib *a, uint32_t now, enum intake_key by,
		       uint32_t key, bool crossing)
{
	uint32_t newest = atomic_load_explicit(&in->sequence, memory_order_acquire);

	for (uint32_t i = count_present(in, newest); i-- > 0;) {
		unsigned number = intake_number(newest - i);
		struct intake_slot *slot = &in->slot[number];
		uint32_t state = intake_state(slot);

		if (atomic_load_explicit(&in->key[by][number], memory_order_relaxed) != key ||
		    !(intake_is_live(state) || state == INTAKE_MOVING))
			continue;
		/* where another thread is moving it just now, the lock is held until it is there */
		pthread_mutex_lock(&in->lock);
		if (crossing && by != INTAKE_BY_QUESTION && is_charged(slot))
			atomic_fetch_add_explicit(&in->crossed, 1, memory_order_relaxed);
		intake_move(a, slot, now);
		pthread_mutex_unlock(&in->lock);
	}
}

/* ---- what is over ---- */

static void enter_past(struct attrib *a, const struct intake_slot *slot)
{
	struct attrib_owner who = slot->who;
	uint8_t msg[DNS_HEAD_MAX];
	struct dns_message parsed;

	if (parse(a, slot, msg, &parsed))
		attrib_client_past(a, slot->now, &parsed, &who);
}

static void enter_done(struct attrib *a, const struct intake_slot *slot)
{
	const struct intake_upstream *up = intake_upstream_of(slot);
	struct attrib_owner who = intake_charged(slot);
	uint8_t msg[DNS_HEAD_MAX];
	struct dns_message parsed;

	if (!parse(a, slot, msg, &parsed))
		return;
	parsed.id = up->id;
	attrib_done(a, up->fed, &parsed, up->socket, &who);
}

/* Enters it where it was over a moment ago. False: it may be yet. */
static bool recall_slot(struct attrib *a, struct intake_slot *slot, uint32_t now)
{
	uint32_t state = intake_state(slot);

	if (intake_is_live(state))
		return false;
	if ((state != INTAKE_ANSWERED && state != INTAKE_DONE) ||
	    !intake_claim(slot, state, INTAKE_MOVING))
		return true;
	if (state == INTAKE_ANSWERED && (int32_t)(now - slot->now) < ATTRIB_ANSWERED_MS)
		enter_past(a, slot);
	if (state == INTAKE_DONE &&
	    (int32_t)(now - intake_upstream_of(slot)->fed) < ATTRIB_REFRESH_MS)
		enter_done(a, slot);
	intake_set_state(slot, INTAKE_EMPTY);
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
	uint32_t recalled = atomic_load_explicit(&in->recalled, memory_order_relaxed);

	for (uint32_t i = behind(newest, recalled); i-- > 0;) {
		all = recall_slot(a, intake_slot_of(in, newest - i), now) && all;
		if (all)
			atomic_store_explicit(&in->recalled, newest - i, memory_order_release);
	}
	pthread_mutex_unlock(&in->lock);
}
