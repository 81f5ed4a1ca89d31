// SPDX-License-Identifier: GPL-2.0-or-later
#include "stats.h"

#include "log.h"
#include "real.h"
#include "stats_file.h"
#include "thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#ifndef SHIM_VERSION
#define SHIM_VERSION "unknown"
#endif

enum { PROBES = 64 }; /* places that are looked at for one mark */

_Static_assert((int)LOG_COUNT <= (int)STATS_COUNTERS, "there is room for every counter");
_Static_assert((int)ATTRIB_EVIDENCES == (int)STATS_EVIDENCES,
	       "there is room for every kind of evidence");

static struct stats_region before_start; /* what counts before the constructor, or without it */

_Thread_local struct stats_lane *stats_own_lane __attribute__((tls_model("initial-exec")));
struct stats_region *stats_region = &before_start;

static struct stats_file file;
static _Atomic int unsaid_error; /* why the counters are not to be seen from outside */

/* The thread has looked for a lane: where there was none, or it has been given back, it looks no more. */
static _Thread_local bool tried __attribute__((tls_model("initial-exec")));

/* ---- lanes ---- */

static bool is_gone(pid_t pid)
{
	int saved = errno;
	bool gone = kill(pid, 0) != 0 && errno == ESRCH;

	errno = saved;
	return gone;
}

/* A lane that nobody has, or whose owner's process is gone: children that _exit give nothing back. */
static bool take_lane(unsigned i, uint64_t self, bool from_the_dead)
{
	uint64_t owner = atomic_load(&stats_region->header.lane_owner[i]);

	if (owner && (!from_the_dead || !is_gone((pid_t)(owner >> 32))))
		return false;
	return atomic_compare_exchange_strong(&stats_region->header.lane_owner[i], &owner, self);
}

static void find_lane(void)
{
	if (tried)
		return;
	tried = true;
	uint64_t self = (uint64_t)getpid() << 32 | (uint32_t)gettid();

	for (unsigned i = 1; i < 2 * STATS_LANES - 1; i++) {
		unsigned lane = 1 + (i - 1) % (STATS_LANES - 1);

		if (!take_lane(lane, self, i >= STATS_LANES))
			continue;
		stats_own_lane = &stats_region->lane[lane];
		thread_wants_end();
		return;
	}
}

void stats_add_slow(unsigned counter)
{
	/* not before the constructor is through: a thread could not give its lane back */
	if (atomic_load_explicit(&shim_ready, memory_order_acquire))
		find_lane();
	if (stats_own_lane)
		stats_add(counter);
	else
		atomic_fetch_add_explicit(&stats_region->lane[0].counter[counter], 1,
					  memory_order_relaxed);
}

void stats_thread_ends(void)
{
	struct stats_lane *lane = stats_own_lane;

	stats_own_lane = NULL;
	if (lane)
		atomic_store(&stats_region->header.lane_owner[lane - stats_region->lane], 0);
}

uint64_t stats_sum(unsigned counter)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STATS_LANES; i++)
		sum += atomic_load_explicit(&stats_region->lane[i].counter[counter],
					    memory_order_relaxed);
	return sum;
}

/* ---- marks ---- */

static struct stats_mark *find_mark(struct stats_stripe *stripe, uint32_t mark)
{
	uint64_t key = STATS_KEY(mark);
	unsigned at = mark * UINT32_C(2654435761) >> 22; /* of 1024 places */

	for (unsigned i = 0; i < PROBES; i++) {
		struct stats_mark *place = &stripe->mark[(at + i) % STATS_MARKS];
		uint64_t found = atomic_load_explicit(&place->key, memory_order_relaxed);

		if (found == key ||
		    (!found &&
		     (atomic_compare_exchange_strong(&place->key, &found, key) || found == key)))
			return place;
	}
	return &stripe->other;
}

void stats_query(uint32_t mark, enum attrib_evidence evidence)
{
	size_t lane = stats_own_lane ? (size_t)(stats_own_lane - stats_region->lane) : 0;
	struct stats_mark *place = find_mark(&stats_region->stripe[lane % STATS_STRIPES], mark);

	atomic_fetch_add_explicit(&place->queries[evidence], 1, memory_order_relaxed);
	stats_say_failure();
}

