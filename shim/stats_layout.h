/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The counters' file, as the library writes it and connmark-stat reads it. One file is one program: the process that
 * was started, and all that it forked without exec, count together, so that nothing is lost when one of them ends.
 *
 * The writer's process holds a flock(2) on the file by its mapping alone, for the descriptor is closed at once: the
 * kernel lets go of the lock when the last process that has the mapping is gone, however it ended. So a file that can
 * be locked is a dead one. (Where a file system hands mappings to another, as overlayfs does, pids are asked.)
 *
 * A version changes when the layout does. Names of counters are in the file: a reader needs to know none of them.
 */
#ifndef SHIM_STATS_LAYOUT_H
#define SHIM_STATS_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#define STATS_DIRECTORY "/run/connmarkshim"
#define STATS_MAGIC	"connmark"

enum {
	STATS_VERSION = 1,
	STATS_COUNTERS = 64,
	STATS_NAME_MAX = 24,
	STATS_MEMBERS = 64,
	STATS_LANES = 64,   /* the first is shared by threads that have none of their own */
	STATS_STRIPES = 4,  /* tables of marks: threads that take turns on one are few */
	STATS_MARKS = 1024, /* in each */
	STATS_EVIDENCES = 7,
	STATS_LINE = 64, /* a cache line */
};

/* A process that has the file mapped. */
struct stats_member {
	_Atomic uint64_t since; /* when it joined: CLOCK_BOOTTIME, ns */
	_Atomic uint32_t pid;	/* 0: a free place */
	uint32_t unused;
};

struct stats_header {
	char magic[8];
	uint32_t version;
	uint32_t size;
	uint64_t started; /* CLOCK_REALTIME, ns */
	_Atomic uint64_t
		dead_seen; /* when a reader first found it dead: CLOCK_REALTIME, ns; 0: none has */
	_Atomic uint32_t ended; /* the last process ended by exit(3) */
	uint32_t uid;		/* of the process that was started */
	uint32_t dry_run;
	uint32_t mask;
	/* forks begun, and children that have joined since: as long as these differ, one may be on its way */
	_Atomic uint32_t forks, joined;
	char comm[16], library[16];
	struct stats_member member[STATS_MEMBERS];
	_Atomic uint64_t lane_owner[STATS_LANES]; /* pid << 32 | tid; 0: free */
	/* when each cause was said last (CLOCK_MONOTONIC, s, plus one), and its count then: for all processes together */
	_Atomic uint64_t said_at[STATS_COUNTERS], said_count[STATS_COUNTERS];
	char evidence_name[STATS_EVIDENCES][STATS_NAME_MAX];
	char counter_name[STATS_COUNTERS][STATS_NAME_MAX]; /* empty: there are no more */
};

/* What one thread counts: nobody else writes it. */
struct stats_lane {
	_Alignas(STATS_LINE) _Atomic uint64_t counter[STATS_COUNTERS];
};

/* Upstream queries with one mark, by evidence: a cache line. */
struct stats_mark {
	_Alignas(STATS_LINE) _Atomic uint64_t key; /* STATS_KEY(mark); 0: a free place */
	_Atomic uint64_t queries[STATS_EVIDENCES];
};

#define STATS_KEY(mark) (UINT64_C(1) << 32 | (mark))

struct stats_stripe {
	struct stats_mark mark[STATS_MARKS];
	struct stats_mark other; /* marks for which there was no room */
};

struct stats_region {
	struct stats_header header;
	struct stats_lane lane[STATS_LANES];
	struct stats_stripe stripe[STATS_STRIPES];
};

_Static_assert(sizeof(struct stats_mark) == STATS_LINE, "a mark is a cache line");

#endif
