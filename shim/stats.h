/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The counters, in memory that connmark-stat reads from outside (stats_layout.h). A thread counts in a lane of its own,
 * with a plain add; without a file the same is done in memory of the process.
 */
#ifndef SHIM_STATS_H
#define SHIM_STATS_H

#include "attrib.h"
#include "config.h"
#include "stats_layout.h"

#include <stdatomic.h>
#include <stdint.h>

/* The thread's own lane; NULL: it has none (yet). */
extern _Thread_local struct stats_lane *stats_own_lane __attribute__((tls_model("initial-exec")));

/** Never NULL. Before stats_open it belongs to this process alone. */
extern struct stats_region *stats_region;

/** Counts where the thread has no lane of its own yet, and finds it one. */
void stats_add_slow(unsigned counter);

static inline void stats_add(unsigned counter)
{
	struct stats_lane *lane = stats_own_lane;

	if (!lane) {
		stats_add_slow(counter);
		return;
	}
	/* nobody else writes here: no locked instruction is needed */
	uint64_t n = atomic_load_explicit(&lane->counter[counter], memory_order_relaxed);

	atomic_store_explicit(&lane->counter[counter], n + 1, memory_order_relaxed);
}

/** The counter's sum over all threads and processes. */
uint64_t stats_sum(unsigned counter);

/** Counts an upstream query that has left with this mark. */
void stats_query(uint32_t mark, enum attrib_evidence evidence);

/** Called once, from the constructor: makes the file. Where that fails the counters are kept in memory alone. */
void stats_open(const struct config *c);

/** Says that it has failed, once. Not before there is something to count: every program that is started by the resolver's
 * environment would say it, and an ordinary user's command. */
void stats_say_failure(void);

/** The thread ends: its lane is free for another. */
void stats_thread_ends(void);

/** Around fork: in the parent before it, in the child after it. */
void stats_before_fork(void);
void stats_after_fork(void);

#endif
