/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Putting a mark on what leaves: as a control message on a datagram, by setsockopt on a connection. Which bits are
 * ours says CONNMARK_MASK; the others stay as the program or its surroundings set them.
 */
#ifndef SHIM_MARK_H
#define SHIM_MARK_H

#include "fdtab.h"

#include <stdbool.h>
#include <stdint.h>

/* What comes of marking a socket. */
enum marking {
	MARK_DONE, /* it has the mark now */
	MARK_FAILED, /* it could not be set; the socket bears no other client's, so what is sent may leave */
	MARK_STALE, /* it could not be set, and the socket bears another client's: nothing may leave */
	MARK_LATER, /* bytes of another mark must leave first: the connection is not writable until they have */
};

/** The whole mark of a socket whose bits of ours are to be `mark`. May ask the kernel, once a socket. */
uint32_t mark_for(int fd, struct fd_state *st, uint32_t mark);

/** The socket's mark as it is. May ask the kernel, likewise. */
uint32_t mark_now(int fd, struct fd_state *st);

/** Does the socket have this mark? May ask the kernel, once a socket (always where it is shared by dup). */
bool mark_is(int fd, struct fd_state *st, uint32_t whole);

/**
 * Does the mark on a datagram of this socket have to be set on the socket too? Where a control message alone would
 * leave by the route of another mark, or is not understood by this kernel.
 */
bool mark_needs_socket(const struct fd_state *st);

/** A mark could not be set, with this errno: counts the cause and says it. */
void mark_say_failed(int error);

/** Sets the socket's own mark, where it is not that already. What fails is counted and said. */
enum marking mark_socket(int fd, struct fd_state *st, uint32_t whole);

/**
 * Marks a connection for the bytes that come next. The kernel reads a connection's mark when a segment leaves, not
 * when it is written, so what was written before must have left when it changes.
 */
enum marking mark_connection(int fd, struct fd_state *st, uint32_t whole);

/**
 * What poll(2) says of writing, at once; 0 if the kernel has no room now. Asking also has it wake the program's own event
 * wait when that changes.
 */
int mark_ready(int fd);

/** The mark that the socket has, or had before we first changed it. May ask the kernel, once a socket. */
uint32_t mark_before(int fd, struct fd_state *st);

/** The program's own mark of a socket that we have marked: what it sees (SO_MARK). False: the kernel's word will do. */
bool mark_hidden(int fd, struct fd_state *st, uint32_t *whole);

/** The program set SO_MARK itself. */
void mark_set_by_program(struct fd_state *st, uint32_t whole);

#endif
