// SPDX-License-Identifier: GPL-2.0-or-later
#include "aliases.h"

#include <stdatomic.h>
#include <string.h>

void aliases_init(struct aliases *a)
{
	pthread_mutex_init(&a->lock, NULL);
}

void aliases_begin(struct alias *alias, const uint8_t *question, size_t length)
{
	alias->targets = 0;
	alias->key = dns_name_key(question, length);
}

static size_t place_of(uint32_t key)
{
	return (key ^ key >> 16) % ALIASES_KEYS;
}

bool aliases_may_have(const struct aliases *a, const uint8_t *question, size_t length)
{
	uint32_t key = dns_name_key(question, length);

	if (length < DNS_NAME_KEY_LEAST)
		return atomic_load_explicit(&a->begun, memory_order_relaxed);
	return atomic_load_explicit(&a->keys[place_of(key)], memory_order_relaxed);
}

/* More or less of this key, by one. */
static void count_key(struct aliases *a, const struct alias *alias, uint16_t by)
{
	if (alias->targets)
		atomic_fetch_add_explicit(&a->keys[place_of(alias->key)], by, memory_order_relaxed);
}

void aliases_add(struct alias *alias, const struct dns_name *target)
{
	if (!target->labels || alias->targets == ALIASES_TARGETS)
		return;
	struct alias_target *t = &alias->target[alias->targets++];
	unsigned left_out = target->labels > ALIASES_LABELS ? target->labels - ALIASES_LABELS : 0;

	t->labels = target->labels - left_out;
	t->suffix[0] = target->suffix[0];
	for (unsigned i = 1; i < t->labels; i++)
		t->suffix[i] = target->suffix[i + left_out];
}

void aliases_target(const struct alias *alias, unsigned i, struct dns_name *out)
{
	const struct alias_target *t = &alias->target[i];

	out->labels = t->labels;
	out->underscore = false;
	memcpy(out->suffix, t->suffix, t->labels * sizeof(t->suffix[0]));
}

static size_t set_of(uint64_t name)
{
	return (name >> 20) % ALIASES_SETS;
}

/* Also without the lock: most names are no aliases, and need none. */
static int way_of(const struct aliases *a, size_t set, uint64_t name)
{
	if (!atomic_load_explicit(&a->begun, memory_order_relaxed))
		return -1;
	for (int i = 0; i < ALIASES_WAYS; i++)
		if (atomic_load_explicit(&a->name[set][i], memory_order_relaxed) == name)
			return i;
	return -1;
}

static int oldest_way(const struct aliases *a, size_t set)
{
	int oldest = 0;

	for (int i = 1; i < ALIASES_WAYS; i++)
		if (a->used[set][i] < a->used[set][oldest])
			oldest = i;
	return oldest;
}

/* A fork amid this leaves its child a free place, or a whole one; and of a key too many perhaps, never too few. */
static void put(struct aliases *a, size_t set, int way, uint64_t name, const struct alias *alias)
{
	_Atomic uint64_t *place = &a->name[set][way];
	struct alias before = a->alias[set][way];

	count_key(a, alias, 1);
	atomic_store_explicit(place, 0, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	a->alias[set][way] = *alias;
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(place, name, memory_order_relaxed);
	count_key(a, &before, UINT16_MAX);
}

void aliases_keep(struct aliases *a, uint64_t name, const struct alias *alias)
{
	size_t set = set_of(name);

	if (!alias->targets && way_of(a, set, name) < 0)
		return;
	pthread_mutex_lock(&a->lock);
	int way = way_of(a, set, name);

	if (way < 0 && alias->targets)
		way = oldest_way(a, set);
	if (way >= 0) {
		a->used[set][way] = alias->targets ? ++a->clock : 0;
		put(a, set, way, alias->targets ? name : 0, alias);
		atomic_store_explicit(&a->begun, true, memory_order_relaxed);
	}
	pthread_mutex_unlock(&a->lock);
}

bool aliases_find(struct aliases *a, uint64_t name, struct alias *out)
{
	size_t set = set_of(name);

	if (way_of(a, set, name) < 0)
		return false;
	pthread_mutex_lock(&a->lock);
	int way = way_of(a, set, name);

	if (way >= 0) {
		a->used[set][way] = ++a->clock;
		*out = a->alias[set][way];
	}
	pthread_mutex_unlock(&a->lock);
	return way >= 0;
}
