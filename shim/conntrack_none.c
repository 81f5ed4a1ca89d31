// SPDX-License-Identifier: GPL-2.0-or-later
/* In conntrack.c's place where libnetfilter_conntrack is not to be had (make NO_CONNTRACK=1): nobody can be asked. */
#include "conntrack.h"

#include <errno.h>

void conntrack_init(uint16_t zone)
{
	(void)zone;
}

int conntrack_mark(const struct flow *flow, uint32_t *mark)
{
	(void)flow;
	(void)mark;
	return -EOPNOTSUPP;
}

enum log_counter conntrack_cause(int err)
{
	(void)err;
	return LOG_lookup_failed;
}

void conntrack_thread_ends(void)
{
}

void conntrack_after_fork(void)
{
}
