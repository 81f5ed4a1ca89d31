/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has really left: each upstream query that the kernel took is counted and traced once, with the mark that it
 * bears. A decision is made before the send, and made again where a write is tried again; this is not.
 */
#ifndef SHIM_SENT_H
#define SHIM_SENT_H

#include "decide.h"
#include "fdtab.h"

#include <sys/socket.h>

/* How a query's mark came out, in the order of the log's set_ counters. */
enum sent_as {
	SENT_MARKED,   /* its client's mark */
	SENT_DEFAULT,  /* it is nobody's: the default mark */
	SENT_UNKNOWN,  /* its client has no mark that could be found: the default mark */
	SENT_REFUSED,  /* the kernel refused its mark: it left without */
	SENT_FIRST,    /* its connection keeps the mark of its first query (CONNMARK_STREAM) */
	SENT_CONFLICT, /* bytes of another mark had not left its connection: the default mark */
	SENT_DRY_RUN,  /* nothing is marked */
	SENT_DROPPED,  /* it did not leave at all: its socket bears another client's mark */
	SENT_WITHHELD, /* likewise, as CONNMARK_ON_FAILURE=drop wants it (withhold.h) */
	SENT_KINDS
};

struct sent {
	int fd;
	struct fd_state *st;
	const struct decision *decision;
	uint32_t borne;		   /* the mark that it left with */
	enum sent_as instead;	   /* what it was where that is not the decision's */
	const struct sockaddr *to; /* as the program named it; NULL: the connection's peer */
	socklen_t to_len;
	const uint8_t
		*msg; /* its start; the question ends at `end`, which is 0 where it is not known */
	size_t end;
};

/** An upstream query has left. */
void sent_query(const struct sent *s);

/** A query was kept back. Counted by whoever decided so. */
void sent_not(int fd, struct fd_state *st, const struct decision *d, const uint8_t *msg,
	      size_t end);

/** The kind's name in traces. */
const char *sent_name(enum sent_as as);

#endif
