/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who holds how much of a shard of the table, and whose entry goes when it is full: the oldest of the client that holds
 * most. So a flood pushes out itself, and nobody who holds less. Pure, part of attribution; the shard's lock is held.
 *
 * A client is known by its address, where there is none by its connection. An IPv6 client may have as many addresses as
 * it likes, but its neighbours on the same network are clients as well: so addresses are counted each, and each /64 too.
 * Where a network holds much by many addresses, each with little, its addresses give way in turn.
 *
 * Whoever holds less than a step is in no order; the others are sorted by steps. Adding, removing and finding the
 * heaviest take a bounded number of operations each.
 */
#ifndef SHIM_HOLDERS_H
#define SHIM_HOLDERS_H

#include "attrib.h"

#include <stddef.h>
#include <stdint.h>

enum {
	HOLDERS_KINDS = 3, /* of entries, counted each by itself */
	HOLDERS_STEP = 16, /* units of weight; below it nobody is asked to give way */
	HOLDERS_PART =
		8, /* an address yields before networks when it holds so much of the heaviest */
	HOLDERS_WEIGHT_MAX = 64, /* of one entry */
};

/* Where an entry comes among those of its client. */
enum holders_end { HOLDERS_OLDEST, HOLDERS_NEWEST };

/* An entry, as far as it is counted. */
struct holding {
	uint32_t holder; /* 0: not counted */
	uint32_t weight;
	uint32_t older, newer; /* of the same holder */
};

struct holder;

/* Holders in order of weight: those of the same step in a list. */
struct ranking {
	uint32_t *step;
	uint32_t top; /* nobody is above it */
};

struct holders {
	struct holding *holding; /* by entry */
	struct holder *holder;
	uint32_t *bucket;
	uint32_t mask, size, fresh, free, steps;
	uint64_t secret[2];
	struct ranking host[HOLDERS_KINDS], network[HOLDERS_KINDS];
};

/** Bytes of memory, for so many entries whose weights come to no more than that. */
size_t holders_size(unsigned entries, unsigned weight);

/** Begins in zeroed memory of that size. */
void holders_init(struct holders *h, void *zeroed, unsigned entries, unsigned weight,
		  const struct sip_key *key);

/** Forgets all, of entries up to that one. */
void holders_empty(struct holders *h, uint32_t entries);

/** An entry of that kind is this client's. Nothing happens where it is counted already. */
void holders_add(struct holders *h, uint32_t entry, const struct attrib_owner *who, unsigned kind,
		 unsigned weight, enum holders_end end);

/** The same of one that is counted. */
void holders_take(struct holders *h, uint32_t entry);

/** The entry goes, or is nobody's burden any more. Nothing happens where it was not counted. */
static inline void holders_remove(struct holders *h, uint32_t entry)
{
	if (h->holding[entry].holder)
		holders_take(h, entry);
}

/** The entry that is to go first; 0: nobody holds more than a step. */
uint32_t holders_yielding(struct holders *h, unsigned kind);

/** The weight of the heaviest, 0 where nobody holds more than a step. */
uint32_t holders_most(struct holders *h, unsigned kind);

#endif
