// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reads the counters' files. They are read, not mapped, and nothing in them is believed: a directory that all services
 * may write to has files of all of them.
 */
#include "connmark-stat.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum {
	KEEP_S = 3600,	      /* a crashed program's file, from when it was first seen */
	UNFINISHED_S = 60,    /* a file that never got its name */
	OVERLAY = 0x794c7630, /* OVERLAYFS_SUPER_MAGIC (statfs(2)) */
};

#define NS UINT64_C(1000000000)

static bool complain(struct snapshot *s, const char *directory, const char *name, const char *why)
{
	fprintf(stderr, "connmark-stat: %s%s%s: %s\n", directory, name[0] ? "/" : "", name, why);
	s->trouble = true;
	return false;
}

/* ---- processes ---- */

/* When a process was started: ns since boot; 0: there is none such. proc_pid_stat(5), field 22. */
static uint64_t start_of(pid_t pid)
{
	char path[64], text[1024];
	unsigned long long ticks = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "re");
	size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[n] = '\0';
	char *at = strrchr(text, ')');

	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at)
		ticks = strtoull(at + 1, NULL, 10);
	return ticks ? ticks * NS / (uint64_t)sysconf(_SC_CLK_TCK) : 0;
}

static int by_since(const void *a, const void *b)
{
	const struct stats_member *x = a, *y = b;

	return (x->since > y->since) - (x->since < y->since);
}

/* Those of the processes that are there, the oldest first. A number that is somebody else's by now was started later. */
static void find_pids(struct program *p, struct stats_header *h)
{
	qsort(h->member, STATS_MEMBERS, sizeof(h->member[0]), by_since);
	for (unsigned i = 0; i < STATS_MEMBERS; i++) {
		pid_t pid = (pid_t)h->member[i].pid;
		uint64_t start = pid > 0 ? start_of(pid) : 0;

		if (start && start <= h->member[i].since)
			p->pid[p->pids++] = pid;
	}
	/* in another pid namespace: as they are called there */
	for (unsigned i = 0; i < STATS_MEMBERS && !p->pids; i++)
		if (h->member[i].pid)
			p->pid[p->pids++] = (pid_t)h->member[i].pid;
}

/* The systemd unit: the last part of the cgroup's path that is a service or a scope. */
static void find_unit(struct program *p)
{
	char path[64], line[4096];

	if (!p->pids || !p->alive)
		return;
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)p->pid[0]);
	FILE *file = fopen(path, "re");

	while (file && fgets(line, sizeof(line), file)) {
		char *save, *part = strtok_r(line, "/\n", &save);

		for (; part; part = strtok_r(NULL, "/\n", &save)) {
			size_t len = strlen(part);

			if ((len > 8 && strcmp(part + len - 8, ".service") == 0) ||
			    (len > 6 && strcmp(part + len - 6, ".scope") == 0))
				snprintf(p->unit, sizeof(p->unit), "%.*s", UNIT_MAX - 1, part);
		}
	}
	if (file)
		fclose(file);
}

/* ---- adding up ---- */

static void copy_text(char *out, const char *in, size_t size)
{
	size_t i = 0;

	for (; i < size && in[i]; i++)
		out[i] = in[i];
	out[i] = '\0';
}

static int by_mark(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return (x->mark > y->mark) - (x->mark < y->mark);
}

static void add_mark(struct row *row, const struct stats_mark *mark)
{
	for (unsigned e = 0; e < STATS_EVIDENCES; e++) {
		row->queries[e] += mark->queries[e];
		row->total += mark->queries[e];
	}
}

/* Sorted by mark, so that the same mark in several stripes lies together. */
static void merge(struct program *p)
{
	size_t kept = 0;

	qsort(p->row, p->rows, sizeof(p->row[0]), by_mark);
	for (size_t i = 0; i < p->rows; i++) {
		if (!kept || p->row[kept - 1].mark != p->row[i].mark) {
			p->row[kept++] = p->row[i];
			continue;
		}
		struct row *row = &p->row[kept - 1];

		row->total += p->row[i].total;
		for (unsigned e = 0; e < STATS_EVIDENCES; e++)
			row->queries[e] += p->row[i].queries[e];
	}
	p->rows = kept;
}

