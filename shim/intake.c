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

static void set_pending(struct intake *in, struct intake_slot *slot, bool pending)
{
	uint32_t now = atomic_load_explicit(&in->pending, memory_order_relaxed);

	slot->pending = pending;
	atomic_store_explicit(&in->pending, pending ? now + 1 : now - 1, memory_order_release);
}

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

static void enter_table(struct intake *in, struct attrib *a, struct intake_slot *slot)
{
	uint8_t msg[DNS_HEAD_MAX];
	struct dns_message parsed;

	if (dns_parse(attrib_key(a), msg, rebuild(slot, msg), &parsed))
		attrib_client_query(a, slot->now, &parsed, &slot->who, NULL);
	set_pending(in, slot, false);
}

/* From the oldest on: who came first is first in the table. */
static void empty(struct intake *in, struct attrib *a)
{
	for (uint32_t i = INTAKE_SLOTS; i-- > 0;) {
		struct intake_slot *slot = slot_of(in, in->sequence - i);

		if (slot->pending)
			enter_table(in, a, slot);
	}
}

void intake_empty(struct intake *in, struct attrib *a)
{
	if (!atomic_load_explicit(&in->pending, memory_order_acquire))
		return;
	pthread_mutex_lock(&in->lock);
	empty(in, a);
	pthread_mutex_unlock(&in->lock);
}

uint32_t intake_query(struct intake *in, struct attrib *a, uint32_t now, const uint8_t *msg,
		      size_t end, const struct attrib_owner *who)
{
	pthread_mutex_lock(&in->lock);
	struct intake_slot *slot = slot_of(in, in->sequence + 1);

	if (slot->pending)
		empty(in, a);
	if (!++in->sequence) /* 0 means none; the slots' order does not mind the gap */
		in->sequence = INTAKE_SLOTS;
	slot = slot_of(in, in->sequence);
	slot->sequence = in->sequence;
	slot->now = now;
	slot->who = *who;
	slot->who.id = (uint16_t)(msg[0] << 8 | msg[1]);
	slot->who.ref = (struct attrib_ref){0};
	slot->length = (uint16_t)(end - DNS_HEADER_LEN);
	memcpy(slot->question, msg + DNS_HEADER_LEN, slot->length);
	set_pending(in, slot, true);
	pthread_mutex_unlock(&in->lock);
	return slot->sequence;
}

/* As the table tells clients apart (client_key in attrib.c). */
static bool same_client(const struct attrib_owner *a, const struct attrib_owner *b)
{
	if (a->session || b->session)
		return a->session == b->session;
	if (!a->flow.client.family)
		return !b->flow.client.family && a->fd == b->fd && a->fd_gen == b->fd_gen;
	return a->flow.proto == b->flow.proto &&
	       memcmp(&a->flow.client, &b->flow.client, sizeof(a->flow.client)) == 0;
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

static bool is_answer_to(const struct intake_slot *slot, const uint8_t *msg, size_t end,
			 const struct attrib_owner *who)
{
	return slot->who.id == (msg[0] << 8 | msg[1]) && slot->length == end - DNS_HEADER_LEN &&
	       same_client(&slot->who, who) &&
	       same_question(slot->question, msg + DNS_HEADER_LEN, slot->length);
}

/* Perhaps several: a client that asked again has one query, which one answer ends. */
bool intake_answer(struct intake *in, const uint8_t *msg, size_t end,
		   const struct attrib_owner *who)
{
	bool found = false;

	if (!atomic_load_explicit(&in->pending, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&in->lock);
	uint32_t left = atomic_load_explicit(&in->pending, memory_order_relaxed);

	for (uint32_t i = 0; i < INTAKE_SLOTS && left; i++) {
		struct intake_slot *slot = slot_of(in, in->sequence - i);

		if (!slot->pending)
			continue;
		left--;
		if (is_answer_to(slot, msg, end, who)) {
			set_pending(in, slot, false);
			found = true;
		}
	}
	pthread_mutex_unlock(&in->lock);
	return found;
}

bool intake_owner(struct intake *in, uint32_t sequence, struct attrib_owner *who)
{
	pthread_mutex_lock(&in->lock);
	struct intake_slot *slot = slot_of(in, sequence);
	bool found = sequence && slot->sequence == sequence && slot->who.ref.index;

	if (found)
		*who = slot->who;
	pthread_mutex_unlock(&in->lock);
	return found;
}
