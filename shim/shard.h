/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One of the tables that attribution keeps what it knows in: client queries, upstream queries and learned names (entries),
 * each hung by links into lists of the names that it may be found by (nodes). The lists are in the order in which the
 * entries came, so that their ends say who was first and who was last. Fixed memory: what comes takes the place of what
 * may go, fairly among clients (holders.h).
 *
 * Part of attribution, and of use to it alone. But for where it is said otherwise, the shard's lock is held.
 */
#ifndef SHIM_SHARD_H
#define SHIM_SHARD_H

#include "attrib.h"
#include "buckets.h"
#include "holders.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	SHARD_ANCESTORS_MAX = 36, /* the deepest names in use: ip6.arpa has 34 labels */
	SHARD_AWAITED = 4096,	  /* a power of two */
	SHARD_RECENT = 32,	  /* a power of two */
};

#define SHARD_UNEXPLAINED ((uint64_t)1 << 32) /* one of those who wait so, in tally.waiting */

/* What an entry is; doubles as the list of its kind in order of age. The first ones count as their client's. */
enum class { CLASS_WAITING, CLASS_LEARNED, CLASS_UPSTREAM, CLASS_ANSWERED, CLASSES };

_Static_assert((int)HOLDERS_KINDS == (int)CLASS_ANSWERED,
	       "what counts as its client's comes first");
_Static_assert((int)SHARD_ANCESTORS_MAX + 2 <= (int)HOLDERS_WEIGHT_MAX,
	       "an entry's links are its weight");

/* The lists of a node. The first three are also a client query's states. */
enum list { LIST_FRESH, LIST_CHARGED, LIST_ANSWERED, LIST_LEARNED, LIST_LEARNED_BEFORE, LISTS };

/*
 * States in the low bits of an entry's tag, which others read without the lock. Settled: answered too, but with what
 * came from upstream, so that nothing is left to refresh.
 */
enum { TAG_FREE, TAG_WAITING, TAG_ANSWERED, TAG_SETTLED, TAG_OTHER, TAG_STATES = 8 };

struct entry {
	/* by its key, the identity of a client's query or of an upstream query; hash 0: it has none */
	struct bucketed key;
	_Atomic uint32_t tag;  /* generation * TAG_STATES + state */
	uint32_t stamp;	       /* when it was entered, or answered, ms */
	uint32_t order;	       /* counts what was entered or answered, in whatever shard */
	uint32_t older, newer; /* in the list of its class */
	uint32_t links;	       /* first of them */
	uint8_t class;
	bool server; /* of learned names: it is a name server's */
	/* of client queries: */
	bool unexplained; /* it waits, and no upstream query is known that may be for it */
	bool fed;	  /* an upstream query for it had a final answer */
	uint8_t pending;  /* upstream queries for it that have no answer yet; UINT8_MAX: or more */
	uint16_t asks;	  /* its place in tally.asked */
	uint32_t born;	  /* the shard's count of final answers then */
	uint64_t wording; /* its question's dns_question_hash */
	struct attrib_owner owner;
};

struct link {
	uint32_t entry, node;
	uint32_t older, newer; /* in the node's list */
	uint32_t next;	       /* the entry's next link, or the next free one */
	uint32_t list;
};

struct ends {
	uint32_t oldest, newest;
};

struct node {
	struct bucketed name; /* by its name's hash and its kind (node_hash) */
	uint32_t links;
	/* of questions: */
	uint32_t final; /* the shard's count at the last final answer to it; 0: there was none */
	bool outstanding; /* it was asked upstream for who waits for it, and no answer has come since */
	struct ends list[LISTS];
};

/* An upstream query that has had its answer. */
struct recent {
	uint64_t key; /* 0: none */
	uint32_t stamp;
	struct attrib_owner owner;
};

/* Slots never used yet come from a counter, so that memory is touched only as the table fills. */
struct pool {
	uint32_t free, fresh, used, size;
};

