// SPDX-License-Identifier: GPL-2.0-or-later
#include "thread.h"

#include "conntrack.h"
#include "fdtab.h"
#include "intakes.h"
#include "log.h"
#include "route.h"
#include "stats.h"
#include "tls_pending.h"
#include "trace.h"
#include "writer.h"

#include <pthread.h>
#include <time.h>

_Thread_local struct thread thread_self __attribute__((tls_model("initial-exec")));
struct shim shim;
_Atomic bool shim_ready;

static pthread_key_t end_key;

uint32_t thread_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint32_t)((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

static void thread_ends(void *unused)
{
	(void)unused;
	thread_self.busy = 1;
	writer_thread_ends();
	conntrack_thread_ends();
	intakes_thread_ends(&thread_self);
	tls_pending_thread_ends();
	stats_thread_ends();
	thread_self.busy = 0;
}

void thread_wants_end(void)
{
	pthread_setspecific(end_key, &thread_self);
}

/*
 * The child has only this thread. Locks that others held are freed, what they guarded is emptied.
 * Where a signal handler forked amid our own work, that work goes on after the handler, on tables
 * nobody may touch: the child does without marks then, and says so.
 */
static void after_fork_in_child(void)
{
	stats_after_fork();
	writer_after_fork();
	if (!atomic_load(&shim_ready))
		return;
	if (thread_self.busy) {
		atomic_store(&shim_ready, false);
		log_cause(LOG_fork_failed, 0);
		return;
	}
	conntrack_after_fork();
	fd_after_fork();
	route_after_fork();
	attrib_after_fork(shim.attrib);
	intakes_after_fork(&thread_self);
	trace_after_fork();
}

void thread_init(void)
{
	pthread_key_create(&end_key, thread_ends);
	pthread_atfork(stats_before_fork, NULL, after_fork_in_child);
}