/* ---- processes ---- */

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool join(void)
{
	for (unsigned i = 0; i < STATS_MEMBERS; i++) {
		struct stats_member *m = &stats_region->header.member[i];
		uint32_t pid = atomic_load(&m->pid);

		if (pid && !is_gone((pid_t)pid))
			continue;
		if (!atomic_compare_exchange_strong(&m->pid, &pid, (uint32_t)getpid()))
			continue;
		atomic_store(&m->since, now_ns(CLOCK_BOOTTIME));
		return true;
	}
	return false;
}

void stats_before_fork(void)
{
	atomic_fetch_add(&stats_region->header.forks, 1);
}

/* The parent's lane stays the parent's. */
void stats_after_fork(void)
{
	stats_own_lane = NULL;
	tried = false;
	if (join())
		atomic_fetch_add(&stats_region->header.joined, 1);
}

/* Leaves, and tells whether others are left. */
static bool leave(void)
{
	bool others = atomic_load(&stats_region->header.forks) !=
		      atomic_load(&stats_region->header.joined);

	for (unsigned i = 0; i < STATS_MEMBERS; i++) {
		struct stats_member *m = &stats_region->header.member[i];
		uint32_t pid = atomic_load(&m->pid);

		if (pid == (uint32_t)getpid())
			atomic_store(&m->pid, 0);
		else if (pid && !is_gone((pid_t)pid))
			others = true;
	}
	return others;
}

/* At exit(3): the file goes with the last process. A user who has been dropped to may not remove it; connmark-stat does. */
__attribute__((destructor)) static void ended(void)
{
	if (!file.name[0] || leave())
		return;
	atomic_store(&stats_region->header.ended, 1);
	stats_file_remove(&file);
}

/* ---- the start ---- */

static void describe(struct stats_header *h, const struct config *c)
{
	static const char *const names[] = {
#define LOG_COUNTER(name)	      #name,
#define LOG_CAUSE(name, what, remedy) #name,
		LOG_COUNTERS
#undef LOG_COUNTER
#undef LOG_CAUSE
	};

	memcpy(h->magic, STATS_MAGIC, sizeof(h->magic));
	h->version = STATS_VERSION;
	h->size = sizeof(struct stats_region);
	h->started = now_ns(CLOCK_REALTIME);
	h->uid = geteuid();
	h->dry_run = c->dry_run;
	h->mask = c->mask;
	prctl(PR_GET_NAME, h->comm);
	snprintf(h->library, sizeof(h->library), "%s", SHIM_VERSION);
	for (unsigned i = 0; i < LOG_COUNT; i++)
		snprintf(h->counter_name[i], STATS_NAME_MAX, "%s", names[i]);
	for (unsigned i = 0; i < ATTRIB_EVIDENCES; i++)
		snprintf(h->evidence_name[i], STATS_NAME_MAX, "%s",
			 attrib_evidence_name((enum attrib_evidence)i));
}

static struct stats_region *in_memory(void)
{
	void *memory = mmap(NULL, sizeof(struct stats_region), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int open_file(const struct config *c)
{
	struct stats_region *region = NULL;
	int error = 0;

	if (c->stats_dir[0]) {
		region = stats_file_make(&file, c->stats_dir, &error);
		if (!region)
			file.name[0] = '\0';
	}
	if (!region)
		region = in_memory();
	if (!region)
		return error;
	describe(&region->header, c);
	stats_region = region;
	join();
	if (file.name[0])
		error = stats_file_publish(&file, region->header.comm);
	return error;
}

void stats_open(const struct config *c)
{
	atomic_store(&unsaid_error, open_file(c));
}

void stats_say_failure(void)
{
	if (!atomic_load_explicit(&unsaid_error, memory_order_relaxed))
		return;
	int error = atomic_exchange(&unsaid_error, 0);

	if (error)
		log_cause(LOG_stats_failed, error);
}
