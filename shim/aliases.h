/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where aliases lead (CNAME, RFC 1034, section 3.6.2). A resolver keeps an alias in its cache for longer than what it
 * leads to; once that has run out it asks for it alone, for somebody who asked for the alias. Part of attribution, and as
 * pure: fixed memory, a lock of its own.
 */
#ifndef SHIM_ALIASES_H
#define SHIM_ALIASES_H

#include "dns.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	ALIASES_TARGETS = 3, /* kept of a chain that one answer told, from its start on */
	ALIASES_LABELS = 6,  /* kept of a target: itself, and what it lies beneath at most */
	ALIASES_HOPS = 4,    /* from alias to alias, as far as attribution follows them */
	ALIASES_SETS = 4096,
	ALIASES_WAYS = 4, /* names that share a set: the one unused for longest gives way */
	ALIASES_KEYS = 16384,
};

/* A target's hashes, as in a dns_name. */
struct alias_target {
	uint32_t labels;
	uint64_t suffix[ALIASES_LABELS];
};

struct alias {
	uint32_t targets; /* 0: it is none */
	uint32_t key;	  /* of its own name (dns_name_key) */
	struct alias_target target[ALIASES_TARGETS];
};

/* What is looked at for each name lies close together; where aliases lead is looked at for aliases alone. */
struct aliases {
	pthread_mutex_t lock;
	uint32_t clock;	    /* counts uses */
	_Atomic bool begun; /* an alias was kept: until then there is nothing to look for */
	_Atomic uint16_t keys[ALIASES_KEYS]; /* how many there are whose keys are alike */
	_Atomic uint64_t name[ALIASES_SETS][ALIASES_WAYS]; /* 0: free, or being changed */
	uint32_t used[ALIASES_SETS][ALIASES_WAYS];
	struct alias alias[ALIASES_SETS][ALIASES_WAYS];
};

/** Zeroed memory becomes a table; again in a child after fork. */
void aliases_init(struct aliases *a);

/** The chain of aliases starts with the name of this question. */
void aliases_begin(struct alias *alias, const uint8_t *question, size_t length);

/** The chain goes on to this name. What there is no room for, and the root, is left out. */
void aliases_add(struct alias *alias, const struct dns_name *target);

/** Target number i as a name: its whole hash, and those of what it lies beneath as far as they were kept. */
void aliases_target(const struct alias *alias, unsigned i, struct dns_name *out);

/** From now on the name is this alias; without targets: it is none any more, if it ever was. */
void aliases_keep(struct aliases *a, uint64_t name, const struct alias *alias);

/** Might the name of this question be an alias? False: certainly not. Needs neither its hash nor a lock. */
bool aliases_may_have(const struct aliases *a, const uint8_t *question, size_t length);

/** Is the name an alias? */
bool aliases_find(struct aliases *a, uint64_t name, struct alias *out);

#endif
