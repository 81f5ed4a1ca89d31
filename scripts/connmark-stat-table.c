// SPDX-License-Identifier: GPL-2.0-or-later
/* The counters for people: a table, once or again and again. */
#include "connmark-stat.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define NS UINT64_C(1000000000)

/* ---- the table ---- */

/* The order of the columns, by the library's names. */
static const struct {
	const char *name, *title;
} columns[] = {
	{"exact", "EXACT"},	  {"learned", "LEARNED"}, {"ancestor", "ANCESTOR"},
	{"answered", "ANSWERED"}, {"turn", "TURN"},	  {"repeat", "REPEAT"},
	{"none", "UNATTRIBUTED"},
};

enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

/* Counters that have a place of their own in the table. The others are shown where they are not 0. */
static const char *const placed[] = {"evidence_", "client_queries", "lookups", "set_"};

static bool is_placed(const char *name)
{
	for (size_t i = 0; i < sizeof(placed) / sizeof(placed[0]); i++)
		if (strncmp(name, placed[i], strlen(placed[i])) == 0)
			return true;
	return false;
}

static uint64_t by_evidence(const struct program *p, const struct row *row, const char *name)
{
	for (unsigned e = 0; e < STATS_EVIDENCES; e++)
		if (strcmp(p->evidence_name[e], name) == 0)
			return row->queries[e];
	return 0;
}

static const struct program *same_program(const struct snapshot *s, const struct program *p)
{
	for (size_t i = 0; s && i < s->count; i++)
		if (strcmp(s->program[i].file, p->file) == 0 && s->program[i].started == p->started)
			return &s->program[i];
	return NULL;
}

static uint64_t total_before(const struct program *before, const struct row *row)
{
	for (size_t i = 0; i < before->rows; i++)
		if (before->row[i].mark == row->mark && before->row[i].other == row->other)
			return before->row[i].total;
	return 0;
}

/* As iptables and nft list it, and as conntrack does. */
static int mark_text(char *text, size_t size, const struct row *row)
{
	if (row->other)
		return snprintf(text, size, "other");
	if (row->mark < 10)
		return snprintf(text, size, "0x%" PRIx32, row->mark);
	return snprintf(text, size, "0x%" PRIx32 " (%" PRIu32 ")", row->mark, row->mark);
}

/* The column of marks is as wide as the widest of them, at least 10. */
static int mark_width(const struct program *p)
{
	char text[32];
	int widest = 10;

	for (size_t i = 0; i < p->rows; i++) {
		int width = mark_text(text, sizeof(text), &p->row[i]);

		if (width > widest)
			widest = width;
	}
	return widest;
}

static void write_row(FILE *out, const struct program *p, const struct row *row, const char *name,
		      const double *rate)
{
	fprintf(out, "  %s %12" PRIu64, name, row->total);
	if (rate)
		fprintf(out, " %10.1f", *rate);
	for (unsigned i = 0; i < COLUMNS; i++)
		fprintf(out, " %*" PRIu64,
			(int)(strlen(columns[i].title) < 8 ? 8 : strlen(columns[i].title)),
			by_evidence(p, row, columns[i].name));
	fputc('\n', out);
}

static void write_titles(FILE *out, int width, bool rates)
{
	fprintf(out, "  %*s %12s", width, "MARK", "QUERIES");
	if (rates)
		fprintf(out, " %10s", "PER SECOND");
	for (unsigned i = 0; i < COLUMNS; i++)
		fprintf(out, " %8s", columns[i].title);
	fputc('\n', out);
}

static int by_total(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->total != y->total)
		return x->total < y->total ? 1 : -1;
	return (x->mark > y->mark) - (x->mark < y->mark);
}

static void write_rows(FILE *out, struct program *p, const struct program *before, bool rates,
		       double seconds)
{
	int width = mark_width(p);
	char text[32], name[32];
	double rate;

	qsort(p->row, p->rows, sizeof(p->row[0]), by_total);
	write_titles(out, width, rates);
	for (size_t i = 0; i < p->rows; i++) {
		const struct row *row = &p->row[i];

		mark_text(text, sizeof(text), row);
		snprintf(name, sizeof(name), "%*s", width, text);
		rate = before ? (double)(row->total - total_before(before, row)) / seconds : 0;
		write_row(out, p, row, name, rates ? &rate : NULL);
	}
	rate = before ? (double)(p->total.total - before->total.total) / seconds : 0;
	snprintf(name, sizeof(name), "%*s", width, "all");
	write_row(out, p, &p->total, name, rates ? &rate : NULL);
}

/* Names from a file that any service may have written: nothing of them may steer a terminal. */
static void write_safe(FILE *out, const char *text)
{
	for (; *text; text++)
		fputc(*text < ' ' || *text > '~' ? '?' : *text, out);
}

