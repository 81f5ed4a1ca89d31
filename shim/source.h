/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where clients' marks come from (CONNMARK_SOURCE): conntrack is asked for the mark of the client's flow, or the
 * client's packet brings its own mark along (SO_RCVMARK; for TCP what the connection inherited from its SYN).
 */
#ifndef SHIM_SOURCE_H
#define SHIM_SOURCE_H

#include "attrib.h"
#include "config.h"

enum { SOURCE_KERNEL_PACKET = 0x0513 }; /* Linux 5.19: SO_RCVMARK (6fd1d51cfa25) */

/**
 * SOURCE_CONNTRACK or SOURCE_PACKET. With CONNMARK_SOURCE=auto it is decided when first asked for, and said in the log:
 * conntrack where it may be asked, else packet; a failure that may pass (no descriptor, no memory) decides nothing yet. errno is kept.
 */
enum config_source source_now(void);

/** Notes what can be seen only now, before the program changes its root or its user. */
void source_init(void);

/**
 * Finds out a client's mark, and notes how.
 *
 * @return 0, or a negative errno: -ENOENT: there is none to be had
 */
int source_mark(struct attrib_owner *owner);

#endif
