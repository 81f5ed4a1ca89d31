/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory straight from the kernel: a call that the program makes must not end in its own allocator. */
#ifndef SHIM_PAGES_H
#define SHIM_PAGES_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Zeroed memory, of which as much is occupied as is touched. errno is kept where there is any.
 *
 * @param large  it is meant to be full, and looked at here and there: in huge pages, where the system has any to give.
 *               Else in small ones, also where the system's own choice is different (transparent_hugepage/enabled says
 *               "always", Debian's default): each byte that is touched would occupy 2 MiB. (madvise(2), MADV_HUGEPAGE and
 *               MADV_NOHUGEPAGE, Linux 2.6.38)
 * @return NULL where there is none
 */
void *pages_map(size_t bytes, bool large);

#endif
