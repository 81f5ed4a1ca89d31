// SPDX-License-Identifier: GPL-2.0-or-later
/* Where aliases lead: what is kept, replaced, forgotten, and what gives way. */
#include "aliases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct aliases *table;

static int make(void **state)
{
	(void)state;
	table = calloc(1, sizeof(*table));
	if (table)
		aliases_init(table);
	return table ? 0 : -1;
}

static int drop(void **state)
{
	(void)state;
	free(table);
	return 0;
}

/* A name of so many labels, whose hashes are base, base + 1 ... */
static struct dns_name name_of(unsigned labels, uint64_t base)
{
	struct dns_name name = {.labels = labels};

	for (unsigned i = 0; i < labels; i++)
		name.suffix[i] = base + i;
	return name;
}

static struct alias leading_to(uint64_t base)
{
	struct dns_name target = name_of(3, base);
	struct alias alias = {0};

	aliases_add(&alias, &target);
	return alias;
}

static uint64_t found(uint64_t name)
{
	struct alias alias;
	struct dns_name target;

	if (!aliases_find(table, name, &alias))
		return 0;
	aliases_target(&alias, 0, &target);
	return target.suffix[0];
}

static void kept_replaced_forgotten(void **state)
{
	struct alias none = {0}, one = leading_to(100), other = leading_to(200);

	(void)state;
	assert_int_equal(found(7), 0);
	aliases_keep(table, 7, &none);
	assert_int_equal(found(7), 0);
	aliases_keep(table, 7, &one);
	assert_int_equal(found(7), 100);
	aliases_keep(table, 7, &other);
	assert_int_equal(found(7), 200);
	aliases_keep(table, 7, &none);
	assert_int_equal(found(7), 0);
}

static const uint8_t lower[] = "\5alias\4test\0\0\1\0", upper[] = "\5ALIAS\4TEST\0\0\34\0",
		     other[] = "\5other\4test\0\0\1\0", short_name[] = "\2xy\0\0\1\0";

/* By its name's key alone: in any case, of whatever type, as long as there is such an alias. */
static void told_apart_by_key(void **state)
{
	struct alias none = {0}, one = leading_to(100), two = leading_to(200);

	(void)state;
	assert_false(aliases_may_have(table, lower, sizeof(lower)));
	assert_false(aliases_may_have(table, short_name, sizeof(short_name)));
	one.key = two.key = dns_name_key(lower, sizeof(lower));
	aliases_keep(table, 7, &one);
	aliases_keep(table, 8, &two);
	aliases_keep(table, 8, &one); /* it leads elsewhere now */
	aliases_keep(table, 7, &none);
	assert_true(aliases_may_have(table, lower, sizeof(lower)));
	assert_true(aliases_may_have(table, upper, sizeof(upper)));
	assert_false(aliases_may_have(table, other, sizeof(other)));
	aliases_keep(table, 8, &none);
	assert_false(aliases_may_have(table, lower, sizeof(lower)));
	/* whose key depends on the type */
	assert_true(aliases_may_have(table, short_name, sizeof(short_name)));
}

/* Those that gave way are counted no more. */
static void keys_given_way(void **state)
{
	uint64_t step = (uint64_t)ALIASES_SETS << 20;
	struct alias first = leading_to(100), later = leading_to(200);

	(void)state;
	first.key = dns_name_key(lower, sizeof(lower));
	later.key = dns_name_key(other, sizeof(other));
	aliases_keep(table, step, &first);
	for (uint64_t i = 2; i <= ALIASES_WAYS + 1; i++) {
		assert_true(aliases_may_have(table, lower, sizeof(lower)));
		aliases_keep(table, i * step, &later);
	}
	assert_false(aliases_may_have(table, lower, sizeof(lower)));
	assert_true(aliases_may_have(table, other, sizeof(other)));
}

static void chains(void **state)
{
	struct alias alias = {0};
	struct dns_name root = name_of(0, 0), out;

	(void)state;
	aliases_add(&alias, &root);
	assert_int_equal(alias.targets, 0);
	for (unsigned i = 0; i < ALIASES_TARGETS + 2; i++) {
		struct dns_name target = name_of(2, 100 * (i + 1));

		aliases_add(&alias, &target);
	}
	assert_int_equal(alias.targets, ALIASES_TARGETS);
	aliases_target(&alias, ALIASES_TARGETS - 1, &out);
	assert_int_equal(out.suffix[0], 100 * ALIASES_TARGETS);
}

static void deep_targets(void **state)
{
	struct alias alias = {0};
	struct dns_name deep = name_of(DNS_LABELS_MAX, 1000), out;

	(void)state;
	aliases_add(&alias, &deep);
	aliases_target(&alias, 0, &out);
	assert_int_equal(out.labels, ALIASES_LABELS);
	assert_int_equal(out.suffix[0], 1000);
	for (unsigned i = 1; i < ALIASES_LABELS; i++) /* from the top-level domain down */
		assert_int_equal(out.suffix[ALIASES_LABELS - i], 1000 + DNS_LABELS_MAX - i);
}

static void unused_give_way(void **state)
{
	struct alias alias = leading_to(100);
	uint64_t step = (uint64_t)ALIASES_SETS << 20; /* names of one set */

	(void)state;
	for (uint64_t i = 1; i <= ALIASES_WAYS; i++)
		aliases_keep(table, i * step, &alias);
	assert_int_equal(found(step), 100); /* used again */
	aliases_keep(table, (ALIASES_WAYS + 1) * step, &alias);
	assert_int_equal(found(step), 100);
	assert_int_equal(found(2 * step), 0);
	for (uint64_t i = 3; i <= ALIASES_WAYS + 1; i++)
		assert_int_equal(found(i * step), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kept_replaced_forgotten, make, drop),
		cmocka_unit_test_setup_teardown(chains, make, drop),
		cmocka_unit_test_setup_teardown(deep_targets, make, drop),
		cmocka_unit_test_setup_teardown(unused_give_way, make, drop),
		cmocka_unit_test_setup_teardown(told_apart_by_key, make, drop),
		cmocka_unit_test_setup_teardown(keys_given_way, make, drop),
	};

	return cmocka_run_group_tests_name("aliases", tests, NULL, NULL);
}
