/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of the counters in its directory: how it is made, named and removed (stats_layout.h). */
#ifndef SHIM_STATS_FILE_H
#define SHIM_STATS_FILE_H

#include "config.h"
#include "stats_layout.h"

#include <sys/types.h>

struct stats_file {
	char directory[CONFIG_PATH_MAX];
	char name[32]; /* empty: there is none */
	dev_t device;
	ino_t inode;
	int directory_fd, fd; /* until it is published */
};

/**
 * Makes the file under a name that readers pass over, reserves all of its memory, locks and maps it. The directory is
 * made where it is missing and may be.
 *
 * @param error  a positive errno where NULL is returned
 */
struct stats_region *stats_file_make(struct stats_file *f, const char *directory, int *error);

/**
 * Gives the file a name after the program, and closes its descriptors. Dead files of the same program make room: one
 * that was left at a regular end at once, those of crashes when there are several.
 *
 * @return 0, or a positive errno: then the file is gone, and its mapping serves all the same
 */
int stats_file_publish(struct stats_file *f, const char *program);

/** Removes it, where that may be and it is still the same. */
void stats_file_remove(const struct stats_file *f);

#endif
