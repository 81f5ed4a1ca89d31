/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Client queries on their way into attribution. Most never need its shared table: they are answered from the resolver's
 * cache, by the thread that received them, a few microseconds later; or a forwarder's thread sends them on as they came,
 * and has the answer and gives it, with nobody else concerned. Each thread keeps its newest queries in an intake of its
 * own, without lock or hash, and settles there what it can.
 *
 *     client query      comes in                               pending
 *     upstream query    the same question: it is charged       asked
 *     upstream answer   final, and leads nowhere               fed
 *     client answer     it waits no longer                     answered, or done where it was fed
 *
 * Where another thread sends the upstream query and has its answer, it may do the same to a query that it finds here: that
 * one is lent to it (intake_lend.c).
 *
 * Whatever else happens is for the table: an upstream query on a connection, one that no pending query of the thread's
 * explains, an answer that names something, or one to a query that another thread received and has not lent. First what
 * it may concern is moved there out of all threads' intakes, each query with what happened to it so far, as if the table
 * had been told at once: who asked the same, whose upstream query has its answer, or which client is answered; and where
 * that does not explain an upstream query, everything, so that attribution sees all that the program can have acted upon.
 * What is over stays where it is until its slot is wanted. Where no waiting client explains an upstream query, it may be the
 * refresh of what the cache has just answered (a prefetch, or after a stale answer), or be sent once more after its answer:
 * then these are recalled, and enter the table too. Pure but for the lock: memory, time and events are given to it.
 *
 * The thread that owns an intake fills its slots and publishes each by its state; from then on the slot is whose who
 * first turns that state, the owner with the next event or another thread that empties the intake. Those take turns by a
 * lock, which the owner hardly ever needs.
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
	 * What has not ended when its slot is wanted goes into the table. BIND takes some hundred queries, twenty a call,
	 * before the first of their answers leaves.
	 */
	INTAKE_SLOTS = 256,
	INTAKE_QUESTION_MAX = DNS_NAME_MAX + 4 /* name, type and class */
};

/* What a query is found by: numbers that differ where what they stand for does not, mostly. */
enum intake_key {
	INTAKE_BY_CLIENT, /* and its ID: intake_key_client */
	INTAKE_BY_SOCKET, /* of the upstream query, and its ID: intake_key_socket */
	INTAKE_CHAINS,	  /* by these its owner finds it in a chain, while that is of use */
	INTAKE_BY_QUESTION = INTAKE_CHAINS, /* intake_key_question */
	INTAKE_KEYS
};

enum intake_state {
	INTAKE_EMPTY,	 /* no query, or one that was recalled, or given up */
	INTAKE_PENDING,	 /* nothing has happened to it */
	INTAKE_ASKED,	 /* an upstream query left for it */
	INTAKE_FED,	 /* ... and had its answer */
	INTAKE_ANSWERED, /* from pending, unless it is recalled */
	INTAKE_DONE,	 /* from fed, likewise */
	INTAKE_LENT,	 /* as asked, but another thread sent it: turned under the lock alone */
	INTAKE_MOVING,	 /* on its way into the table, or just being lent */
	INTAKE_ENTERED,	 /* there: who has its ref */
};

/* The upstream query that left for it. The owner's, and from INTAKE_ASKED on of who has the slot. */
struct intake_upstream {
	struct attrib_socket socket;
	uint32_t asked, fed; /* when, ms */
	uint32_t mark;	     /* the client's, as it was found out */
	uint16_t id;
	uint8_t state, how; /* of the mark: enum mark_state, enum mark_how */
};

/* Where it lies in the table, once it is there. */
struct intake_entered {
	struct attrib_ref ref;
	uint32_t asked;
	uint64_t question;
	uint32_t mark;
	uint8_t state, how; /* of the mark */
};

