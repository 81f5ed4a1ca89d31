// SPDX-License-Identifier: GPL-2.0-or-later
#include "pages.h"

#include <errno.h>
#include <sys/mman.h>

void *pages_map(size_t bytes, bool large)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int saved = errno;

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, bytes,
		large ? MADV_HUGEPAGE : MADV_NOHUGEPAGE); /* a kernel without either has one kind */
	errno = saved;
	return p;
}
