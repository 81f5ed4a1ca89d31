/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hash table whose memory is there for its fullest, and which is nearly empty for most of its life: as many buckets are
 * in use as it has had elements at once, times BUCKETS_PER, so that these lie close together in the processor's caches
 * (linear hashing: Litwin, "Linear hashing: a new tool for file and table addressing", 1980). It grows by one bucket at a
 * time, for whose sake one other is divided, and by BUCKETS_PER an element at most: no event has more to do than that.
 *
 * Elements are the caller's: an array, whose number 0 is nobody. Each begins with a struct bucketed.
 *
 * What leads to an element (a link, not 0) is its number, some bits of its hash, and whether another may come behind it: so
 * that an element that is not the one looked for need hardly ever be read, for which an event among many would wait longest.
 */
#ifndef SHIM_BUCKETS_H
#define SHIM_BUCKETS_H

#include "expect.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	BUCKETS_LEAST = 1024, /* a power of two */
	BUCKETS_PER = 4, /* for each element, so that most are found, or not, at the first look */
};

#define BUCKETS_ELEMENTS_MAX 0x7fffffU /* the highest number of an element: 23 bits of a link */
#define BUCKETS_MORE	     0x800000U /* there may be another element behind it */
#define BUCKETS_TAG	     0xff000000U

/* Twelve bytes, and none for the alignment of what follows. */
struct bucketed {
	uint64_t hash;
	uint32_t next; /* a link; the caller's while it is in no bucket */
} __attribute__((packed, aligned(4)));

struct buckets {
	uint32_t *first;
	char *elements;
	size_t size;	      /* of an element */
	uint32_t count, most; /* in use, and what there is room for: at least BUCKETS_LEAST */
	uint32_t mask;	      /* the next power of two from count on, less one */
};

/** Room for `most` buckets, all of them empty. size: of one of the elements. */
static inline void buckets_init(struct buckets *b, uint32_t *zeroed, uint32_t most, void *elements,
				size_t size)
{
	*b = (struct buckets){zeroed, elements, size, BUCKETS_LEAST, most, BUCKETS_LEAST - 1};
}

static inline struct bucketed *buckets_element(const struct buckets *b, uint32_t i)
{
	return (struct bucketed *)(void *)(b->elements + i * b->size);
}

static inline uint32_t bucket_number(uint32_t link)
{
	return link & BUCKETS_ELEMENTS_MAX;
}

/* The bits of a hash that are in a link: the highest, for the lowest tell the bucket. */
static inline uint32_t bucket_tag(uint64_t hash)
{
	return (uint32_t)(hash >> 32) & BUCKETS_TAG;
}

/** Where an element of that hash is. */
static inline uint32_t *bucket(const struct buckets *b, uint64_t hash)
{
	uint32_t i = (uint32_t)hash & b->mask;

	return &b->first[i < b->count ? i : i & b->mask >> 1];
}

/** It will be looked for in a moment: among many elements its bucket is fetched from memory meanwhile. */
EXPECTING void buckets_expect(const struct buckets *b, uint64_t hash)
{
	__builtin_prefetch(bucket(b, hash), 1);
}

/** The element of that hash; 0: there is none. */
static inline uint32_t buckets_find(const struct buckets *b, uint64_t hash)
{
	uint32_t link = *bucket(b, hash), tag = bucket_tag(hash);

	while (link) {
		const struct bucketed *e = buckets_element(b, bucket_number(link));

		if ((link & BUCKETS_TAG) == tag && e->hash == hash)
			return bucket_number(link);
		link = link & BUCKETS_MORE ? e->next : 0;
	}
	return 0;
}

static inline void buckets_push(struct buckets *b, uint32_t *at, uint32_t i)
{
	struct bucketed *e = buckets_element(b, i);

	e->next = *at;
	*at = i | bucket_tag(e->hash) | (*at ? BUCKETS_MORE : 0);
}

/*
 * Takes one more bucket into use, where so many elements need it: to be tried BUCKETS_PER times for each that comes.
 * False: there is nothing to do.
 */
static inline bool buckets_grow(struct buckets *b, uint32_t elements)
{
	if ((uint64_t)elements * BUCKETS_PER <= b->count || b->count == b->most)
		return false;
	if (b->count > b->mask)
		b->mask = b->mask << 1 | 1;

	uint32_t *from = &b->first[b->count & b->mask >> 1], *to = &b->first[b->count++];

	while (*from) {
		uint32_t i = bucket_number(*from);
		struct bucketed *e = buckets_element(b, i);

		if (bucket(b, e->hash) != to) {
			from = &e->next;
			continue;
		}
		*from = e->next;
		buckets_push(b, to, i);
	}
	return true;
}

/** An element comes in. elements: how many there are with it. */
static inline void buckets_put(struct buckets *b, uint32_t i, uint64_t hash, uint32_t elements)
{
	buckets_element(b, i)->hash = hash;
	buckets_push(b, bucket(b, hash), i);
	for (int n = 0; n < BUCKETS_PER && buckets_grow(b, elements); n++)
		;
}

static inline void buckets_remove(struct buckets *b, uint32_t i)
{
	const struct bucketed *e = buckets_element(b, i);
	uint32_t *at = bucket(b, e->hash);

	while (bucket_number(*at) != i)
		at = &buckets_element(b, bucket_number(*at))->next;
	*at = e->next;
}

/** Everything is gone from it, and few are in use again. */
static inline void buckets_empty(struct buckets *b)
{
	memset(b->first, 0,
	       b->most * sizeof(b->first[0])); /* all: a fork may have caught it growing */
	buckets_init(b, b->first, b->most, b->elements, b->size);
}

#endif
