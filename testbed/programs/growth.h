/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process occupies, as the kernel counts it: memory and descriptors. */
#ifndef GROWTH_H
#define GROWTH_H

#include "loopback.h"

#include <dirent.h>

static inline long resident_kb(void)
{
	char line[256];
	long kb = -1;
	FILE *file = fopen("/proc/self/status", "r");

	NEED(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmRSS: %ld", &kb) == 1)
			break;
	NEED(fclose(file) == 0 && kb > 0);
	return kb;
}

static inline int descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	NEED(folder);
	while (readdir(folder))
		count++;
	NEED(closedir(folder) == 0);
	return count;
}

#endif
