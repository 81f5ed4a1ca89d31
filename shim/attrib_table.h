/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two halves of attribution share: attrib.c, where events go in, and choose.c, where decisions come out. Of use
 * to them alone.
 */
#ifndef SHIM_ATTRIB_TABLE_H
#define SHIM_ATTRIB_TABLE_H

#include "aliases.h"
#include "attrib.h"
#include "servers.h"
#include "shard.h"

enum {
	SHARDS = 8,    /* a power of two */
	FINALS = 1024, /* likewise */
};

/* What a node stands for: mixed into the name's hash. */
enum node_kind { NODE_QUESTION = 1, NODE_NAME = 2, NODE_BENEATH = 3 };

/*
 * Final answers to queries that were charged outside the table (intake.h): of a question when the last one came, as the
 * lower half of its hash (dns_question_hash) and milliseconds. A question that shares its place with another is forgotten
 * when that one is answered.
 */
struct finals {
	_Atomic uint64_t at[FINALS];
};

struct attrib {
	struct sip_key key;
	/* how often a turn named the same owner as better evidence, and not */
	_Atomic uint32_t turn_right, turn_wrong;
	_Atomic uint64_t
		newest; /* the client query that came last: a reference in one word, see pack */
	_Atomic uint32_t newest_asked; /* when that was */
	_Atomic bool
		recurses; /* a query of a client's was referred to others: the program asks on by itself */
	struct tally tally;
	struct servers servers;
	struct aliases aliases;
	struct finals finals;
	struct shard shard[SHARDS];
};

/** A name that an answer to the owner's query named, or that what it asked for is known to lead to. No lock is held. */
void attrib_learn(struct attrib *a, uint32_t now, const struct attrib_owner *owner,
		  const struct dns_name *name, bool server);

/** The upstream query's key in its shard. */
uint64_t attrib_upstream_key(const struct attrib *a, const struct dns_message *m,
			     struct attrib_socket socket);

/** A client query goes behind those that have not been charged yet; name: for its question and this name only. */
void attrib_charge(struct shard *s, uint32_t i, uint64_t name);

static inline _Atomic uint64_t *finals_place(const struct attrib *a, uint64_t question)
{
	return (_Atomic uint64_t *)&a->finals.at[question >> 32 & (FINALS - 1)];
}

static inline bool finals_since(const struct attrib *a, const struct entry *e)
{
	uint64_t at = atomic_load_explicit(finals_place(a, e->wording), memory_order_relaxed);

	return at >> 32 == (uint32_t)e->wording && (int32_t)((uint32_t)at - e->owner.asked) >= 0;
}

/** Has upstream had the last word on its question since it came? */
static inline bool has_final(const struct attrib *a, const struct node *question,
			     const struct entry *e)
{
	return (question->final && (int32_t)(question->final - e->born) > 0) || finals_since(a, e);
}

/* ---- which shard ---- */

static inline unsigned shard_index(uint64_t hash)
{
	return (unsigned)(hash >> 56) % SHARDS;
}

/* The shard of a name, given without its first `from` labels: that of its last two labels. */
static inline unsigned shard_of(const struct dns_name *name, unsigned from)
{
	unsigned labels = name->labels - from;

	if (labels == 0)
		return 0;
	return shard_index(name->suffix[labels >= 2 ? name->labels - 2 : name->labels - 1]);
}

/* ---- hashes ---- */

static inline uint64_t node_hash(uint64_t name, enum node_kind kind)
{
	return name ^ ((uint64_t)kind * 0x9e3779b97f4a7c15ULL);
}

/* The name's hash is secret, so mixing the type in needs no secret of its own; but every bit must feel it. */
static inline uint64_t question_hash(uint64_t name, uint16_t qtype)
{
	uint64_t h = node_hash(name, NODE_QUESTION) + (qtype + 1U) * 0xd6e8feb86659fd93ULL;

	h = (h ^ h >> 32) * 0xd6e8feb86659fd93ULL;
	return h ^ h >> 32;
}

/* ---- owners ---- */

static inline struct attrib_ref ref_to(const struct attrib *a, const struct shard *s, uint32_t i)
{
	uint32_t tag = atomic_load_explicit(&s->entries[i].tag, memory_order_relaxed);

	return (struct attrib_ref){
		.index = i, .tag = tag / TAG_STATES, .shard = (uint8_t)(s - a->shard)};
}

/* What became of a client query: TAG_WAITING, TAG_ANSWERED, or TAG_FREE where it is gone. Needs no
 * lock. */
static inline uint32_t ref_state(const struct attrib *a, struct attrib_ref ref)
{
	if (!ref.index)
		return TAG_FREE;
	uint32_t tag = atomic_load_explicit(&a->shard[ref.shard].entries[ref.index].tag,
					    memory_order_acquire);

	return tag / TAG_STATES == ref.tag ? tag % TAG_STATES : TAG_FREE;
}

/*
 * The same of an owner, whose shard may not have been visited since its time was over. A client that asked again
 * counts from its first time here: others' copies of it do not know better.
 */
static inline uint32_t owner_state(const struct attrib *a, const struct attrib_owner *owner,
				   uint32_t now)
{
	if ((int32_t)(now - owner->asked) >= ATTRIB_CLIENT_MS)
		return TAG_FREE;
	return ref_state(a, owner->ref);
}

static inline uint64_t pack(struct attrib_ref ref)
{
	return (uint64_t)ref.tag << 32 | (uint64_t)ref.shard << 28 | ref.index;
}

static inline struct attrib_ref unpack(uint64_t word)
{
	return (struct attrib_ref){.tag = (uint32_t)(word >> 32),
				   .shard = (uint8_t)(word >> 28 & (SHARDS - 1)),
				   .index = (uint32_t)word & ((1U << 28) - 1)};
}

/* The entry that a reference means, where it lies in this very shard and still lives. */
static inline uint32_t ref_in(const struct attrib *a, const struct shard *s, struct attrib_ref ref)
{
	return &a->shard[ref.shard] == s && ref_state(a, ref) != TAG_FREE ? ref.index : 0;
}

static inline struct shard *enter(struct attrib *a, unsigned index, uint32_t now)
{
	struct shard *s = &a->shard[index];

	shard_enter(s, now);
	return s;
}

#endif
