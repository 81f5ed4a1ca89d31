/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The intakes (intake.h) of all threads: who has which, and emptying them all. */
#ifndef SHIM_INTAKES_H
#define SHIM_INTAKES_H

#include "fdtab.h"
#include "intake.h"
#include "thread.h"

/** Gives the thread an intake of its own; NULL where there is no memory or there are too many threads. */
struct intake *intakes_make(struct thread *t);

/** The thread's own, made on first use; NULL as above. */
static inline struct intake *intakes_own(struct thread *t)
{
	return t->intake ? t->intake : intakes_make(t);
}

/**
 * A client's query came in by this socket, and this thread has it. A query that is sent once more comes to the same socket
 * (socket(7), SO_REUSEPORT, as long as no program of the kernel's chooses), so it can only be another thread's where threads
 * share one.
 */
void intakes_read(struct fd_state *st, const struct thread *t);

static inline void intakes_note_reader(struct fd_state *st, const struct thread *t)
{
	if (atomic_load_explicit(&st->reader, memory_order_relaxed) != t->intake_index + 1)
		intakes_read(st, t);
}

/* A query of another thread's intake, which was lent (intake_lend). */
struct intakes_lent {
	struct intake *in; /* NULL: there is none */
	uint32_t query;	   /* its number there */
};

/**
 * An upstream query is about to leave, the first of its socket: does exactly one other thread's intake have a query that
 * asks the very same? Then the oldest of those is lent. Where several do, or the table may have one, that knows who was
 * first.
 *
 * @param own  the calling thread's; NULL: none
 * @param who  filled in: who asks
 */
struct intakes_lent intakes_lend(const struct attrib *a, const struct intake *own, uint32_t now,
				 const struct intake_sending *sending, struct attrib_owner *who);

/** For whom the query was that left by this socket first, where that was lent. */
struct intakes_lent intakes_lent_by(struct attrib_socket socket);

/** Do threads share a socket that clients send to? */
bool intakes_share(void);

/** Is there any in whatever intake for which an upstream query left, and which is not over? Perhaps; false: there is none. */
bool intakes_have_charged(void);

/** Moves what is not over anywhere into the table. */
void intakes_empty(struct attrib *a, uint32_t now);

/**
 * The same of those with that key alone.
 *
 * @param own  the calling thread's; NULL: none
 */
void intakes_move_those(struct attrib *a, const struct intake *own, uint32_t now,
			enum intake_key by, uint32_t key);

/**
 * Moves what was over a moment ago anywhere into the table, as such.
 *
 * @param own  the calling thread's, which comes last, as the likeliest; NULL: none
 */
void intakes_recall(struct attrib *a, struct intake *own, uint32_t now);

/** The thread ends: its intake is emptied and goes to the next thread that wants one. */
void intakes_thread_ends(struct thread *t);

/** In a child after fork: the other threads' are nobody's any more. */
void intakes_after_fork(struct thread *t);

#endif
