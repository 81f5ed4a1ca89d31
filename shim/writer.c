// SPDX-License-Identifier: GPL-2.0-or-later
#include "writer.h"

#include "mark.h"
#include "thread.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * In fd_state.writer: who writes, and whether others wait. A thread is known by a number of its own and its process's
 * generation: a fork leaves claims of threads that the child does not have. Nobody waits for ever for a thread that left
 * its call by longjmp: it is taken as gone when one claim of its has stood for LOOKS_MOST looks, while the kernel had room.
 */
enum { NUMBER_BITS = 22, GENERATIONS = 1 << 8, WAITED = 1 << 30, LOOK_MS = 10, LOOKS_MOST = 1000 };

/* The kernel's own form of a timeout, whatever time_t the C library has. */
#ifdef SYS_futex
enum { FUTEX_CALL = SYS_futex };
typedef long kernel_time;
#else
enum { FUTEX_CALL = SYS_futex_time64 };
typedef int64_t kernel_time;
#endif

static _Atomic uint32_t numbers;
static uint32_t generation; /* changes where there is one thread: in a child after fork */

static uint32_t own_number(void)
{
	if (thread_self.writer)
		return thread_self.writer;
	uint32_t number;

	do
		number = atomic_fetch_add(&numbers, 1) % (1U << NUMBER_BITS);
	while (!number);
	thread_self.writer = generation << NUMBER_BITS | number;
	thread_wants_end();
	return thread_self.writer;
}

static uint32_t whose(uint32_t writer)
{
	return writer & ~(uint32_t)WAITED;
}

static bool claim(struct fd_state *st, uint32_t *now, uint32_t own)
{
	return atomic_compare_exchange_strong(&st->writer, now, own);
}

/* One claim that stands. */
struct standing {
	uint32_t who;
	unsigned looks; /* that have found it */
};

/* Until it has ended, or a moment has passed. */
static void wait_for(struct fd_state *st, uint32_t now, struct standing *other)
{
	const kernel_time moment[2] = {0, (kernel_time)LOOK_MS * 1000000};

	if (!(now & WAITED) && !claim(st, &now, now | WAITED))
		return;
	bool ended = syscall(FUTEX_CALL, &st->writer, FUTEX_WAIT_PRIVATE, now | WAITED, moment,
			     NULL, 0) == 0 ||
		     errno == EAGAIN;

	if (ended)
		other->looks = 0; /* the next may be its as well, but is another */
	else if (errno == ETIMEDOUT)
		other->looks++;
}

static bool is_lost(struct standing *other, uint32_t now)
{
	if (other->who != whose(now))
		*other = (struct standing){.who = whose(now)};
	return other->who >> NUMBER_BITS != generation || other->looks >= LOOKS_MOST;
}

/* Waits for another's claim. False: as long as that the kernel has no room. */
static bool claim_in_turn(int fd, struct fd_state *st, uint32_t own, uint32_t now)
{
	struct standing other = {.who = 0};

	do {
		if (is_lost(&other, now)) {
			if (claim(st, &now, own | WAITED))
				return true;
		} else if (mark_ready(fd)) {
			wait_for(st, now, &other);
		} else {
			return false;
		}
		now = 0;
	} while (!claim(st, &now, own | WAITED)); /* others may wait as well */
	return true;
}

bool writer_begin(int fd, struct fd_state *st, struct writer *writer)
{
	int saved = errno;
	uint32_t own = own_number(), now = 0;

	*writer = (struct writer){.st = st, .outer = thread_self.writes};
	thread_self.writes = st;
	bool ours = claim(st, &now, own), within = whose(now) == own && !ours;

	if (!ours && !within)
		ours = claim_in_turn(fd, st, own, now);
	if (!ours) {
		thread_self.writes = writer->outer;
		writer->st = NULL;
	}
	errno = saved;
	return ours || within;
}

static void release(struct fd_state *st)
{
	uint32_t own = thread_self.writer, now = own;

	if (claim(st, &now, 0) || now != (own | WAITED) || !claim(st, &now, 0))
		return; /* the descriptor was closed meanwhile, or the claim given up for lost */
	int saved = errno;

	syscall(FUTEX_CALL, &st->writer, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	errno = saved;
}

void writer_end(struct writer *writer)
{
	if (!writer->st)
		return;
	release(writer->st);
	thread_self.writes = writer->outer;
	writer->st = NULL;
}

void writer_thread_ends(void)
{
	if (thread_self.writes)
		release(thread_self.writes);
	thread_self.writes = NULL;
}

void writer_after_fork(void)
{
	thread_self.writer = 0;
	generation = (generation + 1) % GENERATIONS;
}
