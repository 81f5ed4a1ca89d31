// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long one read from memory takes that no cache holds, and that tells where the next one is. Prints nanoseconds.
 *
 *     memory [MIB]      in so much memory (default 96: more than the buckets of a million waiting names, and less than all their entries)
 */
#include "pages.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LINE = 64, READS = 2000000, MIB_MOST = 4096 };

struct line {
	_Alignas(LINE) uint32_t next;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One circle through all lines in no order (Sattolo's): the state is a full-period generator's, and no secret. */
static void tie(struct line *lines, uint32_t count)
{
	uint64_t state = 1;

	for (uint32_t i = 0; i < count; i++)
		lines[i].next = i;
	for (uint32_t i = count - 1; i; i--) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		uint32_t other = (uint32_t)((state >> 32) * i >> 32), kept = lines[i].next;

		lines[i].next = lines[other].next;
		lines[other].next = kept;
	}
}

int main(int argc, char **argv)
{
	unsigned long mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 96;

	if (argc > 2 || !mib || mib > MIB_MOST) {
		fprintf(stderr, "memory: usage: memory [MIB], from 1 to %d\n", MIB_MOST);
		return 64;
	}
	size_t bytes = mib << 20;
	struct line *lines = pages_map(bytes, true);

	if (!lines) {
		fprintf(stderr, "memory: there are no %lu MiB\n", mib);
		return 1;
	}
	tie(lines, (uint32_t)(bytes / sizeof(*lines)));
	uint64_t start = now_ns();
	uint32_t at = 0;

	for (int i = 0; i < READS; i++)
		at = lines[at].next;
	double each = (double)(now_ns() - start) / READS;

	printf("%.1f\n", at < bytes / sizeof(*lines) ? each : -1);
	return 0;
}
