/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Putting a mark on what leaves: as a control message on a datagram, by setsockopt on a connection.
 * Which bits are ours says CONNMARK_MASK; the others stay as the program or its surroundings set
 * them.
 */
#ifndef SHIM_MARK_H
#define SHIM_MARK_H

#include "fdtab.h"

#include <stdbool.h>
#include <stdint.h>

/** The whole mark of a socket whose bits of ours are to be `mark`. May ask the kernel, once a
 * socket. */
uint32_t mark_for(int fd, struct fd_state *st, uint32_t mark);

/** Does a datagram need help to bear this mark, or has its socket got it already? */
static inline bool mark_is_current(const struct fd_state *st, uint32_t whole)
{
	return atomic_load_explicit(&st->current_mark, memory_order_relaxed) == whole;
}

/**
 * Does the mark on a datagram of this socket have to be set on the socket too? Where a control
 * message alone would leave by the route of another mark, or is not understood by this kernel.
 */
bool mark_needs_socket(const struct fd_state *st);

/**
 * Sets the socket's own mark, where it is not that already. What fails is counted and said.
 *
 * @return false where the socket does not have the mark now
 */
bool mark_socket(int fd, struct fd_state *st, uint32_t whole);

/**
 * Marks a connection for the query whose bytes come next. The kernel reads a connection's mark when
 * a segment leaves, not when it is written, so the bytes of queries before must have left when it
 * changes.
 *
 * @return false where they have not yet: the connection is not writable then (poll(2)), and will be
 * as soon as they have
 */
bool mark_connection(int fd, struct fd_state *st, uint32_t whole);

/** The program set SO_MARK itself. */
void mark_set_by_program(struct fd_state *st, uint32_t whole);

#endif
