// SPDX-License-Identifier: GPL-2.0-or-later
#include "fdtab.h"

#include "log.h"
#include "pages.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	LOCKS = 64,
	HELD_SLOTS = 256, /* messages in pieces at once, all connections together */
};

static pid_t process; /* whose table this is */
/* The first page is there from the start: most programs need no memory for others. */
static struct fd_state first_page[FD_PAGE_SIZE];
_Atomic(struct fd_state *) fd_pages[FD_PAGES] = {[0] = first_page};
static pthread_mutex_t locks[LOCKS] = {[0 ... LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER};

/* ---- held messages ---- */

/* A bit a slot, set: taken. No lock, so that a close() in a signal handler may give one back. */
static _Atomic uint64_t held_taken[HELD_SLOTS / 64];
static _Atomic(uint8_t *) held_pool;

static uint8_t *pool_get(void)
{
	uint8_t *pool = atomic_load(&held_pool), *none = NULL;

	if (pool)
		return pool;
	pool = pages_map((size_t)HELD_SLOTS * STREAM_HELD_MAX, false);
	if (pool && !atomic_compare_exchange_strong(&held_pool, &none, pool)) {
		munmap(pool, (size_t)HELD_SLOTS * STREAM_HELD_MAX);
		pool = none;
	}
	return pool;
}

static uint8_t *held_take(void)
{
	uint8_t *pool = pool_get();

	for (unsigned word = 0; pool && word < HELD_SLOTS / 64; word++) {
		uint64_t taken = atomic_load(&held_taken[word]);

		while (~taken) {
			unsigned bit = (unsigned)__builtin_ctzll(~taken);

			if (atomic_compare_exchange_weak(&held_taken[word], &taken,
							 taken | 1ULL << bit))
				return pool + (size_t)(word * 64 + bit) * STREAM_HELD_MAX;
		}
	}
	log_cause(LOG_held_full, 0);
	return NULL;
}

static void held_give(uint8_t *slot)
{
	size_t i = (size_t)(slot - atomic_load(&held_pool)) / STREAM_HELD_MAX;

	atomic_fetch_and(&held_taken[i / 64], ~(1ULL << i % 64));
}

const struct stream_store fd_store = {held_take, held_give};

/* ---- the table ---- */

static struct fd_state *page_make(unsigned page)
{
	struct fd_state *fresh = pages_map(FD_PAGE_SIZE * sizeof(*fresh), false), *none = NULL;

	if (!fresh)
		log_cause(LOG_descriptors_failed, errno);
	if (fresh && !atomic_compare_exchange_strong(&fd_pages[page], &none, fresh)) {
		munmap(fresh, FD_PAGE_SIZE * sizeof(*fresh));
		fresh = none;
	}
	return fresh;
}

struct fd_state *fd_get(int fd)
{
	struct fd_state *st = fd_find(fd);

	if (st || (unsigned)fd >= FD_LIMIT)
		return st;
	return page_make((unsigned)fd >> FD_PAGE_BITS) ? fd_find(fd) : NULL;
}

static void reset_streams(struct fd_state *st)
{
	stream_reset(&st->rx, &fd_store);
	stream_reset(&st->tx, &fd_store);
	st->unanswered = 0;
	st->tx_withheld = 0;
	st->stream_gen = fd_gen(st);
}

void fd_lock_streams(struct fd_state *st, int fd)
{
	pthread_mutex_lock(&locks[(unsigned)fd % LOCKS]);
	if (st->stream_gen != fd_gen(st))
		reset_streams(st);
}

void fd_unlock_streams(int fd)
{
	pthread_mutex_unlock(&locks[(unsigned)fd % LOCKS]);
}

/*
 * Safe in a signal handler: where the lock is taken, perhaps by the very thread that the signal
 * interrupted, the streams are reset later, by who next uses them.
 */
static void forget(struct fd_state *st, int fd)
{
	uint32_t flags = fd_flags(st);

	if (!flags)
		return; /* never used, or forgotten already */
	if ((flags & FD_KIND) != FD_OTHER && getpid() != process)
		return; /* a child of vfork: the memory is its parent's, whose descriptor stays open */
	atomic_fetch_add_explicit(&st->gen, 1, memory_order_acq_rel);
	atomic_store_explicit(&st->flags, 0, memory_order_release);
	atomic_store_explicit(&st->base_mark, 0, memory_order_relaxed);
	atomic_store_explicit(&st->current_mark, 0, memory_order_relaxed);
	atomic_store_explicit(&st->client_mark, 0, memory_order_relaxed);
	atomic_store_explicit(&st->cookie, 0, memory_order_relaxed);
	atomic_store_explicit(&st->reader, 0, memory_order_relaxed);
	atomic_store_explicit(&st->writer, 0, memory_order_relaxed);
	if ((flags & FD_KIND) != FD_TCP || pthread_mutex_trylock(&locks[(unsigned)fd % LOCKS]) != 0)
		return;
	reset_streams(st);
	fd_unlock_streams(fd);
}

void fd_forget(int fd)
{
	struct fd_state *st = fd_find(fd);

	if (st)
		forget(st, fd);
}

void fd_forget_range(unsigned first, unsigned last)
{
	if (last >= FD_LIMIT)
		last = FD_LIMIT - 1;
	for (unsigned page = first >> FD_PAGE_BITS; page <= last >> FD_PAGE_BITS && first <= last;
	     page++) {
		struct fd_state *states =
			atomic_load_explicit(&fd_pages[page], memory_order_acquire);

		for (unsigned i = 0; states && i < FD_PAGE_SIZE; i++) {
			unsigned fd = page << FD_PAGE_BITS | i;

			if (fd >= first && fd <= last)
				forget(states + i, (int)fd);
		}
	}
}

void fd_copy(int from, int to)
{
	struct fd_state *old = fd_find(from), *new;

	fd_forget(to);
	if (!old || !(new = fd_get(to)) || (fd_flags(old) & FD_KIND) == FD_OURS)
		return;
	atomic_fetch_and(&old->flags, ~(uint32_t)(FD_CURRENT | FD_BASE));
	fd_set_flags(old, FD_SHARED);
	uint32_t flags = fd_flags(old);

	if (flags & FD_SERVER)
		new->local = old->local;
	if (flags & FD_ENDS) {
		new->self = old->self;
		new->peer = old->peer;
	} else {
		flags &= ~(uint32_t)FD_NOTING;
	}
	atomic_store_explicit(&new->flags, flags, memory_order_release);
}

void fd_init(void)
{
	process = getpid();
}

void fd_after_fork(void)
{
	process = getpid();

	static const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;

	for (int i = 0; i < LOCKS; i++)
		locks[i] = unlocked;
}
