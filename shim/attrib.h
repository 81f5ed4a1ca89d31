/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attribution: which client caused this upstream query? Events in, decisions out. Pure: no socket, no clock, no
 * allocation; its memory and the time are given to it. Safe for any number of threads; no call blocks on anything
 * but a short critical section of another call.
 *
 * Four events feed it, told apart by a message's QR bit and its direction alone:
 *
 *     client query     received, QR=0    someone waits for this question
 *     upstream query   sent,     QR=0    whose is it?  -> a decision
 *     upstream answer  received, QR=1    what it names next is the same client's
 *     client answer    sent,     QR=1    this one waits no longer
 *
 * Evidence, in the order of its weight (enum attrib_evidence):
 *   repeat    the same question with the same ID on the same socket keeps its owner, while that one waits; or, where
 *             nobody waits for it, for two seconds after its answer
 *   exact     a client waits for the same name and type, or else the same name. Of several: one not yet charged
 *             (the thread's own, else the oldest), else the oldest still waiting
 *   learned   an answer to this client's query named it: CNAME and DNAME targets, name servers; or an answer said
 *             earlier that the name this client waits for is an alias of it
 *   ancestor  a client waits beneath it: minimised names, DS and DNSKEY, delegations. Of several: the thread's own,
 *             else the newest
 *   ancestor  also: it is a name server's address (A or AAAA; NS, DS and DNSKEY on the way there), or what leads to one,
 *             and a client waits beneath a zone that it serves, or for that zone's name, or is led beneath it
 *   learned   or ancestor, also: it was so named for another who has had its answer, and this client asked the same (each
 *             thread of a resolver may ask for its own clients)
 *   answered  the same question, or what it was learned to lead to, where the client has had its answer just now, and
 *             upstream has not had the last word since: prefetches, stale answers, retries. Of several: who was
 *             answered last
 *   answered  also: the address of a server, or what leads to one: some look up more of them than they need, at leisure
 *   answered  also: as exact, learned and ancestor, where the client has had its answer a moment ago, wherever from; but
 *             only while nobody waits for whom nothing has left yet
 *   turn      the thread received exactly one message in its turn, so this query is of its making; only where this
 *             program has been seen to send in the turn in which it received, and never otherwise
 *   none      nobody's: the default mark
 *
 * Structure. All work on a name happens in the shard of its last two labels, where everything beneath them lies
 * together. What lies beneath a top-level domain is in any shard: who asks for that looks at each. So an event takes
 * one lock, or two in turn, and one for each name that it teaches; a decision on what no name says takes a few more, and
 * one on a top-level domain each shard's, a few times; never nested. In a shard, each client query hangs in the lists of a few nodes (question, name, each ancestor), and a list's head or tail is
 * the decision: no event's cost depends on how many clients or names wait.
 */
#ifndef SHIM_ATTRIB_H
#define SHIM_ATTRIB_H

#include "dns.h"
#include "flow.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ATTRIB_CAPACITY_MIN = 1024,
	ATTRIB_CAPACITY_DEFAULT = 8192,
	ATTRIB_CAPACITY_LARGE = 131072, /* from here on, better in huge pages */
	ATTRIB_CAPACITY_MAX = 1048576,

	ATTRIB_WAIT_MS = 30000,	  /* a client that has no answer by then has given up */
	ATTRIB_REFRESH_MS = 2000, /* prefetches and stale refreshes come within it */
	ATTRIB_ANSWERED_MS =
		10000, /* so do their repeats, and what a resolver looks up at leisure */
	ATTRIB_CLIENT_MS = ATTRIB_WAIT_MS + ATTRIB_ANSWERED_MS, /* nobody is an owner for longer */
};

enum attrib_evidence {
	ATTRIB_NONE,
	ATTRIB_REPEAT,
	ATTRIB_EXACT,
	ATTRIB_LEARNED,
	ATTRIB_ANCESTOR,
	ATTRIB_ANSWERED,
	ATTRIB_TURN,
	ATTRIB_EVIDENCES
};

enum mark_state {
	MARK_UNKNOWN, /* not looked up yet */
	MARK_KNOWN,
	MARK_ABSENT, /* looked up, and there is none to be had */
};

/* How a mark became known. */
enum mark_how {
	MARK_HOW_NONE, /* it has not */
	MARK_HOW_CONNTRACK,
	MARK_HOW_PACKET, /* its packet brought it, or its connection's SYN (CONNMARK_SOURCE=packet) */
	MARK_HOW_CONNECTION, /* looked up for an earlier query on the same TCP connection */
};

/* Where a client query lies; becomes invalid by itself when the entry goes. */
struct attrib_ref {
	uint32_t index; /* 0: none */
	uint32_t tag;
	uint8_t shard;
};

