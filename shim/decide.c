// SPDX-License-Identifier: GPL-2.0-or-later
#include "decide.h"

#include "conntrack.h"
#include "intakes.h"
#include "log.h"
#include "source.h"

#include <errno.h>

/*
 * A TCP client's mark is looked up once a connection: its descriptor remembers, with the generation in the same word,
 * since the number may have gone to another client's connection at any moment.
 */
static uint64_t remembered(uint32_t mark, uint32_t gen)
{
	return (uint64_t)mark << 32 | (gen << 1 | 1);
}

static struct fd_state *connection_of(const struct attrib_owner *owner)
{
	return owner->flow.proto == IPPROTO_TCP ? fd_find(owner->fd) : NULL;
}

/* Why a client's mark is not known. */
static enum log_counter cause_of(int err)
{
	if (source_now() ==
	    SOURCE_PACKET) /* its packet did not bring it, so conntrack was asked after all */
		return LOG_no_packet_mark;
	return conntrack_cause(err);
}

static void look_up(struct attrib_owner *owner)
{
	log_count(LOG_lookups);
	owner->mark = 0;
	int err = source_mark(owner);

	if (!err)
		owner->state = MARK_KNOWN;
	else if (err == -ENOENT)
		owner->state =
			MARK_ABSENT; /* and will not come; what failed may go better the next time */
	if (err)
		log_cause(cause_of(err), -err);
}

static void know_mark(struct attrib_owner *owner)
{
	if (owner->state != MARK_UNKNOWN)
		return;
	struct fd_state *connection = connection_of(owner);
	uint64_t known = connection ? atomic_load(&connection->client_mark) : 0;

	if (known && known == remembered((uint32_t)(known >> 32), owner->fd_gen)) {
		owner->state = MARK_KNOWN;
		owner->how = MARK_HOW_CONNECTION;
		owner->mark = (uint32_t)(known >> 32);
		return;
	}
	look_up(owner);
	if (connection && owner->state == MARK_KNOWN)
		atomic_store(&connection->client_mark, remembered(owner->mark, owner->fd_gen));
}

static uint32_t mark_of(const struct attrib_owner *owner)
{
	return owner->state == MARK_KNOWN ? owner->mark : shim.config.default_mark;
}

/* Everything that anybody has received is in the table now, the turn's newest message with it. */
static void gather(struct thread *t)
{
	intakes_empty(shim.attrib);
	if (t->turn_query && t->turn.messages)
		t->turn.owned = intake_owner(t->intake, t->turn_query, &t->turn.owner);
	t->turn_query = 0;
}

/*
 * Whose is it? Where nobody waits for it, perhaps the cache has just answered somebody, and is being refreshed. Who that
 * is another thread's recall may have found meanwhile, so the table is asked again in any case.
 */
static void find_owner(struct thread *t, uint32_t now, struct attrib_socket socket,
		       const struct dns_message *query, struct attrib_decision *decision)
{
	attrib_upstream_query(shim.attrib, now, query, socket, &t->turn, decision);
	bool waits = decision->evidence != ATTRIB_NONE && decision->evidence != ATTRIB_ANSWERED &&
		     decision->evidence != ATTRIB_TURN;

	if (waits)
		return;
	intakes_recall(shim.attrib, t->intake, now);
	attrib_upstream_query(shim.attrib, now, query, socket, &t->turn, decision);
}

static void say_losses(void)
{
	static _Atomic uint64_t said;
	uint64_t lost = attrib_lost(shim.attrib);

	if (lost != atomic_load_explicit(&said, memory_order_relaxed) &&
	    lost != atomic_exchange(&said, lost))
		log_cause(LOG_table_full, 0);
}

uint32_t decide_query(struct thread *t, struct attrib_socket socket,
		      const struct dns_message *query, struct decision *out)
{
	uint32_t now = thread_now_ms();

	out->made = true;
	out->mark = shim.config.default_mark;
	gather(t);
	find_owner(t, now, socket, query, &out->why);
	say_losses();
	if (out->why.evidence != ATTRIB_NONE) {
		know_mark(&out->why.owner);
		attrib_commit(shim.attrib, now, query, &out->why);
		out->mark = mark_of(&out->why.owner);
	}
	return out->mark;
}

uint32_t decide_connection(struct thread *t, bool shared, struct decision *out)
{
	uint32_t now = thread_now_ms();
	struct decision unwanted;

	if (!out)
		out = &unwanted;
	out->made = true;
	out->mark = shim.config.default_mark;
	out->why.evidence = ATTRIB_NONE;
	gather(t);
	if (!attrib_connection(shim.attrib, now, &t->turn, &out->why.owner) &&
	    (!shared || !attrib_newest(shim.attrib, now, &out->why.owner)))
		return out->mark;
	out->why.evidence = ATTRIB_TURN;
	know_mark(&out->why.owner);
	out->mark = mark_of(&out->why.owner);
	return out->mark;
}