static void add_up(struct program *p, const struct stats_region *r)
{
	struct row other = {.other = true};

	for (unsigned lane = 0; lane < STATS_LANES; lane++)
		for (unsigned i = 0; i < STATS_COUNTERS; i++)
			p->counter[i] += r->lane[lane].counter[i];
	p->row = calloc(STATS_STRIPES * STATS_MARKS + 1, sizeof(p->row[0]));
	if (!p->row)
		return;
	for (unsigned stripe = 0; stripe < STATS_STRIPES; stripe++) {
		for (unsigned i = 0; i < STATS_MARKS; i++) {
			const struct stats_mark *mark = &r->stripe[stripe].mark[i];

			if (!mark->key)
				continue;
			p->row[p->rows].mark = (uint32_t)mark->key;
			add_mark(&p->row[p->rows++], mark);
		}
		add_mark(&other, &r->stripe[stripe].other);
	}
	merge(p);
	if (other.total)
		p->row[p->rows++] = other;
	for (size_t i = 0; i < p->rows; i++) {
		p->total.total += p->row[i].total;
		for (unsigned e = 0; e < STATS_EVIDENCES; e++)
			p->total.queries[e] += p->row[i].queries[e];
	}
}

static void describe(struct program *p, struct stats_region *r, const char *name)
{
	const struct stats_header *h = &r->header;

	snprintf(p->file, sizeof(p->file), "%s", name);
	copy_text(p->comm, h->comm, sizeof(h->comm));
	copy_text(p->library, h->library, sizeof(h->library));
	for (unsigned i = 0; i < STATS_COUNTERS; i++)
		copy_text(p->counter_name[i], h->counter_name[i], STATS_NAME_MAX);
	for (unsigned i = 0; i < STATS_EVIDENCES; i++)
		copy_text(p->evidence_name[i], h->evidence_name[i], STATS_NAME_MAX);
	p->started = h->started;
	p->dry_run = h->dry_run;
	p->mask = h->mask;
	find_pids(p, &r->header);
	find_unit(p);
	add_up(p, r);
}

uint64_t program_counter(const struct program *p, const char *name)
{
	for (unsigned i = 0; i < STATS_COUNTERS; i++)
		if (strcmp(p->counter_name[i], name) == 0)
			return p->counter[i];
	return 0;
}

/* ---- files ---- */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

/* The mapping's lock says that somebody still counts; on overlayfs, which hands the mapping on, the pids do. */
static bool is_alive(int fd, const struct stats_region *r)
{
	struct statfs fs;

	if (flock(fd, LOCK_SH | LOCK_NB) != 0)
		return true;
	if (fstatfs(fd, &fs) != 0 || fs.f_type != OVERLAY)
		return false;
	for (unsigned i = 0; i < STATS_MEMBERS; i++) {
		uint64_t start = r->header.member[i].pid ? start_of((pid_t)r->header.member[i].pid)
							 : 0;

		if (start && start <= r->header.member[i].since)
			return true;
	}
	return false;
}

