/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CONNMARK_ON_FAILURE=drop: an upstream query whose client's mark is not known, or cannot be set, does not leave. The
 * program is told that it did, as if the network had lost it, so that its own timeouts apply.
 */
#ifndef SHIM_WITHHOLD_H
#define SHIM_WITHHOLD_H

#include "thread.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

/** Must such a query stay here? */
static inline bool withhold_applies(void)
{
	return shim.config.on_failure == ON_FAILURE_DROP && !shim.config.dry_run;
}

/**
 * A query is not sent: counted and said. errno is kept.
 *
 * @return false where the number is no socket any more, closed past us: what is written there is no query
 */
bool withhold(int fd);

/** More bytes of the same query come. Returns as above, and counts nothing. */
bool withhold_goes_on(int fd);

/**
 * What leaves while nothing can be decided: no table, a refused configuration, no memory for the descriptor's state, or
 * amid work of our own. Then every upstream query's mark is unknown.
 *
 * @return 0: it may leave; else what the program's call returns, with its errno
 */
ssize_t withhold_undecided(int fd, const struct msghdr *app);

/** The same of a query that is seen before it is encrypted: counted and said. */
void withhold_cleartext(void);

/**
 * A query cannot be left out of its connection, since a part of it has left already: the connection ends.
 *
 * @return -1, with ECONNRESET
 */
ssize_t withhold_connection(int fd);

#endif
