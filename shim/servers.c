// SPDX-License-Identifier: GPL-2.0-or-later
#include "servers.h"

#include <string.h>

void servers_init(struct servers *s)
{
	pthread_mutex_init(&s->lock, NULL);
}

static struct server *find(struct servers *s, uint64_t name)
{
	struct server *set = s->set[(name >> 20) % SERVERS_SETS];

	for (int i = 0; i < SERVERS_WAYS; i++) {
		if (set[i].name != name)
			continue;
		set[i].used = ++s->clock;
		return &set[i];
	}
	return NULL;
}

static struct server *find_or_make(struct servers *s, uint64_t name)
{
	struct server *found = find(s, name);
	struct server *set = s->set[(name >> 20) % SERVERS_SETS], *oldest = set;

	if (found)
		return found;
	for (int i = 1; i < SERVERS_WAYS; i++)
		if (set[i].used < oldest->used)
			oldest = &set[i];
	*oldest = (struct server){.name = name, .used = ++s->clock};
	return oldest;
}

/* To the front; the last one goes where it is new and there is no room. */
static void add_zone(struct server *server, struct served_zone zone)
{
	size_t i = 0;

	while (i < SERVERS_ZONES - 1 && server->zones[i] != zone.zone)
		i++;
	memmove(server->zones + 1, server->zones, i * sizeof(server->zones[0]));
	memmove(server->shards + 1, server->shards, i);
	server->zones[0] = zone.zone;
	server->shards[0] = zone.shard;
}

void servers_learn(struct servers *s, const struct dns_name *server, struct served_zone zone)
{
	if (server->labels)
		atomic_store_explicit(&s->any, true, memory_order_relaxed);
	pthread_mutex_lock(&s->lock);
	for (unsigned at = 0; at < server->labels; at++)
		add_zone(find_or_make(s, server->suffix[at]), zone);
	pthread_mutex_unlock(&s->lock);
}

bool servers_any(const struct servers *s)
{
	return atomic_load_explicit(&s->any, memory_order_relaxed);
}

bool servers_find(struct servers *s, uint64_t name, struct served_zone zones[SERVERS_ZONES])
{
	if (!servers_any(s))
		return false;
	pthread_mutex_lock(&s->lock);
	const struct server *server = find(s, name);

	for (int i = 0; server && i < SERVERS_ZONES; i++)
		zones[i] = (struct served_zone){server->zones[i], server->shards[i]};
	pthread_mutex_unlock(&s->lock);
	return server;
}

bool servers_is_root(struct servers *s, uint64_t name)
{
	struct served_zone zones[SERVERS_ZONES];
	bool root = false;

	if (!servers_find(s, name, zones))
		return false;
	for (int i = 0; i < SERVERS_ZONES; i++)
		root |= zones[i].zone == DNS_ROOT_HASH;
	return root;
}