/* Of all shards together. Needs no lock. */
struct tally {
	_Atomic uint32_t order; /* counts entries that came, and clients that were answered */
	/* entries that went before their time; of them, clients that waited */
	_Atomic uint64_t evicted, lost;
	/* client queries that wait, and in the upper half those of them that are unexplained */
	_Atomic uint64_t waiting;
	/* how many client queries wait, by a hash of client and ID (attrib_may_await) */
	_Atomic uint32_t awaited[SHARD_AWAITED];
	/* the same by their questions (attrib_may_be_asked) */
	_Atomic uint32_t asked[SHARD_AWAITED];
};

struct shard {
	struct tally *tally; /* of all shards together */
	pthread_mutex_t lock;
	_Atomic int locked;
	struct pool entry_pool, link_pool, node_pool;
	struct entry *entries; /* index 0 of each is nobody */
	struct link *links;
	struct node *nodes;
	struct buckets keys, names; /* of entries, and of nodes */
	struct ends age[CLASSES];
	uint32_t count[CLASSES];
	uint32_t finals; /* counts upstream answers that left nothing to ask: odd, so never 0 */
	struct holders holders;
	bool counting[HOLDERS_KINDS]; /* entries that come are counted as their clients' */
	/* of those before, this one is next, then older ones; 0: none is left */
	uint32_t uncounted[HOLDERS_KINDS];
	struct recent
		recent[SHARD_RECENT]; /* a ring: place number recents % SHARD_RECENT is next */
	uint32_t recents;
	uint32_t expired_at; /* when it was last looked at for what has had its time */
};

/** Bytes of memory that a shard's tables need. */
size_t shard_bytes(unsigned capacity);

/** Makes a shard, with its tables in the zeroed memory at *at, which goes behind them. */
void shard_init(struct shard *s, char **at, unsigned capacity, const struct sip_key *key,
		struct tally *tally);

/** Takes the lock, and retires all whose time has come. */
void shard_enter(struct shard *s, uint32_t now);

/* `locked` says that the shard is being changed. A fork's copy of memory must not have the change without it. */
static inline void shard_lock(struct shard *s)
{
	pthread_mutex_lock(&s->lock);
	atomic_store_explicit(&s->locked, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static inline void shard_unlock(struct shard *s)
{
	atomic_store_explicit(&s->locked, 0, memory_order_release);
	pthread_mutex_unlock(&s->lock);
}

/**
 * In a child after fork, without the lock: makes it anew, and empties the shard where it was being changed. It says so: the
 * tally counts for nothing then, and is to be zeroed and counted anew.
 */
bool shard_after_fork(struct shard *s);

/** All who wait here are counted in the tally. Needs no lock: there is no other thread yet. */
void shard_count_waiting(struct shard *s);

/** A new entry, without links and key; 0: there is no room. */
uint32_t shard_make(struct shard *s, uint32_t now, enum class class);

void shard_drop(struct shard *s, uint32_t i);

/** Is there room for a client that has had its answer? For it nobody goes but who was answered before it. */
bool shard_fits_past(struct shard *s);

/** It has all its links, and its owner: it counts as that one's, and is the newest of them. */
void shard_count_in(struct shard *s, uint32_t i);

/** A client that waited has had its answer. */
void shard_answered(struct shard *s, uint32_t i, uint32_t now, uint32_t state);

/** A client that waits has asked again. */
void shard_renew(struct shard *s, uint32_t i, uint32_t now);

void shard_set_key(struct shard *s, uint32_t i, uint64_t key);

/** Hangs an entry into a list of the node of that hash. Where there is no room the entry does without. */
void shard_link(struct shard *s, uint32_t entry, uint64_t hash, enum list list);

void shard_list_append(struct shard *s, uint32_t link, enum list list);
void shard_list_remove(struct shard *s, uint32_t link);

/** Puts it where its age says, as far as a few steps from the end lead there. */
void shard_list_insert(struct shard *s, uint32_t link, enum list list);

/** A client's query begins to wait, or waits no longer. */
void shard_waits(struct shard *s, struct entry *e, bool begins);

/** The node of that hash; 0: there is none. */
static inline uint32_t shard_node(const struct shard *s, uint64_t hash)
{
	return buckets_find(&s->names, hash);
}

/** The entry of that key; 0: there is none. */
static inline uint32_t shard_find(const struct shard *s, uint64_t key)
{
	return buckets_find(&s->keys, key);
}

#endif
