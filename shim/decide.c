// SPDX-License-Identifier: GPL-2.0-or-later
#include "decide.h"

#include "conntrack.h"
#include "log.h"
#include "trace.h"

#include <errno.h>

/* A TCP client's mark is looked up once a connection: its descriptor remembers. */
static struct fd_state *connection_of(const struct attrib_owner *owner)
{
	struct fd_state *st = owner->flow.proto == IPPROTO_TCP ? fd_find(owner->fd) : NULL;

	return st && fd_gen(st) == owner->fd_gen ? st : NULL;
}

static void look_up(struct attrib_owner *owner)
{
	int err = -ENOENT;

	log_count(LOG_lookups);
	owner->state = MARK_ABSENT;
	owner->mark = 0;
	if (owner->flow.client.family && owner->flow.local.family == owner->flow.client.family)
		err = conntrack_mark(&owner->flow, shim.config.zone, &owner->mark);
	if (!err)
		owner->state = MARK_KNOWN;
	else if (err == -ENOENT)
		log_count(LOG_no_entry);
	else
		log_cause(err == -EPERM ? LOG_lookup_not_permitted : LOG_lookup_failed, -err);
	/* What failed may go better the next time; what is not there will not come. */
	if (err && err != -ENOENT)
		owner->state = MARK_UNKNOWN;
}

static void know_mark(struct attrib_owner *owner)
{
	struct fd_state *connection;

	if (owner->state != MARK_UNKNOWN)
		return;
	connection = connection_of(owner);
	uint64_t known = connection ? atomic_load(&connection->client_mark) : 0;

	if (known) {
		owner->state = (uint8_t)(known & 0xff);
		owner->mark = (uint32_t)(known >> 8);
		return;
	}
	look_up(owner);
	if (connection && owner->state == MARK_KNOWN)
		atomic_store(&connection->client_mark, (uint64_t)owner->mark << 8 | owner->state);
}

static uint32_t mark_of(const struct attrib_owner *owner)
{
	return owner->state == MARK_KNOWN ? owner->mark : shim.config.default_mark;
}

uint32_t decide_query(struct thread *t, int fd, const struct fd_state *st,
		      const struct dns_message *query)
{
	struct attrib_socket socket = {.fd = fd, .gen = fd_gen(st)};
	struct attrib_decision decision;
	uint32_t now = thread_now_ms(), mark = shim.config.default_mark;

	attrib_upstream_query(shim.attrib, now, query, socket, &t->turn, &decision);
	log_count((enum log_counter)(LOG_evidence_none + (int)decision.evidence));
	if (decision.evidence != ATTRIB_NONE) {
		know_mark(&decision.owner);
		attrib_commit(shim.attrib, now, query, socket, &decision);
		mark = mark_of(&decision.owner);
	}
	trace_decision(fd, query, &decision, mark);
	return mark;
}

uint32_t decide_connect(struct thread *t)
{
	if (!attrib_connection(shim.attrib, &t->turn))
		return shim.config.default_mark;
	know_mark(&t->turn.owner);
	return mark_of(&t->turn.owner);
}
