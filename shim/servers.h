/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which zones a name server serves. A resolver knows server names from its own cache long after the client that it
 * learned them for is gone; when it asks for such a server's address again, it does so for somebody who waits beneath
 * one of the server's zones. Part of attribution, and as pure: fixed memory, a lock of its own.
 */
#ifndef SHIM_SERVERS_H
#define SHIM_SERVERS_H

#include "dns.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	SERVERS_ZONES = 16, /* remembered of a server: the newest */
	SERVERS_SETS = 4096,
	SERVERS_WAYS = 4, /* names that share a set: the one unused for longest gives way */
};

/* A zone, by its name's hash (0: none), and the shard where who waits beneath it is found (SHARDS: in any). */
struct served_zone {
	uint64_t zone;
	uint8_t shard;
};

struct server {
	uint64_t name;
	uint64_t zones[SERVERS_ZONES]; /* the newest first */
	uint8_t shards[SERVERS_ZONES]; /* of the zones, in their order */
	uint32_t used;
};

struct servers {
	pthread_mutex_t lock;
	uint32_t clock; /* counts uses */
	_Atomic bool any;
	struct server set[SERVERS_SETS][SERVERS_WAYS];
};

/** Zeroed memory becomes a table; again in a child after fork. */
void servers_init(struct servers *s);

/** A server of that name serves the zone; the names above it lead to it, and so to the zone, when minimised. */
void servers_learn(struct servers *s, const struct dns_name *server, struct served_zone zone);

/** Was any ever learned? Of a forwarder none is, but where its upstream says more than it must. */
bool servers_any(const struct servers *s);

/** The zones of a server's name, or of what leads to servers; false where it is none. */
bool servers_find(struct servers *s, uint64_t name, struct served_zone zones[SERVERS_ZONES]);

/** Does it serve the root, or lead to who does? */
bool servers_is_root(struct servers *s, uint64_t name);

#endif