/* What most queries touch comes first. */
struct intake_slot {
	_Alignas(64) _Atomic uint32_t state; /* enum intake_state */
	/* the owner's: is it in its chain, and what is behind it there: a slot's number plus one; 0: nothing */
	bool chained[INTAKE_CHAINS];
	bool lent; /* the upstream query is `borrowed`; written by who lends it, before that shows */
	uint16_t next[INTAKE_CHAINS];
	uint32_t sequence; /* which query of this intake it holds; 0: none yet */
	uint32_t now;
	uint16_t length;
	struct attrib_owner who; /* as it came; nobody changes it */
	struct intake_upstream upstream;
	uint8_t question[INTAKE_QUESTION_MAX];
	union {
		struct intake_upstream borrowed; /* while it is lent, or fed */
		struct intake_entered entered;	 /* of who moves it, once it is in the table */
	};
};

struct intake {
	struct intake_slot slot[INTAKE_SLOTS];
	pthread_mutex_t lock;
	/* written by the owner alone: */
	_Atomic uint32_t sequence; /* of the newest query */
	_Atomic uint32_t over;	   /* up to this one all are over, or in the table */
	_Atomic uint32_t asked;	   /* the newest for which an upstream query left */
	_Atomic uint32_t key[INTAKE_KEYS][INTAKE_SLOTS]; /* of each slot */
	/* the owner's: */
	uint32_t not_pending;			      /* up to this one none is */
	uint16_t bucket[INTAKE_CHAINS][INTAKE_SLOTS]; /* where chains begin, as next */
	/* written under the lock: */
	_Atomic uint32_t emptied;      /* up to this one all have left */
	_Atomic uint32_t recalled;     /* up to this one all that is over, too */
	_Atomic uint32_t lent;	       /* the newest that was lent */
	_Atomic uint32_t none_to_lend; /* up to this one none is pending */
	/* so many in a row were asked here, and answered by other threads; a hint, which whoever writes last may change */
	_Atomic uint32_t crossed;
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

/**
 * Is it of use to charge queries in here, or is all that follows done by other threads, which find them in the table
 * sooner (dnsdist's)? The owner's to call.
 */
bool intake_settles(const struct intake *in);

/**
 * An upstream query is about to leave: does a query in here ask the very same, for which nothing has left? Only a
 * forwarder may be asked (attrib_forwards). The owner's to call.
 *
 * @param newest    the number of the turn's newest message, which comes before others; 0: it is none of these
 * @param msg, end  its bytes, up to the end of the question
 * @param who       filled in: who asks
 * @return its number; 0: none does, and the table is to be asked
 */
uint32_t intake_find(struct intake *in, uint32_t now, uint32_t newest, const uint8_t *msg,
		     size_t end, struct attrib_owner *who);

/* What an upstream query repeats. */
enum intake_repeat { INTAKE_NO_REPEAT, INTAKE_REPEAT, INTAKE_REPEAT_IN_TABLE };

/**
 * Did the very same upstream query leave before, by this socket with this ID, and this thread has seen no answer? The
 * owner's to call.
 *
 * @param who  filled in where it is one that was charged in here: by whom it was
 */
enum intake_repeat intake_repeated(struct intake *in, uint32_t now, struct attrib_socket socket,
				   const uint8_t *msg, size_t end, struct attrib_owner *who);

/**
 * The upstream query is charged to the query of that number, which intake_find gave. The owner's to call.
 *
 * @param who  from intake_find, with its mark as it was found out since
 * @return false where another thread moved it into the table meanwhile: then that is to be asked
 */
bool intake_asked(struct intake *in, uint32_t now, uint32_t sequence, uint16_t id,
		  struct attrib_socket socket, const struct attrib_owner *who);

/**
 * An upstream's answer came in: is it to a query that was charged here, and final, and leads nowhere? Else it goes into the
 * table, which is to be told of the answer. The owner's to call.
 *
 * @param msg, have  the whole message, as far as it is there
 * @return the number of the client's query; 0: none, or it is in the table
 */
uint32_t intake_fed(struct intake *in, struct attrib *a, uint32_t now, struct attrib_socket socket,
		    const uint8_t *msg, size_t have);

/* An upstream query on its way: its bytes, up to the end of the question, and by which socket it leaves. */
struct intake_sending {
	struct attrib_socket socket;
	const uint8_t *msg;
	size_t end;
};

/** Might there be one that asks this, to be lent? False: certainly not. Any thread's to call, as all of these are. */
bool intake_may_lend(struct intake *in, const uint8_t *msg, size_t end);

/**
 * An upstream query is about to leave, by another thread than the owner: the oldest that asks the very same, and for which
 * nothing has left, is lent to it. Only a forwarder may be asked (attrib_forwards).
 *
 * @param who  filled in: who asks
 * @return its number; 0: there is none, or the table may have one that comes first
 */
uint32_t intake_lend(struct intake *in, const struct attrib *a, uint32_t now,
		     const struct intake_sending *sending, struct attrib_owner *who);

/** The mark of who asks, as it was found out since. */
void intake_lent_mark(struct intake *in, uint32_t sequence, const struct attrib_owner *who);

/**
 * Is this the very query that left for that one before, and has had no answer?
 *
 * @param who  filled in where it is lent still: by whom it was
 */
enum intake_repeat intake_lent_repeated(struct intake *in, uint32_t now, uint32_t sequence,
					const struct intake_sending *sending,
					struct attrib_owner *who);

/**
 * An upstream's answer came in: is it to the query that left for that one, and final, and leads nowhere? Else that goes
 * into the table, as with intake_fed.
 */
bool intake_lent_fed(struct intake *in, struct attrib *a, uint32_t now, uint32_t sequence,
		     struct attrib_socket socket, const uint8_t *msg, size_t have);

/** As intake_owner, of one that was lent. */
bool intake_lent_owner(struct intake *in, uint32_t sequence, struct attrib_owner *who);

/* What became of a query that is answered. */
struct intake_found {
	struct attrib_ref entered; /* where the newest of them lies that have gone into the table */
	bool pending;		   /* it was still in here */
	bool moving; /* another thread has one of them just now: it moves it there, or lends it */
};

/**
 * A client is answered: where is its query, and where are those by which it asked the same before? The owner's to call,
 * and answered once. One whose upstream query has no answer yet goes into the table now, for that may come.
 *
 * @param msg, have  the answer, as far as it is there
 * @param who  the client: session, flow.client, flow.proto, fd, fd_gen
 */
struct intake_found intake_answer(struct intake *in, struct attrib *a, const uint8_t *msg,
				  size_t have, const struct attrib_owner *who);

/** Is there any for which an upstream query left, and which is not over yet? Perhaps; false: certainly none. */
bool intake_has_charged(const struct intake *in);

/** Moves what is not over into the table. When it returns, all that was published before the call is there. */
void intake_empty(struct intake *in, struct attrib *a, uint32_t now);

/**
 * The same of those with that key alone.
 *
 * @param crossing  it is another thread that wants them than their owner
 */
void intake_move_those(struct intake *in, struct attrib *a, uint32_t now, enum intake_key by,
		       uint32_t key, bool crossing);

/** who: as for intake_answer. */
static inline uint32_t intake_key_client(uint16_t id, const struct attrib_owner *who)
{
	return attrib_asker(id, who);
}

/** msg, end: up to the end of the question (dns_question_end). */
static inline uint32_t intake_key_question(const uint8_t *msg, size_t end)
{
	return dns_question_key(msg + DNS_HEADER_LEN, end - DNS_HEADER_LEN);
}

static inline uint32_t intake_key_socket(uint16_t id, struct attrib_socket socket)
{
	return (((uint32_t)socket.fd << 8) + socket.gen) * 0x9e3779b1U >> 12 ^ id;
}

/** Moves what was over a moment ago into the table, as such. When it returns, all that was is there. */
void intake_recall(struct intake *in, struct attrib *a, uint32_t now);

/** The owner of the query of that number, once it is in the table; false where it is not, or long gone. The owner's to
 * call. */
bool intake_owner(const struct intake *in, uint32_t sequence, struct attrib_owner *who);

#endif
