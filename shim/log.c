// SPDX-License-Identifier: GPL-2.0-or-later
#include "log.h"

#include "file.h"
#include "real.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

enum { LINE_MAX_LEN = 1024 };

static const struct config *config;
static struct stat stderr_at_start;

static const struct {
	const char *what, *remedy;
} causes[LOG_COUNT] = {
#define LOG_COUNTER(name)	      [LOG_##name] = {NULL, NULL},
#define LOG_CAUSE(name, what, remedy) [LOG_##name] = {what, remedy},
	LOG_COUNTERS
#undef LOG_COUNTER
#undef LOG_CAUSE
};

void log_open(const struct config *c)
{
	if (fstat(STDERR_FILENO, &stderr_at_start) != 0)
		stderr_at_start = (struct stat){0};
	config = c;
}

/*
 * A daemon closes descriptor 2 and may get the number back for something of its own: what is
 * written there must be what was there when we were loaded, and not /dev/null.
 */
static bool stderr_usable(void)
{
	struct stat now, null;

	if (fstat(STDERR_FILENO, &now) != 0 ||
	    S_ISSOCK(now.st_mode) != S_ISSOCK(stderr_at_start.st_mode))
		return false;
	if (stat("/dev/null", &null) == 0 && now.st_rdev == null.st_rdev && S_ISCHR(now.st_mode))
		return false;
	return !config ||
	       (now.st_dev == stderr_at_start.st_dev && now.st_ino == stderr_at_start.st_ino);
}

static void write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = REAL(write)(fd, text, len);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static void write_syslog(const char *text)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	char line[LINE_MAX_LEN + 64];
	int n = snprintf(line, sizeof(line), "<%d>%s", LOG_DAEMON | LOG_WARNING, text);
	int fd = REAL(socket)(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	REAL(sendto)
	(fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof(to));
	REAL(close)(fd);
}

/* Opened for each line: a descriptor kept would not outlive the daemons that close all they
 * inherit. */
static bool write_file(const char *path, const char *line, size_t len)
{
	int fd = file_append(path, O_CREAT);

	if (fd < 0)
		return false;
	write_all(fd, line, len);
	REAL(close)(fd);
	return true;
}

static void write_elsewhere(const char *line, size_t len, enum config_log to)
{
	if (to != LOG_SYSLOG && stderr_usable())
		write_all(STDERR_FILENO, line, len);
	else
		write_syslog(line);
}

/* Once: that what follows was meant for a file. */
static void say_file_failed(int error)
{
	static _Atomic bool said;
	char line[LINE_MAX_LEN];

	if (atomic_exchange(&said, true))
		return;
	int n = snprintf(
		line, sizeof(line),
		"connmarkshim[%d]: CONNMARK_LOG=%s cannot be written [%s]; it must be "
		"writable for the resolver's user, not for everybody, and no link or stranger's file\n",
		(int)getpid(), config->log_path, COMPAT_ERROR_NAME(error));

	write_elsewhere(line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1, LOG_STDERR);
}

void log_line(const char *text)
{
	char line[LINE_MAX_LEN];
	int saved = errno;
	int n = snprintf(line, sizeof(line), "connmarkshim[%d]: %s\n", (int)getpid(), text);
	size_t len = n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1;
	enum config_log to = config ? config->log : LOG_STDERR;

	if (to == LOG_FILE && !write_file(config->log_path, line, len)) {
		say_file_failed(errno);
		to = LOG_STDERR;
	}
	if (to != LOG_FILE)
		write_elsewhere(line, len, to);
	errno = saved;
}

void log_refusal(const char *text)
{
	char line[LINE_MAX_LEN];
	int n = snprintf(line, sizeof(line), "connmarkshim: %s\n", text);

	write_all(STDERR_FILENO, line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
	if (!stderr_usable())
		write_syslog(line);
}

static uint64_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec + 1;
}

/* Has this cause's time come? One thread only is told so, of all the processes that count together. */
static bool due(enum log_counter cause)
{
	_Atomic uint64_t *said_at = &stats_region->header.said_at[cause];
	uint64_t last = atomic_load(said_at), now = seconds();

	return (!last || now - last >= LOG_PERIOD_S) &&
	       atomic_compare_exchange_strong(said_at, &last, now);
}

void log_cause(enum log_counter cause, int error)
{
	char text[LINE_MAX_LEN - 64], why[64] = "";
	int saved = errno;

	log_count(cause);
	if (!due(cause)) {
		errno = saved;
		return;
	}
	uint64_t count = stats_sum(cause);
	uint64_t since = count - atomic_exchange(&stats_region->header.said_count[cause], count);

	if (error)
		snprintf(why, sizeof(why), " [%s]", COMPAT_ERROR_NAME(error));
	snprintf(text, sizeof(text), "%s%s: %llu time%s; %s", causes[cause].what, why,
		 (unsigned long long)since, since == 1 ? "" : "s", causes[cause].remedy);
	log_line(text);
	errno = saved;
}
