/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread at a time marks a connection and writes on it: the kernel reads the mark when the bytes leave, so between
 * the two nobody may set another. Held across the program's own call, so it is no ordinary lock: whoever waits does so
 * only while the kernel has room, and a thread that never comes back (cancelled amid its call, or not copied by a fork)
 * keeps nobody waiting. By the number of the descriptor: threads that write on one connection by two of them (dup) may
 * still meet.
 */
#ifndef SHIM_WRITER_H
#define SHIM_WRITER_H

#include "fdtab.h"

#include <stdbool.h>

/* A thread's claim to write; begun and ended by one call of the program's. */
struct writer {
	struct fd_state *st;	/* NULL: there is none to end */
	struct fd_state *outer; /* what a signal handler's call interrupted */
};

/**
 * Claims a connection for this thread, which waits for another's write to end. A signal handler amid the thread's own
 * write goes on as part of it.
 *
 * @return false: another thread's call waits until the kernel has room, and so must this one (poll for POLLOUT)
 */
bool writer_begin(int fd, struct fd_state *st, struct writer *writer);

/** Ends the claim, if there is one. */
void writer_end(struct writer *writer);

/** The calling thread ends, perhaps amid a write. */
void writer_thread_ends(void);

/** In a child after fork: this thread has another number. */
void writer_after_fork(void);

#endif
