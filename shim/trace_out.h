/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the lines of a trace go (CONNMARK_TRACE), and how many a second (CONNMARK_TRACE_RATE). */
#ifndef SHIM_TRACE_OUT_H
#define SHIM_TRACE_OUT_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Called once, from the constructor.
 *
 * @return is there a trace at all?
 */
bool trace_out_init(void);

/** May one more line be written now? One that may not is counted, and its number said later. */
bool trace_out_allowed(void);

/** Writes a line, which has its newline, at once. What fails is counted and said. */
void trace_out_line(const char *line, size_t len);

/** In a child after fork. */
void trace_out_after_fork(void);

#endif
