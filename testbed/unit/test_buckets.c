// SPDX-License-Identifier: GPL-2.0-or-later
/* Buckets that come into use one by one: each element is found at any size, and none lies anywhere else. */
#include "harness.h"

#include "buckets.h"

enum { MOST = 8192, ELEMENTS = 3 * MOST };

static uint32_t first[MOST], next[ELEMENTS + 1];
static uint64_t hash[ELEMENTS + 1];

static void put(const struct buckets *b, uint32_t i)
{
	uint32_t *at = bucket(b, hash[i]);

	next[i] = *at;
	*at = i;
}

/* As attribution divides a bucket. */
static void divide(struct buckets *b, uint32_t elements)
{
	uint32_t *from;

	if (!buckets_grow(b, elements, &from))
		return;
	uint32_t i = *from;

	*from = 0;
	for (uint32_t after; i; i = after) {
		after = next[i];
		uint32_t *to = bucket(b, hash[i]);

		assert_true(to == from || to == &b->first[b->count - 1]);
		put(b, i);
	}
}

static bool is_there(const struct buckets *b, uint32_t wanted)
{
	uint32_t i = *bucket(b, hash[wanted]);

	while (i && i != wanted)
		i = next[i];
	return i != 0;
}

static void each_is_found(void **state)
{
	struct buckets b;

	(void)state;
	buckets_init(&b, first, MOST);
	for (uint32_t i = 1; i <= ELEMENTS; i++) {
		hash[i] = i * 0x9e3779b97f4a7c15ULL >> 8;
		put(&b, i);
		for (int n = 0; n < BUCKETS_PER; n++)
			divide(&b, i);
		assert_true(is_there(&b, i));
		for (uint32_t k = i; i % 1021 == 0 && k; k--)
			assert_true(is_there(&b, k));
	}
	assert_int_equal(b.count, MOST);
}

static void as_many_as_elements(void **state)
{
	static uint32_t zeroed[MOST];
	struct buckets b;
	uint32_t *from;

	(void)state;
	buckets_init(&b, zeroed, MOST);
	assert_false(buckets_grow(&b, BUCKETS_LEAST / BUCKETS_PER, &from));
	for (uint32_t n = BUCKETS_LEAST / BUCKETS_PER + 1; n <= MOST / BUCKETS_PER; n++) {
		for (uint32_t i = BUCKETS_PER; i-- > 0;) {
			assert_true(buckets_grow(&b, n, &from));
			assert_int_equal(b.count, n * BUCKETS_PER - i);
		}
		assert_false(buckets_grow(&b, n, &from));
	}
	assert_false(buckets_grow(&b, ELEMENTS, &from));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_found),
		cmocka_unit_test(as_many_as_elements),
	};

	return cmocka_run_group_tests_name("buckets", tests, NULL, NULL);
}
