// SPDX-License-Identifier: GPL-2.0-or-later
#include "file.h"

#include "config.h"
#include "real.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* May anybody put files there? Where it cannot be told, so. */
static bool is_everybodys(const char *path)
{
	char directory[CONFIG_PATH_MAX];
	struct stat st;

	snprintf(directory, sizeof(directory), "%s", path);
	*(strrchr(directory, '/') + 1) = '\0';
	return stat(directory, &st) != 0 || st.st_mode & S_IWOTH;
}

static bool is_strangers(const char *path, const struct stat *st)
{
	return st->st_uid != 0 && st->st_uid != geteuid() && is_everybodys(path);
}

static bool is_good(const char *path, const struct stat *st)
{
	if (S_ISCHR(st->st_mode)) /* only root makes devices */
		return true;
	if (is_strangers(path, st))
		return false;
	return S_ISFIFO(st->st_mode) ||
	       (S_ISREG(st->st_mode) && st->st_nlink <= 1 && !(st->st_mode & S_IWOTH));
}

int file_append(const char *path, int create)
{
	int fd = open(path,
		      O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | create,
		      0640);
	struct stat st;

	if (fd < 0 || (fstat(fd, &st) == 0 && is_good(path, &st)))
		return fd;
	REAL(close)(fd);
	errno = EACCES;
	return -1;
}
