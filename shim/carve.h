/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables of fixed size in one piece of memory: each begins at a cache line, behind the one before. */
#ifndef SHIM_CARVE_H
#define SHIM_CARVE_H

#include <stddef.h>

enum { CARVE_ALIGNMENT = 64 };

/** What a table of so many bytes takes. */
static inline size_t carve_size(size_t bytes)
{
	return (bytes + CARVE_ALIGNMENT - 1) & ~(size_t)(CARVE_ALIGNMENT - 1);
}

/** The next table, at *at, which goes behind it. */
static inline void *carve(char **at, size_t bytes)
{
	void *table = *at;

	*at += carve_size(bytes);
	return table;
}

#endif