static inline bool attrib_same_ref(struct attrib_ref x, struct attrib_ref y)
{
	return x.index == y.index && x.tag == y.tag && x.shard == y.shard;
}

/* A client query as others carry it about: who asked, and its mark as far as it is known. */
struct attrib_owner {
	uint64_t question; /* hash of name and type; set by attrib_client_query, as is: */
	uint32_t asked;	   /* when, ms */
	struct attrib_ref ref;
	struct flow flow;
	uint16_t id;
	uint8_t state;	  /* enum mark_state */
	uint8_t how;	  /* enum mark_how, where state is MARK_KNOWN */
	uint32_t session; /* of a TLS client: what tells its connection from others; 0: no TLS */
	int fd;		  /* the socket that it came in on, and the descriptor's generation */
	uint32_t fd_gen;
	uint32_t mark;
};

/**
 * A client of which no more is known yet than the socket it came in on. (What is not set here the events fill in: all of
 * it at once costs more than the rest of a cached answer.)
 */
static inline void attrib_owner_begin(struct attrib_owner *who, int fd, uint32_t fd_gen,
				      uint8_t proto)
{
	who->flow.client = who->flow.local = (struct endpoint){.family = 0};
	who->flow.proto = proto;
	who->session = 0;
	who->question = 0;
	who->fd = fd;
	who->fd_gen = fd_gen;
	who->mark = 0;
	who->state = MARK_UNKNOWN;
	who->how = MARK_HOW_NONE;
}

/**
 * A number for a client and the ID of its query: by what tells clients apart, as far as it is a number. No secret: who has
 * two clients share a bucket gains that an answer is looked up in vain.
 */
static inline uint32_t attrib_asker(uint16_t id, const struct attrib_owner *who)
{
	uint32_t n = who->session	       ? who->session
		     : who->flow.client.family ? who->flow.client.port
					       : (uint32_t)who->fd;

	return n * 0x9e3779b1U >> 16 ^ id;
}

/* A socket, and which of the many that bore its number. */
struct attrib_socket {
	int fd;
	uint32_t gen;
};

/* What one thread received since its last event wait; messages is zeroed at each. */
struct attrib_turn {
	uint32_t messages;
	bool owned; /* the newest message has an owner */
	/* Truncated answers (TC) in this turn whose question has not gone over TCP yet, and the owner of the latest. */
	uint32_t truncated;
	struct attrib_owner truncated_owner;
	struct attrib_owner owner;
};

struct attrib_decision {
	enum attrib_evidence evidence;
	uint64_t key;		   /* of the upstream query in the table */
	struct attrib_owner owner; /* where evidence is not ATTRIB_NONE */
};

struct attrib;

/** Bytes of memory that a table of that capacity (client queries a shard) needs; 0 where that is more than addresses
 * of 32 bits reach. Only what is used is touched. */
size_t attrib_size(unsigned capacity);

/**
 * Makes a table in zeroed memory of attrib_size(capacity) bytes.
 *
 * @param key  secret: names come from strangers
 */
struct attrib *attrib_init(void *zeroed, unsigned capacity, const struct sip_key *key);

/** The key that names must be hashed with (dns_parse). */
const struct sip_key *attrib_key(const struct attrib *a);

/**
 * A client's query came in. A repeat of one that is waiting already changes nothing.
 *
 * @param now   milliseconds of any monotonic clock
 * @param who   flow, socket, ID, and the mark where it is known; ref is filled in
 * @param turn  the receiving thread's; NULL: none
 */
void attrib_client_query(struct attrib *a, uint32_t now, const struct dns_message *query,
			 struct attrib_owner *who, struct attrib_turn *turn);

/**
 * A client's query came in and was answered, and nothing has been said of it here so far. Nothing changes where the
 * client asks the same again and waits, and nobody else goes where there is no room.
 *
 * @param now  when it came in; others as for attrib_client_query
 */
void attrib_client_past(struct attrib *a, uint32_t now, const struct dns_message *query,
			struct attrib_owner *who);

/**
 * An upstream query is about to leave: whose is it?
 *
 * @param turn  the sending thread's; NULL: none
 */
void attrib_upstream_query(struct attrib *a, uint32_t now, const struct dns_message *query,
			   struct attrib_socket socket, const struct attrib_turn *turn,
			   struct attrib_decision *decision);

/**
 * The same where a client waits for that very question, or the query is a repeat, and so no other evidence matters; else
 * false, and nothing is changed. What it says of turns is for the caller to judge (attrib_turn_foretold).
 */
