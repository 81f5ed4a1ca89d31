// SPDX-License-Identifier: GPL-2.0-or-later
#include "config.h"

#include "attrib.h"
#include "stats_layout.h"

#include <stdio.h>
#include <string.h>

typedef bool config_parse_fn(struct config *c, const char *value);

struct variable {
	const char *name;
	const char *allowed; /* completes: "is refused: must be ..." */
	config_parse_fn *parse;
};

/* Decimal, or hexadecimal behind 0x: no sign, no space, nothing behind it. */
static bool parse_number(const char *value, uint64_t least, uint64_t most, uint64_t *out)
{
	unsigned base = 10;
	uint64_t n = 0;

	if (value[0] == '0' && (value[1] == 'x' || value[1] == 'X')) {
		base = 16;
		value += 2;
	}
	if (!*value)
		return false;
	for (; *value; value++) {
		char c = *value;
		unsigned digit = c >= '0' && c <= '9'	? (unsigned)(c - '0')
				 : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
				 : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
							: 99;
		if (digit >= base)
			return false;
		n = n * base + digit;
		if (n > most)
			return false;
	}
	*out = n;
	return n >= least;
}

static bool parse_choice(const char *value, const char *first, const char *second, bool *is_second)
{
	*is_second = strcmp(value, second) == 0;
	return *is_second || strcmp(value, first) == 0;
}

static bool parse_source(struct config *c, const char *value)
{
	static const char *const names[] = {[SOURCE_AUTO] = "auto",
#ifndef NO_CONNTRACK
					    [SOURCE_CONNTRACK] = "conntrack",
#endif
					    [SOURCE_PACKET] = "packet"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!names[i] || strcmp(value, names[i]) != 0)
			continue;
		c->source = (enum config_source)i;
		return true;
	}
	return false;
}

static bool parse_mask(struct config *c, const char *value)
{
	uint64_t n = 0;
	bool ok = parse_number(value, 1, UINT32_MAX, &n);

	c->mask = (uint32_t)n;
	return ok;
}

static bool parse_default(struct config *c, const char *value)
{
	uint64_t n = 0;
	bool ok = parse_number(value, 0, UINT32_MAX, &n);

	c->default_mark = (uint32_t)n;
	return ok;
}

static bool parse_zone(struct config *c, const char *value)
{
	uint64_t n = 0;
	bool ok = parse_number(value, 0, UINT16_MAX, &n);

	c->zone = (uint16_t)n;
	return ok;
}

static bool parse_table(struct config *c, const char *value)
{
	uint64_t n = 0;
	bool ok = parse_number(value, ATTRIB_CAPACITY_MIN, ATTRIB_CAPACITY_MAX, &n);

	c->table = (uint32_t)n;
	return ok;
}

static bool parse_stream(struct config *c, const char *value)
{
	bool first;
	bool ok = parse_choice(value, "follow", "first", &first);

	c->stream = first ? STREAM_FIRST : STREAM_FOLLOW;
	return ok;
}

static bool parse_on_failure(struct config *c, const char *value)
{
	bool drop;
	bool ok = parse_choice(value, "pass", "drop", &drop);

	c->on_failure = drop ? ON_FAILURE_DROP : ON_FAILURE_PASS;
	return ok;
}

static bool parse_keep_caps(struct config *c, const char *value)
{
	return parse_choice(value, "no", "yes", &c->keep_caps);
}

static bool parse_dry_run(struct config *c, const char *value)
{
	return parse_choice(value, "no", "yes", &c->dry_run);
}

/* A copy of its own: programs that show their state in their title overwrite their environment. */
static bool parse_path(const char *value, char path[CONFIG_PATH_MAX])
{
	size_t len = strlen(value);

	if (value[0] != '/' || len < 2 || len >= CONFIG_PATH_MAX)
		return false;
	memcpy(path, value, len + 1);
	return true;
}

