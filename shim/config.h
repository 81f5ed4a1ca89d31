/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration: the CONNMARK_ environment variables, read once when the library is loaded. Pure:
 * strings in, an immutable structure out. connmarkshim(7) documents them for the operator; this
 * grammar is the only one there is (connmark-run loads the library to have them checked).
 */
#ifndef SHIM_CONFIG_H
#define SHIM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_source { SOURCE_AUTO, SOURCE_CONNTRACK, SOURCE_PACKET };
enum config_stream { STREAM_FOLLOW, STREAM_FIRST };
enum config_on_failure { ON_FAILURE_PASS, ON_FAILURE_DROP };
enum config_log { LOG_STDERR, LOG_SYSLOG, LOG_FILE };

enum {
	CONFIG_WHY_MAX = 512,
	CONFIG_PATH_MAX = 256,
	CONFIG_FD_MAX = 1 << 20,
	CONFIG_RATE_DEFAULT = 1000,
	CONFIG_RATE_MAX = 1000000,
};

struct config {
	uint32_t mask;		   /* CONNMARK_MASK: the mark bits that are ours */
	uint32_t default_mark;	   /* CONNMARK_DEFAULT: for queries that no client caused */
	uint32_t table;		   /* CONNMARK_TABLE: client queries a shard of the table */
	uint16_t zone;		   /* CONNMARK_ZONE: conntrack zone of the clients' flows */
	enum config_source source; /* CONNMARK_SOURCE: where clients' marks come from */
	enum config_stream
		stream; /* CONNMARK_STREAM: marks of a connection reused for several clients */
	enum config_on_failure
		on_failure; /* CONNMARK_ON_FAILURE: a query whose mark is not known or cannot be set */
	bool keep_caps;	    /* CONNMARK_KEEP_CAPS */
	bool dry_run;	    /* CONNMARK_DRY_RUN */
	enum config_log log;		  /* CONNMARK_LOG */
	char log_path[CONFIG_PATH_MAX];	  /* where log is LOG_FILE */
	char trace_path[CONFIG_PATH_MAX]; /* CONNMARK_TRACE; empty: off, or ... */
	int trace_fd;			  /* ... fd:N, else -1 */
	uint32_t trace_rate;		  /* CONNMARK_TRACE_RATE: lines a second; 0: any number */
	char stats_dir[CONFIG_PATH_MAX];  /* CONNMARK_STATS; empty: off */
};

/** The defaults. */
void config_init(struct config *c);

/** Name of the i-th variable, NULL behind the last. */
const char *config_name(unsigned i);

/**
 * Sets one variable.
 *
 * @param name   with its CONNMARK_ prefix
 * @param value  is copied where it is kept
 * @param why    where refused: a sentence with the variable, the value, and what is allowed
 * @return false where the name is unknown or the value is not allowed
 */
bool config_set(struct config *c, const char *name, const char *value, char why[CONFIG_WHY_MAX]);

#endif
