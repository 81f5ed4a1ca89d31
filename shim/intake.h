/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Client queries on their way into attribution. Most are answered from the resolver's cache, by the thread that
 * received them, a few microseconds later: those never enter the shared table, and cost no hashing. Each thread keeps
 * its newest queries in an intake of its own; an answer takes its query out again. What is left goes into the table
 * when an upstream query is about to be decided, in whatever thread: before each decision all intakes are emptied, so
 * attribution sees every query that the program can have acted upon. Pure but for the locks: memory, time and events
 * are given to it.
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
	INTAKE_SLOTS = 32,		       /* a full intake is emptied into the table */
	INTAKE_QUESTION_MAX = DNS_NAME_MAX + 4 /* name, type and class */
};

struct intake_slot {
	uint32_t sequence; /* which query of this intake it holds; 0: none yet */
	uint32_t now;
	bool pending; /* neither answered nor in the table */
	uint16_t length;
	struct attrib_owner who; /* with its ref once it is in the table */
	uint8_t question[INTAKE_QUESTION_MAX];
};

struct intake {
	pthread_mutex_t lock;
	_Atomic uint32_t pending; /* how many slots are; read without the lock */
	uint32_t sequence;	  /* of the newest query */
	struct intake_slot slot[INTAKE_SLOTS];
};

/** Makes an intake in zeroed memory. */
void intake_init(struct intake *in);

/**
 * A client's query came in.
 *
 * @param msg, end  its bytes, up to the end of the question (dns_question_end)
 * @return its number in this intake, for intake_owner
 */
uint32_t intake_query(struct intake *in, struct attrib *a, uint32_t now, const uint8_t *msg,
		      size_t end, const struct attrib_owner *who);

/**
 * A client was answered: was its query still in here? Then that was all.
 *
 * @param who  the client: flow.client, flow.proto, fd
 */
bool intake_answer(struct intake *in, const uint8_t *msg, size_t end,
		   const struct attrib_owner *who);

/** Moves what is pending into the table. */
void intake_empty(struct intake *in, struct attrib *a);

/** The owner of the query of that number, once it is in the table; false where it is not, or long gone. */
bool intake_owner(struct intake *in, uint32_t sequence, struct attrib_owner *who);

#endif