static bool parse_log(struct config *c, const char *value)
{
	bool syslog;

	if (parse_choice(value, "stderr", "syslog", &syslog)) {
		c->log = syslog ? LOG_SYSLOG : LOG_STDERR;
		return true;
	}
	c->log = LOG_FILE;
	return parse_path(value, c->log_path);
}

static bool parse_trace(struct config *c, const char *value)
{
	uint64_t fd;

	c->trace_fd = -1;
	c->trace_path[0] = '\0';
	if (strncmp(value, "fd:", 3) != 0)
		return parse_path(value, c->trace_path);
	if (!parse_number(value + 3, 0, CONFIG_FD_MAX, &fd))
		return false;
	c->trace_fd = (int)fd;
	return true;
}

static bool parse_trace_rate(struct config *c, const char *value)
{
	uint64_t n = 0;
	bool ok = parse_number(value, 0, CONFIG_RATE_MAX, &n);

	c->trace_rate = (uint32_t)n;
	return ok;
}

static bool parse_stats(struct config *c, const char *value)
{
	c->stats_dir[0] = '\0';
	return strcmp(value, "off") == 0 || parse_path(value, c->stats_dir);
}

static const struct variable variables[] = {
#ifdef NO_CONNTRACK
	{"CONNMARK_SOURCE", "auto or packet (built without libnetfilter_conntrack)", parse_source},
#else
	{"CONNMARK_SOURCE", "auto, conntrack or packet", parse_source},
#endif
	{"CONNMARK_MASK", "a number from 1 to 4294967295, decimal or 0x hexadecimal", parse_mask},
	{"CONNMARK_DEFAULT", "a number from 0 to 4294967295, decimal or 0x hexadecimal",
	 parse_default},
	{"CONNMARK_STREAM", "follow or first", parse_stream},
	{"CONNMARK_ZONE", "a number from 0 to 65535", parse_zone},
	{"CONNMARK_ON_FAILURE", "pass or drop", parse_on_failure},
	{"CONNMARK_KEEP_CAPS", "yes or no", parse_keep_caps},
	{"CONNMARK_DRY_RUN", "yes or no", parse_dry_run},
	{"CONNMARK_TABLE", "a number from 1024 to 1048576 (client queries)", parse_table},
	{"CONNMARK_LOG", "stderr, syslog, or the absolute path of a file (up to 255 characters)",
	 parse_log},
	{"CONNMARK_TRACE",
	 "the absolute path of a file (up to 255 characters), or fd:N for an open descriptor",
	 parse_trace},
	{"CONNMARK_TRACE_RATE", "a number from 0 to 1000000 (lines a second; 0: any number)",
	 parse_trace_rate},
	{"CONNMARK_STATS", "off, or the absolute path of a directory (up to 255 characters)",
	 parse_stats},
};

enum { VARIABLES = sizeof(variables) / sizeof(variables[0]) };

void config_init(struct config *c)
{
	*c = (struct config){.mask = UINT32_MAX,
			     .table = ATTRIB_CAPACITY_DEFAULT,
			     .keep_caps = true,
			     .trace_fd = -1,
			     .trace_rate = CONFIG_RATE_DEFAULT,
			     .stats_dir = STATS_DIRECTORY};
}

const char *config_name(unsigned i)
{
	return i < VARIABLES ? variables[i].name : NULL;
}

static void list_names(char *out, size_t size)
{
	size_t used = 0;

	for (unsigned i = 0; i < VARIABLES && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "",
					 variables[i].name);
}

bool config_set(struct config *c, const char *name, const char *value, char why[CONFIG_WHY_MAX])
{
	char known[320];

	for (unsigned i = 0; i < VARIABLES; i++) {
		if (strcmp(name, variables[i].name) != 0)
			continue;
		if (variables[i].parse(c, value))
			return true;
		snprintf(why, CONFIG_WHY_MAX, "%s='%.64s' is refused: must be %s", name, value,
			 variables[i].allowed);
		return false;
	}
	list_names(known, sizeof(known));
	snprintf(why, CONFIG_WHY_MAX, "%.64s='%.64s' is refused: no such variable; there are %s",
		 name, value, known);
	return false;
}
