// SPDX-License-Identifier: GPL-2.0-or-later
/* connmark-stat: shows what every program under libconnmarkshim.so counts. The manual is connmark-stat(8). */
#include "connmark-stat.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#ifndef SHIM_VERSION
#define SHIM_VERSION "unknown"
#endif

struct options {
	enum { TABLE, WATCH, JSON, PROMETHEUS } form;
	const char *directory;
	pid_t pid;
	bool dead;
	double interval;
};

static const char usage[] =
	"Usage: connmark-stat [options]\n"
	"\n"
	"Shows what each program under libconnmarkshim.so has counted: upstream queries by mark and by the evidence\n"
	"for their client, and what could not be done.\n"
	"\n"
	"  --watch[=SECONDS]   again and again (every 2 seconds), with rates; q quits\n"
	"  --json              as JSON\n"
	"  --prometheus        in the text format of Prometheus\n"
	"  --pid PID           of this process only\n"
	"  --dead              also of programs that were killed or have crashed\n"
	"  --directory PATH    where the counters are (CONNMARK_STATS), instead of " STATS_DIRECTORY
	"\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 shown, 1 there is nothing to show, 2 something could not be read, 64 wrong usage.\n";

static _Noreturn void misused(const char *option, const char *value, const char *why)
{
	fprintf(stderr, "connmark-stat: %s %s: %s; see connmark-stat --help\n", option, value, why);
	exit(EXIT_USAGE);
}

static pid_t parse_pid(const char *value)
{
	char *end;
	long n = strtol(value, &end, 10);

	if (!*value || *end || n < 1 || n > INT_MAX)
		misused("--pid", value, "is no number of a process");
	return (pid_t)n;
}

static double parse_interval(const char *value)
{
	char *end;
	double n = strtod(value, &end);

	if (!*value || *end || !(n >= 0.1 && n <= 3600))
		misused("--watch", value, "is no number of seconds from 0.1 to 3600");
	return n;
}

static struct options parse(int argc, char **argv)
{
	static const struct option known[] = {
		{"watch", optional_argument, NULL, 'w'},
		{"json", no_argument, NULL, 'j'},
		{"prometheus", no_argument, NULL, 'p'},
		{"pid", required_argument, NULL, 'i'},
		{"dead", no_argument, NULL, 'd'},
		{"directory", required_argument, NULL, 'D'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {.directory = STATS_DIRECTORY, .interval = 2};
	int c, forms = 0;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'w':
			o.form = WATCH;
			o.interval = optarg ? parse_interval(optarg) : o.interval;
			forms++;
			break;
		case 'j':
			o.form = JSON;
			forms++;
			break;
		case 'p':
			o.form = PROMETHEUS;
			forms++;
			break;
		case 'i':
			o.pid = parse_pid(optarg ? optarg : "");
			break;
		case 'd':
			o.dead = true;
			break;
		case 'D':
			o.directory = optarg ? optarg : "";
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		case 'v':
			puts("connmark-stat " SHIM_VERSION);
			exit(0);
		default: /* getopt has said which */
			exit(EXIT_USAGE);
		}
	}
	if (optind < argc)
		misused("argument", argv[optind], "there are no arguments, only options");
	if (forms > 1)
		misused("--watch, --json, --prometheus", "together", "only one of them");
	return o;
}

/* For a table, which would be empty; for programs an empty list says the same. */
static int say_nothing(const struct options *o)
{
	if (o->pid)
		fprintf(stderr,
			"connmark-stat: --pid %d: no such process counts in %s; connmark-stat shows all that do\n",
			(int)o->pid, o->directory);
	else
		fprintf(stderr,
			"connmark-stat: %s: no program counts here now; start one with connmark-run%s\n",
			o->directory, o->dead ? "" : ", or see --dead");
	return EXIT_NOTHING;
}

int main(int argc, char **argv)
{
	struct options o = parse(argc, argv);
	struct snapshot s;
	int status = 0;

	if (o.form == WATCH)
		return table_watch(o.directory, o.pid, o.dead, o.interval);
	if (!snapshot_take(&s, o.directory, o.pid, o.dead))
		return EXIT_TROUBLE;
	if (o.form == JSON)
		json_write(stdout, &s);
	else if (o.form == PROMETHEUS)
		prometheus_write(stdout, &s);
	else
		table_write(stdout, &s, NULL, 1);
	if (!s.count && (o.form == TABLE || o.pid))
		status = say_nothing(&o);
	if (s.trouble)
		status = EXIT_TROUBLE;
	snapshot_free(&s);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "connmark-stat: standard output: %s\n", strerror(errno));
		status = EXIT_TROUBLE;
	}
	return status;
}
