/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that an operator named, and that are written with the resolver's rights: the log and the trace. */
#ifndef SHIM_FILE_H
#define SHIM_FILE_H

/**
 * Opens a file to append to it. No link is followed, and the file must be one that a stranger can neither have put
 * there nor change: no second name, not writable by everybody, and in a directory where everybody may make files it is
 * root's or this process's own. Pipes and devices will do.
 *
 * @param create  O_CREAT, or 0
 * @return the descriptor, or -1 with errno: ELOOP: a link; EACCES also where it is a stranger's
 */
int file_append(const char *path, int create);

#endif
