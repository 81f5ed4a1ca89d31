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

static inline struct intake_slot *intake_slot_of(struct intake *in, uint32_t sequence)
{
	return &in->slot[intake_number(sequence)];
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

/** Is it pending, or may be again: it is only being looked at, to be lent? */
static inline bool intake_may_be_pending(const struct intake_slot *slot)
{
	uint32_t state = intake_state(slot);

	return state == INTAKE_PENDING || state == INTAKE_MOVING;
}

/** Up to which one none is pending, as that was known, or further by now. What is skipped so was asked or is over. */
static inline uint32_t intake_skip(struct intake *in, uint32_t none, uint32_t newest)
{
	if (newest - none > INTAKE_SLOTS)
		none = newest - INTAKE_SLOTS;
	while (none != newest && !intake_may_be_pending(intake_slot_of(in, none + 1)))
		none++;
	return none;
}

/** One was settled by who charged it, and not by another thread. */
static inline void intake_not_crossed(struct intake *in)
{
	if (atomic_load_explicit(&in->crossed, memory_order_relaxed))
		atomic_store_explicit(&in->crossed, 0, memory_order_relaxed);
}

/** Is it neither over nor in the table, nor on its way there? */
static inline bool intake_is_live(uint32_t state)
{
	return state == INTAKE_PENDING || state == INTAKE_ASKED || state == INTAKE_FED ||
	       state == INTAKE_LENT;
}

/** Whoever turns a slot's state first has it. */
static inline bool intake_claim(struct intake_slot *slot, enum intake_state from,
				enum intake_state to)
{
	uint32_t state = from;

	return atomic_compare_exchange_strong_explicit(&slot->state, &state, to,
						       memory_order_acq_rel, memory_order_acquire);
}

/** The newest of a kind: this one, unless one that is newer was noted before. */
static inline void intake_note_newest(_Atomic uint32_t *of_its_kind, uint32_t newest,
				      uint32_t sequence)
{
	uint32_t before = atomic_load_explicit(of_its_kind, memory_order_relaxed);

	if (!before || newest - sequence < newest - before)
		atomic_store_explicit(of_its_kind, sequence, memory_order_release);
}

/** The upstream query that left for it. */
static inline const struct intake_upstream *intake_upstream_of(const struct intake_slot *slot)
{
	return slot->lent ? &slot->borrowed : &slot->upstream;
}

/** May its client wait still, or has it given up by now? */
static inline bool intake_may_wait(const struct intake_slot *slot, uint32_t now)
{
	return (int32_t)(now - slot->now) < ATTRIB_WAIT_MS;
}

/** Is this its question, and does its client wait for it still? */
bool intake_asks(const struct intake_slot *slot, uint32_t now, const uint8_t *msg, size_t end);

/** Is this its upstream query, or the answer to that: the same ID, socket and question? */
bool intake_sent_as(const struct intake_slot *slot, struct attrib_socket socket, const uint8_t *msg,
		    size_t have);

/** Is the answer to its question final, and leads nowhere? */
bool intake_is_last_word(const struct intake_slot *slot, const uint8_t *msg, size_t have);

/** Who asked, with the mark as it was found out when an upstream query left. */
struct attrib_owner intake_charged(const struct intake_slot *slot);

/** Moves one that is not over into the table, unless it is there or over by now. The lock is held. */
void intake_move(struct attrib *a, struct intake_slot *slot, uint32_t now);

#endif
