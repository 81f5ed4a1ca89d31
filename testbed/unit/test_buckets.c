// SPDX-License-Identifier: GPL-2.0-or-later
/* Buckets that come into use one by one: each element is found at any size, and none lies anywhere else. */
#include "harness.h"

#include "buckets.h"

enum { MOST = 8192, ELEMENTS = 3 * MOST };

struct element {
	struct bucketed in;
	uint32_t number;
};

static uint32_t first[MOST];
static struct element element[ELEMENTS + 1];

static uint64_t hash_of(uint32_t i)
{
	uint64_t h = i * 0x9e3779b97f4a7c15ULL;

	return h >> 8 | h << 56;
}

static void each_is_found(void **state)
{
	struct buckets b;

	(void)state;
	buckets_init(&b, first, MOST, element, sizeof(element[0]));
	for (uint32_t i = 1; i <= ELEMENTS; i++) {
		element[i].number = i;
		buckets_put(&b, i, hash_of(i), i);
		assert_int_equal(buckets_find(&b, hash_of(i)), i);
		assert_int_equal(buckets_find(&b, hash_of(i + 1)), 0);
		for (uint32_t k = i; i % 1021 == 0 && k; k--)
			assert_int_equal(buckets_find(&b, hash_of(k)), k);
	}
	assert_int_equal(b.count, MOST);
	for (uint32_t i = 1; i <= ELEMENTS; i += 2)
		buckets_remove(&b, i);
	for (uint32_t i = 1; i <= ELEMENTS; i++) {
		assert_int_equal(buckets_find(&b, hash_of(i)), i % 2 ? 0 : i);
		assert_int_equal(element[i].number, i);
	}
}

/* No bucket holds what another one's hash says. */
static void each_lies_in_its_bucket(void **state)
{
	struct buckets b;

	(void)state;
	memset(first, 0, sizeof(first));
	buckets_init(&b, first, MOST, element, sizeof(element[0]));
	for (uint32_t i = 1; i <= MOST / BUCKETS_PER; i++) {
		uint32_t there = 0;

		buckets_put(&b, i, hash_of(i), i);
		for (uint32_t n = 0; i % 127 == 0 && n < b.count; n++) {
			for (uint32_t link = first[n], next; link; link = next, there++) {
				const struct bucketed *e = &element[bucket_number(link)].in;

				next = e->next;
				assert_true(bucket(&b, e->hash) == &first[n]);
				assert_int_equal(link & BUCKETS_TAG, bucket_tag(e->hash));
				assert_true(link & BUCKETS_MORE || !next);
			}
		}
		assert_int_equal(there, i % 127 ? 0 : i);
	}
	buckets_empty(&b);
	assert_int_equal(b.count, BUCKETS_LEAST);
	assert_int_equal(buckets_find(&b, hash_of(1)), 0);
}

/* Three of one bucket, the second of which is of another hash than its link says: then it was not read. */
static void others_are_not_read(void **state)
{
	const uint64_t hash[] = {0, 0x1100000000000005, 0x2200000000000005, 0x3300000000000005};
	struct buckets b;

	(void)state;
	memset(first, 0, sizeof(first));
	buckets_init(&b, first, MOST, element, sizeof(element[0]));
	for (uint32_t i = 1; i <= 3; i++)
		buckets_put(&b, i, hash[i], i);
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(buckets_find(&b, hash[i]), i);
	element[2].in.hash = hash[1];
	assert_int_equal(buckets_find(&b, hash[1]), 1);
	element[2].in.hash = hash[2];
	element[1].in.hash = 0x4400000000000005;
	assert_int_equal(buckets_find(&b, 0x4400000000000005), 0);
	element[1].in.hash = hash[1];
	buckets_remove(&b, 1);
	assert_int_equal(buckets_find(&b, hash[1]), 0);
	assert_int_equal(buckets_find(&b, hash[2]), 2);
	buckets_remove(&b, 3);
	assert_int_equal(buckets_find(&b, hash[2]), 2);
	assert_int_equal(buckets_find(&b, hash[3]), 0);
	buckets_remove(&b, 2);
	assert_int_equal(first[5], 0);
}

/* Behind one that came alone nothing is looked for. */
static void one_alone_is_not_read(void **state)
{
	const uint64_t alone = 0x1100000000000005, other = 0x2200000000000005;
	struct buckets b;

	(void)state;
	memset(first, 0, sizeof(first));
	buckets_init(&b, first, MOST, element, sizeof(element[0]));
	buckets_put(&b, 1, alone, 1);
	element[1].in.next = 2 | bucket_tag(other);
	element[2].in = (struct bucketed){.hash = other};
	assert_int_equal(buckets_find(&b, other), 0);
	assert_int_equal(buckets_find(&b, alone), 1);
}

static void as_many_as_elements(void **state)
{
	static uint32_t zeroed[MOST];
	struct buckets b;

	(void)state;
	buckets_init(&b, zeroed, MOST, element, sizeof(element[0]));
	assert_false(buckets_grow(&b, BUCKETS_LEAST / BUCKETS_PER));
	for (uint32_t n = BUCKETS_LEAST / BUCKETS_PER + 1; n <= MOST / BUCKETS_PER; n++) {
		for (uint32_t i = BUCKETS_PER; i-- > 0;) {
			assert_true(buckets_grow(&b, n));
			assert_int_equal(b.count, n * BUCKETS_PER - i);
		}
		assert_false(buckets_grow(&b, n));
	}
	assert_false(buckets_grow(&b, ELEMENTS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_found),       cmocka_unit_test(each_lies_in_its_bucket),
		cmocka_unit_test(others_are_not_read), cmocka_unit_test(one_alone_is_not_read),
		cmocka_unit_test(as_many_as_elements),
	};

	return cmocka_run_group_tests_name("buckets", tests, NULL, NULL);
}
