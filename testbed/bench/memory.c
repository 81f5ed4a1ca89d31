// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long one read from memory takes that no cache holds, and that tells where the next one is: among LINES, which is more
 * than the buckets of a million waiting names take, and less than their entries. Prints nanoseconds.
 */
#include "clock.h"
#include "pages.h"

#include <stdint.h>
#include <stdio.h>

enum { LINE = 64, LINES = (96 << 20) / LINE, READS = 2000000 };

struct line {
	_Alignas(LINE) uint32_t next;
};

/* One circle through all lines in no order (Sattolo's): the state is a full-period generator's, and no secret. */
static void tie(struct line *lines)
{
	uint64_t state = 1;

	for (uint32_t i = 0; i < LINES; i++)
		lines[i].next = i;
	for (uint32_t i = LINES - 1; i; i--) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		uint32_t other = (uint32_t)((state >> 32) * i >> 32), kept = lines[i].next;

		lines[i].next = lines[other].next;
		lines[other].next = kept;
	}
}

int main(void)
{
	struct line *lines = pages_map(LINES * sizeof(*lines), true);
	volatile uint32_t last; /* so that somebody wants to know */
	uint32_t at = 0;

	if (!lines) {
		fprintf(stderr, "memory: there is not enough of it\n");
		return 1;
	}
	tie(lines);
	uint64_t start = now_ns();

	for (int i = 0; i < READS; i++)
		at = lines[at].next;
	last = at;
	(void)last;
	printf("%.1f\n", (double)(now_ns() - start) / READS);
	return 0;
}
