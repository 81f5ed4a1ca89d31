/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CONNMARK_TRACE: a line of JSON for each upstream query that has left, with its client's query and the evidence that
 * joined them. connmark-trace(8) documents the fields. A line is one write, and lines are bounded in number.
 */
#ifndef SHIM_TRACE_H
#define SHIM_TRACE_H

#include "attrib.h"
#include "sent.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Set once, by the constructor. */
extern bool trace_on;

/** Called once, from the constructor. */
void trace_init(void);

/** In a child after fork: what another thread held is free. */
void trace_after_fork(void);

/** Keeps a client's question for the lines of the queries that it will cause: attribution keeps none in the clear. */
void trace_note_client(const struct attrib_owner *who, const uint8_t *msg, size_t end);

/** The same, where tracing is on. */
static inline void trace_client(const struct attrib_owner *who, const uint8_t *msg, size_t end)
{
	if (trace_on)
		trace_note_client(who, msg, end);
}

/** Writes why an upstream query got its mark; nothing where tracing is off. */
void trace_query(const struct sent *s, enum sent_as as);

#endif