static void write_heading(FILE *out, const struct program *p)
{
	time_t started = (time_t)(p->started / NS);
	struct tm when;
	char text[32] = "?";

	if (localtime_r(&started, &when))
		strftime(text, sizeof(text), "%F %T", &when);
	write_safe(out, p->comm);
	for (unsigned i = 0; i < p->pids; i++)
		fprintf(out, "%s%d", i ? "," : "  pid ", (int)p->pid[i]);
	if (p->unit[0])
		fputs("  ", out);
	write_safe(out, p->unit);
	fprintf(out, "  since %s%s%s\n", text, p->dry_run ? "  DRY RUN: nothing is marked" : "",
		p->alive ? "" : "  DEAD");
}

static void write_counter(FILE *out, const char *name, uint64_t value, bool *first)
{
	fputs(*first ? "  " : ", ", out);
	write_safe(out, name);
	fprintf(out, " %" PRIu64, value);
	*first = false;
}

/* Where prefix is empty: those without a place of their own. */
static void write_counters(FILE *out, const struct program *p, const char *prefix)
{
	bool first = true;

	for (unsigned i = 0; i < STATS_COUNTERS; i++) {
		const char *name = p->counter_name[i];

		if (p->counter[i] &&
		    (prefix[0] ? strncmp(name, prefix, strlen(prefix)) == 0 : !is_placed(name)))
			write_counter(out, name + strlen(prefix), p->counter[i], &first);
	}
	if (!first)
		fputc('\n', out);
}

void table_write(FILE *out, const struct snapshot *s, const struct snapshot *before, double seconds)
{
	for (size_t i = 0; i < s->count; i++) {
		struct program *p = &s->program[i];

		if (i)
			fputc('\n', out);
		write_heading(out, p);
		fprintf(out, "  client queries %" PRIu64 ", conntrack lookups %" PRIu64 "\n",
			program_counter(p, "client_queries"), program_counter(p, "lookups"));
		write_counters(out, p, "set_");
		write_counters(out, p, "");
		write_rows(out, p, same_program(before, p), before != NULL, seconds);
	}
}

/* ---- again and again ---- */

static volatile sig_atomic_t stop, resized;
static struct termios terminal;

static void on_signal(int number)
{
	if (number == SIGWINCH)
		resized = 1;
	else
		stop = 1;
}

static void catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
	struct sigaction action = {.sa_handler = on_signal};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
}

static void leave_screen(void)
{
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
}

static void enter_screen(void)
{
	struct termios raw;

	tcgetattr(STDIN_FILENO, &terminal);
	raw = terminal;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	fputs("\033[?1049h\033[?25l", stdout);
}

/* As much of the text as the terminal has room for. */
static void paint(const char *text)
{
	struct winsize size = {0};
	unsigned row = 0, hidden = 0;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_row || !size.ws_col)
		size = (struct winsize){.ws_row = 24, .ws_col = 80};
	fputs("\033[H", stdout);
	for (const char *line = text; *line; row++) {
		const char *end = strchrnul(line, '\n');
		int len = (int)(end - line) < size.ws_col ? (int)(end - line) : size.ws_col;

		if (row + 2 <= size.ws_row)
			printf("%.*s\033[K\r\n", len, line);
		else
			hidden++;
		line = *end ? end + 1 : end;
	}
	printf("\033[J");
	if (hidden)
		printf("%.*s\033[K", size.ws_col, "... more lines than the terminal has; q quits");
	else
		printf("%.*s\033[K", size.ws_col, "q quits");
	fflush(stdout);
}

static void show(const struct snapshot *now, const struct snapshot *before, double seconds)
{
	size_t size = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return;
	if (!now->count)
		fputs("no program counts here now\n", out);
	table_write(out, now, before, seconds);
	fclose(out);
	paint(text);
	free(text);
}

static double monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Until the time, a key, a signal. */
static void pause_until(double when)
{
	struct pollfd key = {.fd = STDIN_FILENO, .events = POLLIN};
	double left;
	char c;

	while (!stop && !resized && (left = when - monotonic()) > 0) {
		if (poll(&key, 1, (int)(left * 1000) + 1) <= 0)
			continue;
		if (read(STDIN_FILENO, &c, 1) != 1 || c == 'q' || c == 'Q')
			stop = 1;
	}
}

int table_watch(const char *directory, pid_t pid, bool dead, double interval)
{
	struct snapshot before = {0}, now;
	double then = monotonic();
	int status = 0;

	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
		fputs("connmark-stat: --watch: standard input and output are no terminal; leave it out\n",
		      stderr);
		return EXIT_USAGE;
	}
	if (!snapshot_take(&before, directory, pid, dead))
		return EXIT_TROUBLE;
	catch_signals();
	enter_screen();
	show(&before, &before, 1);
	while (!stop) {
		pause_until(then + interval);
		if (stop)
			break;
		resized = 0;
		if (!snapshot_take(&now, directory, pid, dead)) {
			status = EXIT_TROUBLE;
			break;
		}
		double at = monotonic();

		show(&now, &before, at - then);
		snapshot_free(&before);
		before = now;
		then = at;
	}
	leave_screen();
	snapshot_free(&before);
	return status;
}
