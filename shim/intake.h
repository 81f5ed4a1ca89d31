/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Client queries on their way into attribution. Most are answered from the resolver's cache, by the thread that
 * received them, a few microseconds later: those never enter the shared table, and cost no hashing and no lock. Each
 * thread keeps its newest queries in an intake of its own; an answer takes its query out again. What is left goes into
 * the table when an upstream query is about to be decided, in whatever thread, or a client is answered whose query is
 * there: before each decision all intakes are emptied, so attribution sees every query that the program can have acted
 * upon. Answered ones stay where they are until their slot is wanted. Where no waiting client explains an upstream query,
 * it may be the refresh of what the cache has just answered (a prefetch, or after a stale answer): then they are recalled,
 * and enter the table as answered. Pure but for the lock: memory, time and events are given to it.
 *
 * The thread that owns an intake fills its slots and publishes each by its state; from then on the slot is whose who
 * first turns that state, the owner with its answer or another thread that empties the intake. Those take turns by a
 * lock, which the owner never needs.
 */
#ifndef SHIM_INTAKE_H
#define SHIM_INTAKE_H

#include "attrib.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	/*
	 * A full intake is emptied into the table. BIND takes some hundred queries, twenty a call, before the first of
	 * their answers leaves.
	 */
	INTAKE_SLOTS = 256,
	INTAKE_QUESTION_MAX = DNS_NAME_MAX + 4 /* name, type and class */
};

enum intake_state {
	INTAKE_EMPTY,	 /* no query, or one that was recalled */
	INTAKE_PENDING,	 /* neither answered nor in the table */
	INTAKE_ANSWERED, /* and not in the table, unless it is recalled */
	INTAKE_MOVING,	 /* on its way there */
	INTAKE_ENTERED,	 /* in the table: who has its ref */
};

struct intake_slot {
	_Atomic uint32_t state; /* enum intake_state */
	uint16_t
		next; /* the owner's: in the chain of its bucket, a slot's number plus one; 0: none */
	bool chained;	   /* the owner's: it is in its chain, for its answer may be yet to come */
	uint32_t sequence; /* which query of this intake it holds; 0: none yet */
	uint32_t now;
	uint16_t length;
	struct attrib_owner who;
	uint8_t question[INTAKE_QUESTION_MAX];
};

struct intake {
	_Atomic uint32_t sequence;     /* of the newest query; written by the owner alone */
	uint16_t bucket[INTAKE_SLOTS]; /* the owner's: what has no answer yet, by client and ID */
	_Atomic uint32_t emptied;      /* up to this one all have left; written under the lock */
	_Atomic uint32_t recalled;     /* up to this one all that were answered, too; likewise */
	pthread_mutex_t lock;
	struct intake_slot slot[INTAKE_SLOTS];
};

/** Makes an intake in zeroed memory. */
void intake_init(struct intake *in);

/**
 * A client's query came in. The owner's to call.
 *
 * @param msg, end  its bytes, up to the end of the question (dns_question_end)
 * @return its number in this intake, for intake_owner
 */
uint32_t intake_query(struct intake *in, struct attrib *a, uint32_t now, const uint8_t *msg,
		      size_t end, const struct attrib_owner *who);

/* What became of a query that is answered. */
struct intake_found {
	struct attrib_ref entered; /* where the newest of them lies that have gone into the table */
	bool pending;		   /* it was still in here */
	bool moving;		   /* another thread is moving one of them there just now */
};

/**
 * A client is answered: where is its query, and where are those by which it asked the same before? The owner's to call,
 * and answered once.
 *
 * @param msg, have  the answer, as far as it is there
 * @param who  the client: session, flow.client, flow.proto, fd, fd_gen
 */
struct intake_found intake_answer(struct intake *in, const uint8_t *msg, size_t have,
				  const struct attrib_owner *who);

/** Moves what is pending into the table. When it returns, all that was published before the call is there. */
void intake_empty(struct intake *in, struct attrib *a);

/** Moves what was answered a moment ago into the table, as answered. When it returns, all that was is there. */
void intake_recall(struct intake *in, struct attrib *a, uint32_t now);

/** The owner of the query of that number, once it is in the table; false where it is not, or long gone. The owner's to
 * call. */
bool intake_owner(struct intake *in, uint32_t sequence, struct attrib_owner *who);

#endif
