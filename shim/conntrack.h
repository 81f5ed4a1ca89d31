/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asking the kernel's connection tracking for a client flow's mark (ctnetlink). */
#ifndef SHIM_CONNTRACK_H
#define SHIM_CONNTRACK_H

#include "flow.h"
#include "log.h"

#include <stdint.h>

/**
 * Called once, from the constructor, before anything is asked.
 *
 * @param zone  conntrack zone of the clients' flows (CTA_ZONE); 0: the default one
 */
void conntrack_init(uint16_t zone);

/**
 * Looks a flow's connmark up. One exchange with the kernel, which answers within the call: never waits, and where
 * there is no answer then, there is none.
 *
 * @param flow  both ends must be known
 * @return 0, or a negative errno: -ENOENT: no such flow; -EPERM: CAP_NET_ADMIN is missing
 */
int conntrack_mark(const struct flow *flow, uint32_t *mark);

/** What to count and say of a question that failed, by what conntrack_mark has just returned to this thread. */
enum log_counter conntrack_cause(int err);

/** The thread ends: closes its socket. */
void conntrack_thread_ends(void);

/** In a child after fork: the parent's sockets are closed, since answers on them would be
 * anybody's. */
void conntrack_after_fork(void);

#endif
