// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A query of one thread's intake, charged by another (BIND's: its clients' threads do not send). It stays where it is, and
 * need not go through the table; all that happens to it is done under the intake's lock, until its answer is fed.
 */
#include "intake_slot.h"

static bool has_key(const struct intake *in, uint32_t sequence, uint32_t key)
{
	return atomic_load_explicit(&in->key[INTAKE_BY_QUESTION][intake_number(sequence)],
				    memory_order_relaxed) == key;
}

/* From this one on there may be some that are pending. */
static uint32_t first_pending(struct intake *in, uint32_t newest)
{
	uint32_t none = atomic_load_explicit(&in->none_to_lend, memory_order_relaxed);

	return intake_skip(in, none, newest) + 1;
}

bool intake_may_lend(struct intake *in, const uint8_t *msg, size_t end)
{
	uint32_t key = intake_key_question(msg, end);
	uint32_t newest = atomic_load_explicit(&in->sequence, memory_order_acquire);

	for (uint32_t i = first_pending(in, newest); (int32_t)(newest - i) >= 0; i++)
		if (has_key(in, i, key) && intake_may_be_pending(intake_slot_of(in, i)))
			return true;
	return false;
}

/*
 * While it is being moved its owner leaves it alone: only then can it be looked at. Another number: a newer query has its
 * slot, and there may be older ones before that.
 */
static bool lend(struct intake *in, uint32_t sequence, uint32_t now,
		 const struct intake_sending *sending)
{
	struct intake_slot *slot = intake_slot_of(in, sequence);

	if (!intake_claim(slot, INTAKE_PENDING, INTAKE_MOVING))
		return false;
	if (slot->sequence != sequence || !intake_asks(slot, now, sending->msg, sending->end)) {
		intake_set_state(slot, INTAKE_PENDING);
		return false;
	}
	slot->lent = true;
	slot->borrowed = (struct intake_upstream){
		.socket = sending->socket,
		.asked = now,
		.mark = slot->who.mark,
		.id = dns_id(sending->msg),
		.state = slot->who.state,
		.how = slot->who.how,
	};
	atomic_store_explicit(&in->key[INTAKE_BY_SOCKET][intake_number(sequence)],
			      intake_key_socket(slot->borrowed.id, sending->socket),
			      memory_order_relaxed);
	intake_set_state(slot, INTAKE_LENT);
	return true;
}

uint32_t intake_lend(struct intake *in, const struct attrib *a, uint32_t now,
		     const struct intake_sending *sending, struct attrib_owner *who)
{
	uint32_t key = intake_key_question(sending->msg, sending->end), lent = 0;

	pthread_mutex_lock(&in->lock);
	/* who has gone from here into the table is counted there by now, and nobody goes meanwhile */
	bool others = attrib_may_be_asked(a, key);
	uint32_t newest = atomic_load_explicit(&in->sequence, memory_order_acquire);
	uint32_t first = first_pending(in, newest);

	/* what was skipped was asked or is over: nobody else is moving any, and so it is skipped once */
	atomic_store_explicit(&in->none_to_lend, first - 1, memory_order_relaxed);
	for (uint32_t i = first; !others && !lent && (int32_t)(newest - i) >= 0; i++) {
		if (!has_key(in, i, key) || !lend(in, i, now, sending))
			continue;
		*who = intake_charged(intake_slot_of(in, i));
		lent = i;
		intake_note_newest(&in->lent, newest, lent);
	}
	pthread_mutex_unlock(&in->lock);
	return lent;
}

/* That very query, while it is lent. The lock is held. */
static struct intake_slot *find_lent(struct intake *in, uint32_t sequence)
{
	struct intake_slot *slot = intake_slot_of(in, sequence);

	return intake_state(slot) == INTAKE_LENT && slot->sequence == sequence ? slot : NULL;
}

void intake_lent_mark(struct intake *in, uint32_t sequence, const struct attrib_owner *who)
{
	pthread_mutex_lock(&in->lock);
	struct intake_slot *slot = find_lent(in, sequence);

	if (slot) {
		slot->borrowed.mark = who->mark;
		slot->borrowed.state = who->state;
		slot->borrowed.how = who->how;
	}
	pthread_mutex_unlock(&in->lock);
}

static enum intake_repeat repeated(const struct intake_slot *slot, uint32_t now, uint32_t sequence,
				   const struct intake_sending *sending, struct attrib_owner *who)
{
	uint32_t state = intake_state(slot);

	/* where it has gone into the table, that knows as what it was sent */
	if (!slot->lent || slot->sequence != sequence)
		return INTAKE_NO_REPEAT;
	if (state == INTAKE_ENTERED)
		return INTAKE_REPEAT_IN_TABLE;
	if (!intake_sent_as(slot, sending->socket, sending->msg, sending->end))
		return INTAKE_NO_REPEAT;
	if (state != INTAKE_LENT || !intake_may_wait(slot, now))
		return INTAKE_REPEAT_IN_TABLE;
	*who = intake_charged(slot);
	return INTAKE_REPEAT;
}

enum intake_repeat intake_lent_repeated(struct intake *in, uint32_t now, uint32_t sequence,
					const struct intake_sending *sending,
					struct attrib_owner *who)
{
	pthread_mutex_lock(&in->lock);
	enum intake_repeat repeat =
		repeated(intake_slot_of(in, sequence), now, sequence, sending, who);

	pthread_mutex_unlock(&in->lock);
	return repeat;
}

bool intake_lent_fed(struct intake *in, struct attrib *a, uint32_t now, uint32_t sequence,
		     struct attrib_socket socket, const uint8_t *msg, size_t have)
{
	size_t end = 0;

	if (!dns_is_standard(msg, have))
		return false;
	pthread_mutex_lock(&in->lock);
	struct intake_slot *slot = find_lent(in, sequence);

	if (slot && intake_sent_as(slot, socket, msg, have)) {
		slot->borrowed.fed = now;
		if (intake_is_last_word(slot, msg, have)) {
			end = intake_question_end(slot);
			intake_set_state(slot, INTAKE_FED);
		} else {
			intake_move(a, slot, now);
		}
	}
	pthread_mutex_unlock(&in->lock);
	if (!end)
		return false;
	attrib_final(a, now, msg, end);
	intake_not_crossed(in);
	return true;
}

bool intake_lent_owner(struct intake *in, uint32_t sequence, struct attrib_owner *who)
{
	pthread_mutex_lock(&in->lock);
	bool known = intake_slot_of(in, sequence)->lent && intake_owner(in, sequence, who);

	pthread_mutex_unlock(&in->lock);
	return known;
}
