// SPDX-License-Identifier: GPL-2.0-or-later
#include "writer.h"

#include "mark.h"
#include "thread.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * In fd_state.writer: who writes, and whether others wait. A thread is known by its number (gettid(2); PID_MAX_LIMIT is
 * 2^22) and its process's generation: a fork leaves claims of threads that the child does not have. Nobody waits for
 * ever for a thread that left its call by longjmp: after LOOKS_MOST, while the kernel has room, it is taken as gone.
 */
enum { NUMBER_BITS = 22, GENERATIONS = 1 << 8, WAITED = 1 << 30, LOOK_MS = 10, LOOKS_MOST = 1000 };

static uint32_t generation; /* changes where there is one thread: in a child after fork */

static uint32_t own_number(void)
{
	if (!thread_self.writer) {
		thread_self.writer = generation << NUMBER_BITS | (uint32_t)syscall(SYS_gettid);
		thread_wants_end();
	}
	return thread_self.writer;
}

static bool is_lost(uint32_t now, unsigned looks)
{
	return (now & ~(uint32_t)WAITED) >> NUMBER_BITS != generation || looks >= LOOKS_MOST;
}

static bool claim(struct fd_state *st, uint32_t *now, uint32_t own)
{
	return atomic_compare_exchange_strong(&st->writer, now, own);
}

/* Until the writer has ended; true: a moment has passed, and it has not. */
static bool wait_for(struct fd_state *st, uint32_t now)
{
	struct timespec moment = {.tv_nsec = LOOK_MS * 1000000L};

	if (!(now & WAITED) && !claim(st, &now, now | WAITED))
		return false;
	return syscall(SYS_futex, &st->writer, FUTEX_WAIT_PRIVATE, now | WAITED, &moment, NULL,
		       0) != 0 &&
	       errno == ETIMEDOUT;
}

static void begin(struct fd_state *st, struct writer *writer)
{
	writer->st = st;
	writer->outer = thread_self.writes;
	thread_self.writes = st;
}

bool writer_begin(int fd, struct fd_state *st, struct writer *writer)
{
	uint32_t own = own_number(), now = 0, with = 0;
	int saved = errno;
	bool room = true;

	*writer = (struct writer){0};
	for (unsigned looks = 0; room && !claim(st, &now, own | with);) {
		if ((now & ~(uint32_t)WAITED) == own)
			return true;
		if (is_lost(now, looks))
			continue; /* what it was is claimed now, if it still is */
		room = !looks || mark_ready(fd);
		if (room)
			looks = wait_for(st, now) ? looks + 1 : 0;
		now = 0;
		with = WAITED; /* others may wait as well */
	}
	if (room)
		begin(st, writer);
	errno = saved;
	return room;
}

static void release(struct fd_state *st)
{
	uint32_t now = thread_self.writer;

	if (claim(st, &now, 0) || now != (thread_self.writer | WAITED) || !claim(st, &now, 0))
		return; /* the descriptor was closed meanwhile, or the claim given up for lost */
	int saved = errno;

	syscall(SYS_futex, &st->writer, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
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
