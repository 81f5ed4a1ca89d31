/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two halves of an intake share: intake.c, the owner's side, and intake_move.c, the way into the table, which any
 * thread may go. Of use to them alone.
 */
#ifndef SHIM_INTAKE_SLOT_H
#define SHIM_INTAKE_SLOT_H

#include "intake.h"

/** The slot's number of a query. */
static inline unsigned intake_number(uint32_t sequence)
{
	return sequence % INTAKE_SLOTS;
}

static inline uint32_t intake_state(const struct intake_slot *slot)
{
	return atomic_load_explicit(&slot->state, memory_order_acquire);
}

static inline void intake_set_state(struct intake_slot *slot, enum intake_state state)
{
	atomic_store_explicit(&slot->state, state, memory_order_release);
}

/** Where its question ends in a message. */
static inline size_t intake_question_end(const struct intake_slot *slot)
{
	return DNS_HEADER_LEN + (size_t)slot->length;
}

/** Is it neither over nor in the table, nor on its way there? */
static inline bool intake_is_live(uint32_t state)
{
	return state == INTAKE_PENDING || state == INTAKE_ASKED || state == INTAKE_FED;
}

/** Whoever turns a slot's state first has it. */
static inline bool intake_claim(struct intake_slot *slot, enum intake_state from,
				enum intake_state to)
{
	uint32_t state = from;

	return atomic_compare_exchange_strong_explicit(&slot->state, &state, to,
						       memory_order_acq_rel, memory_order_acquire);
}

/** Who asked, with the mark as it was found out when an upstream query left. */
struct attrib_owner intake_charged(const struct intake_slot *slot);

/** Moves one that is not over into the table, unless it is there or over by now. The lock is held. */
void intake_move(struct attrib *a, struct intake_slot *slot, uint32_t now);

#endif
