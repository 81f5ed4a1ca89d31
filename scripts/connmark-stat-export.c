// SPDX-License-Identifier: GPL-2.0-or-later
/* The counters for programs: JSON, and the text format of Prometheus. */
#include "connmark-stat.h"

#include <inttypes.h>
#include <string.h>

#define NS UINT64_C(1000000000)

/* What strings may hold is a program's name, a unit's, or a counter's: whatever else there is becomes a '?'. */
static void write_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text < ' ' || *text > '~' ? '?' : *text, out);
	}
	fputc('"', out);
}

static bool starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* Evidence is told by mark, and adds up to these counters. */
static bool is_told_by_mark(const char *name)
{
	return starts(name, "evidence_");
}

/* "none" is for readers of a trace; a table of reasons says what it means. */
static const char *reason(const char *evidence)
{
	return strcmp(evidence, "none") == 0 ? "unattributed" : evidence;
}

/* ---- JSON ---- */

static void json_row(FILE *out, const struct program *p, const struct row *row)
{
	if (row->other)
		fputs("{\"mark\": \"other\", ", out);
	else
		fprintf(out, "{\"mark\": %" PRIu32 ", ", row->mark);
	fprintf(out, "\"queries\": %" PRIu64, row->total);
	for (unsigned e = 0; e < STATS_EVIDENCES; e++) {
		fputs(", ", out);
		write_text(out, reason(p->evidence_name[e]));
		fprintf(out, ": %" PRIu64, row->queries[e]);
	}
	fputc('}', out);
}

static void json_counters(FILE *out, const struct program *p)
{
	const char *comma = "";

	fputs(" \"counters\": {", out);
	for (unsigned i = 0; i < STATS_COUNTERS; i++) {
		if (!p->counter_name[i][0] || is_told_by_mark(p->counter_name[i]))
			continue;
		fputs(comma, out);
		write_text(out, p->counter_name[i]);
		fprintf(out, ": %" PRIu64, p->counter[i]);
		comma = ", ";
	}
	fputs("},\n", out);
}

static void json_program(FILE *out, const struct program *p)
{
	fprintf(out, "{\"pid\": %d, \"pids\": [", p->pids ? (int)p->pid[0] : 0);
	for (unsigned i = 0; i < p->pids; i++)
		fprintf(out, "%s%d", i ? ", " : "", (int)p->pid[i]);
	fputs("], \"comm\": ", out);
	write_text(out, p->comm);
	fputs(", \"unit\": ", out);
	write_text(out, p->unit);
	fputs(", \"library\": ", out);
	write_text(out, p->library);
	fprintf(out, ", \"alive\": %s, \"dry_run\": %s, \"mask\": %" PRIu32,
		p->alive ? "true" : "false", p->dry_run ? "true" : "false", p->mask);
	fprintf(out, ", \"started\": %" PRIu64 ".%03" PRIu64 ",\n", p->started / NS,
		p->started % NS / 1000000);
	json_counters(out, p);
	fprintf(out, " \"upstream_queries\": %" PRIu64 ", \"marks\": [", p->total.total);
	for (size_t i = 0; i < p->rows; i++) {
		fputs(i ? ",\n  " : "\n  ", out);
		json_row(out, p, &p->row[i]);
	}
	fputs("]}", out);
}

void json_write(FILE *out, const struct snapshot *s)
{
	fputc('[', out);
	for (size_t i = 0; i < s->count; i++) {
		fputs(i ? ",\n" : "", out);
		json_program(out, &s->program[i]);
	}
	fputs("]\n", out);
}

/* ---- Prometheus ---- */

static void labels(FILE *out, const char *metric, const struct program *p)
{
	fprintf(out, "%s{pid=\"%d\",comm=", metric, p->pids ? (int)p->pid[0] : 0);
	write_text(out, p->comm);
	fputs(",unit=", out);
	write_text(out, p->unit);
	fputs(",file=", out); /* pids of several pid namespaces may be the same */
	write_text(out, p->file);
}

static void head(FILE *out, const char *metric, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, type);
}

static void queries(FILE *out, const struct program *p)
{
	for (size_t i = 0; i < p->rows; i++) {
		for (unsigned e = 0; e < STATS_EVIDENCES; e++) {
			if (!p->row[i].queries[e])
				continue;
			labels(out, "connmark_upstream_queries_total", p);
			if (p->row[i].other)
				fputs(",mark=\"other\"", out);
			else
				fprintf(out, ",mark=\"0x%" PRIx32 "\"", p->row[i].mark);
			fputs(",reason=", out);
			write_text(out, reason(p->evidence_name[e]));
			fprintf(out, "} %" PRIu64 "\n", p->row[i].queries[e]);
		}
	}
}

/* Counters whose names begin so (or, where it is empty, all that have no metric of their own), one label each. */
static void family(FILE *out, const struct program *p, const char *metric, const char *label,
		   const char *prefix)
{
	for (unsigned i = 0; i < STATS_COUNTERS; i++) {
		const char *name = p->counter_name[i];
		bool own = is_told_by_mark(name) || starts(name, "set_") ||
			   strcmp(name, "client_queries") == 0 || strcmp(name, "lookups") == 0;

		if (!name[0] || (prefix[0] ? !starts(name, prefix) : own))
			continue;
		labels(out, metric, p);
		fprintf(out, ",%s=", label);
		write_text(out, name + strlen(prefix));
		fprintf(out, "} %" PRIu64 "\n", p->counter[i]);
	}
}

static void single(FILE *out, const struct snapshot *s, const char *metric, const char *counter,
		   const char *help)
{
	head(out, metric, "counter", help);
	for (size_t i = 0; i < s->count; i++) {
		labels(out, metric, &s->program[i]);
		fprintf(out, "} %" PRIu64 "\n", program_counter(&s->program[i], counter));
	}
}

void prometheus_write(FILE *out, const struct snapshot *s)
{
	head(out, "connmark_upstream_queries_total", "counter",
	     "Upstream queries that have left, by their mark and by the evidence for their client.");
	for (size_t i = 0; i < s->count; i++)
		queries(out, &s->program[i]);
	head(out, "connmark_upstream_outcomes_total", "counter",
	     "Upstream queries that have left, by what became of their mark.");
	for (size_t i = 0; i < s->count; i++)
		family(out, &s->program[i], "connmark_upstream_outcomes_total", "outcome", "set_");
	head(out, "connmark_events_total", "counter", "What could not be done, and other events.");
	for (size_t i = 0; i < s->count; i++)
		family(out, &s->program[i], "connmark_events_total", "event", "");
	single(out, s, "connmark_client_queries_total", "client_queries",
	       "Queries of clients that came in.");
	single(out, s, "connmark_lookups_total", "lookups", "Questions to conntrack.");
	head(out, "connmark_start_time_seconds", "gauge", "When counting began, since the epoch.");
	for (size_t i = 0; i < s->count; i++) {
		labels(out, "connmark_start_time_seconds", &s->program[i]);
		fprintf(out, ",library=");
		write_text(out, s->program[i].library);
		fprintf(out, ",dry_run=\"%s\"} %" PRIu64 "\n", s->program[i].dry_run ? "yes" : "no",
			s->program[i].started / NS);
	}
}
