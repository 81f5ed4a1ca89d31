// SPDX-License-Identifier: GPL-2.0-or-later
#include "trace_out.h"

#include "file.h"
#include "log.h"
#include "real.h"
#include "thread.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	HIGH_FD =
		900, /* out of the way of the program's own numbers, and below the usual limit of 1024 */
	NS = 1000000000,
};

/*
 * A descriptor from the start, when the process still may open the file. Daemons close what they do not know, and
 * numbers are reused: it counts only while it is still the same file.
 */
static struct {
	int fd; /* -1: none */
	dev_t device;
	ino_t inode;
} kept = {.fd = -1};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Under the lock. */
static uint64_t refilled; /* when, ns */
static uint64_t tokens;	  /* in ns of a second's worth of lines: a line costs NS */
static uint64_t left_out;

/* ---- where to ---- */

static void keep(int fd)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return;
	kept.fd = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, HIGH_FD);
	if (kept.fd < 0)
		kept.fd = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	kept.device = st.st_dev;
	kept.inode = st.st_ino;
}

static int open_path(int create)
{
	return file_append(shim.config.trace_path, create);
}

/*
 * Where everybody may make files, the user whom the program will drop to makes it, and can then open it again; a file
 * made now would be root's.
 */
static int may_create(void)
{
	char directory[CONFIG_PATH_MAX];
	struct stat st;

	snprintf(directory, sizeof(directory), "%s", shim.config.trace_path);
	*(strrchr(directory, '/') + 1) = '\0';
	return stat(directory, &st) == 0 && !(st.st_mode & S_IWOTH) ? O_CREAT : 0;
}

bool trace_out_init(void)
{
	if (shim.config.trace_fd >= 0) {
		keep(shim.config.trace_fd);
		if (kept.fd < 0)
			log_cause(LOG_trace_failed, errno);
		return kept.fd >= 0;
	}
	if (!shim.config.trace_path[0])
		return false;
	int fd = open_path(may_create());

	keep(fd);
	if (fd >= 0)
		REAL(close)(fd);
	return true;
}

static bool still_kept(void)
{
	struct stat st;

	return kept.fd >= 0 && fstat(kept.fd, &st) == 0 && st.st_dev == kept.device &&
	       st.st_ino == kept.inode;
}

/* A pipe that nobody empties must not hold the resolver up. */
static bool write_kept(const char *line, size_t len)
{
	struct pollfd p = {.fd = kept.fd, .events = POLLOUT};

	if (!still_kept()) {
		errno = EBADF;
		return false;
	}
	if (REAL(poll)(&p, 1, 0) <= 0) {
		errno = EAGAIN;
		return false;
	}
	return REAL(write)(kept.fd, line, len) >= 0;
}

/* Opened for each line, so that a file that was rotated away is not written any more. */
static bool write_path(const char *line, size_t len)
{
	int fd = open_path(O_CREAT);

	if (fd < 0) {
		int why = errno;
		bool written = why != ELOOP && write_kept(line, len);

		errno = why;
		return written;
	}
	bool written = REAL(write)(fd, line, len) >= 0;
	int why = errno;

	REAL(close)(fd);
	errno = why;
	return written;
}

static bool write_line(const char *line, size_t len)
{
	if (shim.config.trace_path[0] ? write_path(line, len) : write_kept(line, len))
		return true;
	log_cause(LOG_trace_failed, errno);
	return false;
}

/* ---- how many ---- */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

/* A bucket of one second's lines, full at the start. */
static bool take_token(uint64_t rate)
{
	uint64_t now = now_ns(), full = rate * NS;

	if (!refilled || now - refilled >= NS)
		tokens = full;
	else
		tokens += (now - refilled) * rate;
	refilled = now;
	if (tokens > full)
		tokens = full;
	if (tokens < NS)
		return false;
	tokens -= NS;
	return true;
}

static void say_left_out(uint64_t count)
{
	char line[160];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	int n = snprintf(line, sizeof(line),
			 "{\"time\":%lld.%06ld,\"pid\":%d,\"event\":\"left-out\",\"count\":%llu}\n",
			 (long long)now.tv_sec, now.tv_nsec / 1000, (int)getpid(),
			 (unsigned long long)count);

	if (!write_line(line, (size_t)n)) {
		pthread_mutex_lock(&lock);
		left_out += count;
		pthread_mutex_unlock(&lock);
	}
}

bool trace_out_allowed(void)
{
	uint64_t rate = shim.config.trace_rate, untold = 0;

	pthread_mutex_lock(&lock);
	bool allowed = !rate || take_token(rate);

	if (!allowed) {
		left_out++;
	} else {
		untold = left_out;
		left_out = 0;
	}
	pthread_mutex_unlock(&lock);
	if (untold)
		say_left_out(untold);
	return allowed;
}

void trace_out_line(const char *line, size_t len)
{
	if (write_line(line, len))
		return;
	pthread_mutex_lock(&lock);
	left_out++;
	pthread_mutex_unlock(&lock);
}

void trace_out_after_fork(void)
{
	pthread_mutex_init(&lock, NULL);
	left_out = 0; /* the parent says so */
}

__attribute__((destructor)) static void ended(void)
{
	if (left_out)
		say_left_out(left_out);
}
