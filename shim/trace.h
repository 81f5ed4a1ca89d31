/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CONNMARK_TRACE: one line of JSON for each decision. */
#ifndef SHIM_TRACE_H
#define SHIM_TRACE_H

#include "attrib.h"

#include <stdint.h>

/** Writes why an upstream query got its mark; nothing where tracing is off. */
void trace_decision(int fd, const struct dns_message *query, const struct attrib_decision *decision,
		    uint32_t mark);

#endif