bool attrib_upstream_asked(struct attrib *a, uint32_t now, const struct dns_message *query,
			   struct attrib_socket socket, const struct attrib_turn *turn,
			   struct attrib_decision *decision);

/**
 * A connection is about to be made, and no question is known yet: is it the owner of the sole
 * message of this turn that causes it? Only where turns can be trusted, or nobody else waits.
 */
bool attrib_connection(const struct attrib *a, uint32_t now, struct attrib_turn *turn,
		       struct attrib_owner *owner);

/**
 * The client that began to wait last, where it still does: for what serves all who wait at once, such as the making of
 * an encrypted connection.
 */
bool attrib_newest(struct attrib *a, uint32_t now, struct attrib_owner *owner);

/** A message came in, and joins the thread's turn. owner: its owner, NULL where it has none. */
void attrib_turn_add(struct attrib_turn *turn, const struct attrib_owner *owner);

/**
 * Keeps a decision on this query for repeats and for the answer, with the owner's mark as it was found out since.
 */
void attrib_commit(struct attrib *a, uint32_t now, const struct dns_message *query,
		   const struct attrib_decision *decision);

/**
 * An upstream's answer came in: what it names is its owner's.
 *
 * @param msg, len  the whole message, as far as it is there
 */
void attrib_upstream_answer(struct attrib *a, uint32_t now, const struct dns_message *answer,
			    const uint8_t *msg, size_t len, struct attrib_socket socket,
			    struct attrib_turn *turn);

/*
 * What is settled outside the table, since most queries are a forwarder's that leave as they came (intake.h). Where it
 * matters to a decision after all, the table is told with these what happened to each; of one thread's, in the order in
 * which they came.
 */

/** Does the program only forward, as far as is known? It was referred nowhere. */
bool attrib_forwards(const struct attrib *a);

/** A turn's sole message was seen to cause an upstream query for its own question, or one for another's. */
void attrib_turn_foretold(struct attrib *a, bool right);

/**
 * An upstream query has left for a client that is in the table by now.
 *
 * @param query  as the client's, with the upstream query's ID
 * @param owner  with its ref and question (attrib_client_query) and its mark
 */
void attrib_asked(struct attrib *a, uint32_t now, const struct dns_message *query,
		  struct attrib_socket socket, const struct attrib_owner *owner);

/** ... and had an answer that was final, and led nowhere (dns_is_final, dns_leads_nowhere). */
void attrib_fed(struct attrib *a, uint32_t now, const struct dns_message *query,
		struct attrib_socket socket);

/**
 * All that is over: the upstream query and the client's had their answers, and are not in the table. It may be sent once
 * more.
 *
 * @param now  when the upstream's answer came
 */
void attrib_done(struct attrib *a, uint32_t now, const struct dns_message *query,
		 struct attrib_socket socket, const struct attrib_owner *owner);

/** Is that an answer to an upstream query that the table knows? */
bool attrib_awaits(struct attrib *a, uint32_t now, const struct dns_message *answer,
		   struct attrib_socket socket);

/**
 * Such an answer has come: its name is no alias (any more), and upstream has had the last word on it.
 *
 * @param msg, end  the answer, up to the end of its question
 */
void attrib_final(struct attrib *a, uint32_t now, const uint8_t *msg, size_t end);

/** A client got its answer: it waits no longer. False: it did not wait any more. */
bool attrib_answered(struct attrib *a, uint32_t now, struct attrib_ref query);

/** The same, by its answer. */
void attrib_client_answer(struct attrib *a, uint32_t now, const struct dns_message *answer,
			  const struct attrib_owner *who);

/**
 * Might this client wait for an answer with this ID in the table? False: certainly not. Cheap, and asked for each answer,
 * also one that has found its query: a client that asked again has perhaps another one there.
 *
 * @param who  as for attrib_client_answer
 */
bool attrib_may_await(const struct attrib *a, uint16_t id, const struct attrib_owner *who);

/** Might a client wait in the table for a question of that key (dns_question_key)? False: certainly not. */
bool attrib_may_be_asked(const struct attrib *a, uint32_t key);

/** In a child after fork: frees what another thread of the parent held, emptying the shards it was
 * at work in. */
void attrib_after_fork(struct attrib *a);

/* How full the table is, and what it had to let go. */
struct attrib_usage {
	uint32_t waiting, answered, learned, upstream;
	uint64_t evicted; /* entries that went before their time, since the start */
};

void attrib_usage(struct attrib *a, struct attrib_usage *usage);

/** How many clients were given up while they waited, since the table was full. */
uint64_t attrib_lost(const struct attrib *a);

/** Name of a kind of evidence, as in traces and scenario files. */
const char *attrib_evidence_name(enum attrib_evidence evidence);

#endif
