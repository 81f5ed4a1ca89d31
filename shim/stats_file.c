// SPDX-License-Identifier: GPL-2.0-or-later
#include "stats_file.h"

#include "real.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	KEPT = 8,      /* so many files of one program may stay, for reading after a crash */
	LIVING = 1024, /* ... but any number of living programs have the same name */
};

/* Nobody else may put something in the place of what we make: as for /tmp. */
static bool is_safe(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || (st.st_uid != 0 && st.st_uid != geteuid()))
		return false;
	return !(st.st_mode & (S_IWGRP | S_IWOTH)) || st.st_mode & S_ISVTX;
}

static int open_directory(const char *path, int *error)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, fd = open(path, flags);

	if (fd < 0 && errno == ENOENT && mkdir(path, 0755) == 0)
		fd = open(path, flags);
	if (fd < 0) {
		*error = errno;
	} else if (!is_safe(fd)) {
		*error = EPERM;
		REAL(close)(fd);
		fd = -1;
	}
	return fd;
}

static void close_both(struct stats_file *f)
{
	REAL(close)(f->fd);
	REAL(close)(f->directory_fd);
}

/*
 * All of it is reserved now: in a file system that is full, a write into the mapping would end the resolver (SIGBUS).
 * The lock says for as long as the mapping exists that somebody counts here.
 */
static struct stats_region *reserve(const struct stats_file *f)
{
	size_t size = sizeof(struct stats_region);

	if (fallocate(f->fd, 0, 0, (off_t)size) != 0 || flock(f->fd, LOCK_EX | LOCK_NB) != 0)
		return NULL;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

struct stats_region *stats_file_make(struct stats_file *f, const char *directory, int *error)
{
	struct stats_region *region = NULL;
	struct stat st;

	snprintf(f->directory, sizeof(f->directory), "%s", directory);
	snprintf(f->name, sizeof(f->name), ".new-%d", (int)getpid());
	f->directory_fd = open_directory(directory, error);
	if (f->directory_fd < 0)
		return NULL;
	/* left by a process of that number which was killed amid this */
	unlinkat(f->directory_fd, f->name, 0);
	f->fd = openat(f->directory_fd, f->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		       0640);
	if (f->fd >= 0 && fstat(f->fd, &st) == 0)
		region = reserve(f);
	if (region) {
		f->device = st.st_dev;
		f->inode = st.st_ino;
		return region;
	}
	*error = errno;
	if (f->fd >= 0)
		unlinkat(f->directory_fd, f->name, 0);
	close_both(f);
	return NULL;
}

/* ---- a name ---- */

static bool same_file(int directory_fd, const char *name, int fd)
{
	struct stat by_name, open_one;

	return fstatat(directory_fd, name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstat(fd, &open_one) == 0 && by_name.st_dev == open_one.st_dev &&
	       by_name.st_ino == open_one.st_ino;
}

static bool has_ended(int fd)
{
	uint32_t ended = 0;

	return pread(fd, &ended, sizeof(ended), offsetof(struct stats_header, ended)) ==
		       (ssize_t)sizeof(ended) &&
	       ended;
}

/* Removes a file whose program is gone; under its lock, so that nobody removes what came in its place. */
static bool remove_dead(int directory_fd, const char *name, bool only_ended)
{
	int fd = openat(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	bool removed = false;

	if (fd < 0)
		return false;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && same_file(directory_fd, name, fd) &&
	    (!only_ended || has_ended(fd)))
		removed = unlinkat(directory_fd, name, 0) == 0;
	REAL(close)(fd);
	return removed;
}

static bool take_name(const struct stats_file *f, const char *name)
{
	/* not by renameat2(), which not every C library has */
	return REAL(syscall)(SYS_renameat2, f->directory_fd, f->name, f->directory_fd, name,
			     RENAME_NOREPLACE) == 0;
}

static void make_name(char out[32], const char *program, unsigned number)
{
	char safe[16] = "";

	for (unsigned i = 0; i + 1 < sizeof(safe) && program[i]; i++) {
		safe[i] = program[i];
		if (safe[i] == '/' || safe[i] <= ' ' || safe[i] == '.')
			safe[i] = '_';
	}
	snprintf(out, 32, "%s-%u", safe, number);
}

/* Of several programs of one name, the first free number; then the place of a crash; then any number. */
static bool find_name(struct stats_file *f, const char *program)
{
	char name[32];

	for (unsigned i = 0; i < LIVING + KEPT; i++) {
		bool again = i >= KEPT && i < 2 * KEPT;

		make_name(name, program, i < KEPT ? i : i - KEPT);
		bool taken = take_name(f, name);
		int error = errno;

		if (!taken && error == EEXIST && i < 2 * KEPT)
			taken = remove_dead(f->directory_fd, name, !again) && take_name(f, name);
		if (taken) {
			snprintf(f->name, sizeof(f->name), "%s", name);
			return true;
		}
		errno = error; /* not that of the try to remove it */
		if (error != EEXIST && error != EPERM && error != EACCES)
			break;
	}
	return false;
}

int stats_file_publish(struct stats_file *f, const char *program)
{
	int error = 0;

	if (!find_name(f, program)) {
		error = errno;
		unlinkat(f->directory_fd, f->name, 0);
		f->name[0] = '\0';
	}
	close_both(f);
	return error;
}

/* By its path, which in another root may be somebody else's file. */
void stats_file_remove(const struct stats_file *f)
{
	char path[CONFIG_PATH_MAX + 32];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", f->directory, f->name);
	if (lstat(path, &st) == 0 && st.st_dev == f->device && st.st_ino == f->inode)
		unlink(path);
}
