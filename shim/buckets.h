/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The buckets of a hash table whose memory is there for its fullest, and which is nearly empty for most of its life: as
 * many of them are in use as it has had elements at once, times BUCKETS_PER, so that these lie close together in the
 * processor's caches (linear hashing: Litwin, "Linear hashing: a new tool for file and table addressing", 1980). It grows
 * by one bucket at a time, for whose sake one other is divided, and by BUCKETS_PER an element at most: no event has more
 * to do than that.
 */
#ifndef SHIM_BUCKETS_H
#define SHIM_BUCKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
	BUCKETS_LEAST = 1024, /* a power of two */
	BUCKETS_PER = 4, /* for each element, so that most are found, or not, at the first look */
};

struct buckets {
	uint32_t *first;
	uint32_t count, most; /* in use, and what there is room for: at least BUCKETS_LEAST */
	uint32_t mask;	      /* the next power of two from count on, less one */
};

/** Room for `most` buckets, all of them empty. */
static inline void buckets_init(struct buckets *b, uint32_t *zeroed, uint32_t most)
{
	*b = (struct buckets){zeroed, BUCKETS_LEAST, most, BUCKETS_LEAST - 1};
}

/** Where an element of that hash is. */
static inline uint32_t *bucket(const struct buckets *b, uint64_t hash)
{
	uint32_t i = (uint32_t)hash & b->mask;

	return &b->first[i < b->count ? i : i & b->mask >> 1];
}

/**
 * Takes one more bucket into use, where so many elements need it: to be tried BUCKETS_PER times for each that comes. Those
 * of *from whose bucket() is another one now are to be moved there.
 */
static inline bool buckets_grow(struct buckets *b, uint32_t elements, uint32_t **from)
{
	if ((uint64_t)elements * BUCKETS_PER <= b->count || b->count == b->most)
		return false;
	if (b->count > b->mask)
		b->mask = b->mask << 1 | 1;
	*from = &b->first[b->count & b->mask >> 1];
	b->count++;
	return true;
}

/** The one that came into use last. */
static inline uint32_t *buckets_last(const struct buckets *b)
{
	return &b->first[b->count - 1];
}

/** Everything is gone from it, and few are in use again. */
static inline void buckets_empty(struct buckets *b)
{
	memset(b->first, 0,
	       b->most * sizeof(b->first[0])); /* all: a fork may have caught it growing */
	buckets_init(b, b->first, b->most);
}

#endif
