/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Routes that depend on the mark (ip rule fwmark). A connected UDP socket got its source address when the resolver
 * connected it, by the route of no mark; by the route of the client's mark it may be another, and the answer would
 * come back, or be filtered, at the wrong interface.
 */
#ifndef SHIM_ROUTE_H
#define SHIM_ROUTE_H

#include "fdtab.h"
#include "mark.h"

#include <stdint.h>

/**
 * Connects a connected UDP socket anew where the route of this mark gives it another source address. Costs nothing to
 * speak of where the system has no such rules (looked up every few seconds). To be called before the socket's first
 * query with this mark; what fails leaves the socket as it was.
 */
void route_follow(int fd, struct fd_state *st, uint32_t mark);

/**
 * The same for a TCP connection on which a query is about to be written, where nothing is under way on it: before its
 * first bytes, or when all that it was asked is answered. MARK_LATER: it is being made anew.
 */
enum marking route_follow_stream(int fd, struct fd_state *st, uint32_t mark);

/** In a child after fork: the lock is free again. */
void route_after_fork(void);

#endif