/* Under its own lock, and only while it still has this name. */
static void remove_file(int directory, const char *name, int fd)
{
	struct stat by_name, open_one;

	if (flock(fd, LOCK_EX | LOCK_NB) == 0 &&
	    fstatat(directory, name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
	    fstat(fd, &open_one) == 0 && by_name.st_dev == open_one.st_dev &&
	    by_name.st_ino == open_one.st_ino)
		unlinkat(directory, name, 0);
}

static bool has_counted(const struct stats_region *r)
{
	for (unsigned lane = 0; lane < STATS_LANES; lane++)
		for (unsigned i = 0; i < STATS_COUNTERS; i++)
			if (r->lane[lane].counter[i])
				return true;
	return false;
}

/* What was left by a program that is gone: is there a reason to keep it? Notes when it was first seen. */
static bool is_worth_keeping(int directory, const char *name, const struct stats_region *r)
{
	uint64_t now = now_ns(), seen = r->header.dead_seen;

	if (r->header.ended || !has_counted(r))
		return false;
	if (seen)
		return now < seen || now - seen < KEEP_S * NS;
	int fd = openat(directory, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && pwrite(fd, &now, sizeof(now), offsetof(struct stats_header, dead_seen)) < 0)
		perror("connmark-stat");
	if (fd >= 0)
		close(fd);
	return true;
}

static bool read_region(struct snapshot *s, const char *directory, const char *name, int fd,
			struct stats_region *r)
{
	struct stat st;
	char why[128];

	memset(r, 0, sizeof(*r));
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    pread(fd, r, sizeof(*r), 0) < (ssize_t)sizeof(r->header.magic) ||
	    memcmp(r->header.magic, STATS_MAGIC, sizeof(r->header.magic)) != 0)
		return complain(s, directory, name, "is no file of counters; remove it");
	if (r->header.version == STATS_VERSION && r->header.size == sizeof(*r) &&
	    st.st_size == (off_t)sizeof(*r))
		return true;
	snprintf(
		why, sizeof(why),
		"its layout has version %u, and this program reads %d; use the connmark-stat of that library",
		r->header.version, STATS_VERSION);
	return complain(s, directory, name, why);
}

static bool is_wanted(const struct program *p, pid_t pid, bool dead)
{
	if (!p->alive && !dead)
		return false;
	for (unsigned i = 0; i < p->pids && pid; i++)
		if (p->pid[i] == pid)
			return true;
	return !pid;
}

static void add_program(struct snapshot *s, const struct program *p)
{
	struct program *grown = reallocarray(s->program, s->count + 1, sizeof(*p));

	if (!grown || !p->row) {
		fputs("connmark-stat: out of memory\n", stderr);
		exit(EXIT_TROUBLE);
	}
	s->program = grown;
	s->program[s->count++] = *p;
}

static void take_file(struct snapshot *s, const char *directory, int directory_fd, const char *name,
		      pid_t pid, bool dead)
{
	static struct stats_region region; /* large */
	struct program p = {.alive = true};
	int fd = openat(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		if (errno != ENOENT) /* it has ended just now */
			complain(s, directory, name,
				 errno == EACCES ? "may not be read; be root" : strerror(errno));
		return;
	}
	if (read_region(s, directory, name, fd, &region)) {
		p.alive = is_alive(fd, &region);
		if (!p.alive && !is_worth_keeping(directory_fd, name, &region)) {
			remove_file(directory_fd, name, fd);
		} else {
			describe(&p, &region, name);
			if (is_wanted(&p, pid, dead))
				add_program(s, &p);
			else
				free(p.row);
		}
	}
	close(fd);
}

/* A library that was killed while it made its file. */
static void sweep(int directory_fd, const char *name)
{
	struct stat st;
	int fd = openat(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && time(NULL) - st.st_mtime > UNFINISHED_S)
		remove_file(directory_fd, name, fd);
	close(fd);
}

static int by_file(const void *a, const void *b)
{
	return strcmp(((const struct program *)a)->file, ((const struct program *)b)->file);
}

bool snapshot_take(struct snapshot *s, const char *directory, pid_t pid, bool dead)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	*s = (struct snapshot){0};
	if (!dir && errno == ENOENT)
		return complain(
			s, directory, "",
			"there is no such directory: no program has counted here (CONNMARK_STATS)");
	if (!dir)
		return complain(s, directory, "", strerror(errno));
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, ".new-", 5) == 0)
			sweep(dirfd(dir), entry->d_name);
		else if (entry->d_name[0] != '.')
			take_file(s, directory, dirfd(dir), entry->d_name, pid, dead);
	}
	closedir(dir);
	if (s->count)
		qsort(s->program, s->count, sizeof(*s->program), by_file);
	return true;
}

void snapshot_free(struct snapshot *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->program[i].row);
	free(s->program);
	*s = (struct snapshot){0};
}
