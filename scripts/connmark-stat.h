/* SPDX-License-Identifier: GPL-2.0-or-later */
/* connmark-stat: what its files share. */
#ifndef CONNMARK_STAT_H
#define CONNMARK_STAT_H

#include "../shim/stats_layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum { EXIT_NOTHING = 1, EXIT_TROUBLE = 2, EXIT_USAGE = 64 };

enum { UNIT_MAX = 128, FILE_NAME_MAX = 64 };

/* Upstream queries with one mark. */
struct row {
	uint32_t mark;
	bool other; /* marks for which the file had no room */
	uint64_t total, queries[STATS_EVIDENCES];
};

/* One file, added up. */
struct program {
	char file[FILE_NAME_MAX];
	char comm[17], library[17], unit[UNIT_MAX];
	bool alive, dry_run;
	uint64_t started; /* CLOCK_REALTIME, ns */
	uint32_t mask;
	pid_t pid[STATS_MEMBERS]; /* the oldest living one first */
	unsigned pids;
	char counter_name[STATS_COUNTERS][STATS_NAME_MAX + 1];
	char evidence_name[STATS_EVIDENCES][STATS_NAME_MAX + 1];
	uint64_t counter[STATS_COUNTERS];
	struct row *row; /* by mark, `other` last */
	size_t rows;
	struct row total;
};

struct snapshot {
	struct program *program;
	size_t count;
	bool trouble; /* some file could not be read; that has been said */
};

/* ---- connmark-stat-files.c ---- */

/**
 * Reads all the files of a directory, and removes those that nobody needs any more.
 *
 * @param pid   of this process only; 0: of all
 * @param dead  also those of processes that ended otherwise than by exit
 * @return false where the directory cannot be read; that has been said
 */
bool snapshot_take(struct snapshot *s, const char *directory, pid_t pid, bool dead);

void snapshot_free(struct snapshot *s);

/** The counter of that name; 0 where the library has none such. */
uint64_t program_counter(const struct program *p, const char *name);

/* ---- connmark-stat-table.c ---- */

/** before: an earlier snapshot, for rates; NULL: none. seconds: what lies between. */
void table_write(FILE *out, const struct snapshot *s, const struct snapshot *before,
		 double seconds);

/** Shows the table again and again, until q, Ctrl-C or the end of the terminal. Returns an exit status. */
int table_watch(const char *directory, pid_t pid, bool dead, double interval);

/* ---- connmark-stat-export.c ---- */

void json_write(FILE *out, const struct snapshot *s);
void prometheus_write(FILE *out, const struct snapshot *s);

#endif
