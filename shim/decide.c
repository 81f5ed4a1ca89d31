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

/* The turn's newest message is in the table, where it is known there. */
static void gather_turn(struct thread *t)
{
	if (!t->turn_query || !t->turn.messages)
		return;
	t->turn.owned = t->turn_intake == t->intake
				? intake_owner(t->intake, t->turn_query, &t->turn.owner)
				: intake_lent_owner(t->turn_intake, t->turn_query, &t->turn.owner);
}

/* Everything that anybody has received is in the table now, the turn's newest message with it. */
static void gather(struct thread *t, uint32_t now)
{
	intakes_empty(shim.attrib, now);
	gather_turn(t);
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

/* Whose message is alone in this turn: of a query for its own question it is a good sign, of another's a bad one. */
static void judge_turn(const struct thread *t, bool own)
{
	if (t->turn.messages == 1 && (t->turn_query || t->turn.owned))
		attrib_turn_foretold(shim.attrib, own);
}

/* Where an upstream query could be decided. */
enum place { DECIDED, NOT_HERE, IN_TABLE };

/* What it says that the query repeats. */
static enum place place_of(enum intake_repeat repeat, struct attrib_decision *why)
{
	if (repeat != INTAKE_REPEAT)
		return repeat == INTAKE_NO_REPEAT ? NOT_HERE : IN_TABLE;
	know_mark(&why->owner);
	why->evidence = ATTRIB_REPEAT;
	return DECIDED;
}

/* A forwarder's query that this thread received, and that leaves as it came: that needs no table. */
static enum place decide_own(struct thread *t, uint32_t now, const struct intake_sending *s,
			     struct attrib_decision *why)
{
	bool turn = t->turn.messages && t->turn_intake == t->intake;
	uint32_t newest = turn ? t->turn_query : 0;
	enum place repeat = place_of(
		intake_repeated(t->intake, now, s->socket, s->msg, s->end, &why->owner), why);

	if (repeat != NOT_HERE)
		return repeat;
	uint32_t asked = intake_find(t->intake, now, newest, s->msg, s->end, &why->owner);

	/* others may come first in the table; asked only now: who was skipped, being there, is counted there by now */
	if (attrib_may_be_asked(shim.attrib, intake_key_question(s->msg, s->end)))
		return IN_TABLE;
	if (!asked)
		return NOT_HERE;
	know_mark(&why->owner);
	if (!intake_asked(t->intake, now, asked, dns_id(s->msg), s->socket, &why->owner))
		return IN_TABLE;
	why->evidence = ATTRIB_EXACT;
	judge_turn(t, turn && asked == t->turn_query);
	return DECIDED;
}

/* One that left before for what another thread had received. */
static enum place decide_lent_again(uint32_t now, const struct intake_sending *s,
				    struct attrib_decision *why)
{
	struct intakes_lent lent = intakes_lent_by(s->socket);

	if (!lent.in)
		return NOT_HERE;
	return place_of(intake_lent_repeated(lent.in, now, lent.query, s, &why->owner), why);
}

/* One that another thread received. */
static enum place decide_lent(struct thread *t, uint32_t now, const struct intake_sending *s,
			      struct attrib_decision *why)
{
	struct intakes_lent lent = intakes_lend(shim.attrib, t->intake, now, s, &why->owner);

	if (!lent.in)
		return NOT_HERE;
	if (why->owner.state == MARK_UNKNOWN) {
		know_mark(&why->owner);
		intake_lent_mark(lent.in, lent.query, &why->owner);
	}
	why->evidence = ATTRIB_EXACT;
	judge_turn(t, t->turn_intake == lent.in && t->turn_query == lent.query);
	return DECIDED;
}

/*
 * A forwarder's datagram that leaves as it came: who asks is in an intake, and may be charged there. By a socket that has
 * sent before it may be a repeat, for somebody whom another thread's intake has, or the table.
 */
static bool decide_here(struct thread *t, uint32_t now, struct attrib_socket socket, bool first,
			const uint8_t *msg, size_t end, struct attrib_decision *why)
{
	const struct intake_sending sending = {socket, msg, end};
	enum place place = first ? NOT_HERE : decide_lent_again(now, &sending, why);

	if (place == NOT_HERE && t->intake)
		place = decide_own(t, now, &sending, why);
	if (place == NOT_HERE && first)
		place = decide_lent(t, now, &sending, why);
	return place == DECIDED;
}

/*
 * A forwarder's query that does not leave as it came (sent again after a while, or by another thread): who waits for the
 * same question is moved into the table, and the others may stay where they are.
 */
static bool decide_question(struct thread *t, uint32_t now, struct attrib_socket socket,
			    const uint8_t *msg, size_t end, const struct dns_message *query,
			    struct attrib_decision *why)
{
	intakes_move_those(shim.attrib, t->intake, now, INTAKE_BY_QUESTION,
			   intake_key_question(msg, end));
	gather_turn(t);
	if (!attrib_upstream_asked(shim.attrib, now, query, socket, &t->turn, why))
		return false;
	if (why->evidence == ATTRIB_EXACT)
		judge_turn(t, t->turn.owned && attrib_same_ref(t->turn.owner.ref, why->owner.ref));
	return true;
}

/*
 * May it be decided without all that is known? A forwarder's datagram. What a connection carries is decided again when a
 * write is, perhaps by another thread.
 */
static bool may_be_here(const struct thread *t, enum carrier by)
{
	return by != BY_CONNECTION && attrib_forwards(shim.attrib) &&
	       (!t->intake || intake_settles(t->intake));
}

static void decide_by_table(struct thread *t, uint32_t now, struct attrib_socket socket, bool here,
			    const uint8_t *msg, size_t end, struct attrib_decision *why)
{
	struct dns_message query;

	why->evidence = ATTRIB_NONE;
	if (!dns_parse(attrib_key(shim.attrib), msg, end, &query))
		return;
	if (!here || !decide_question(t, now, socket, msg, end, &query, why)) {
		gather(t, now);
		find_owner(t, now, socket, &query, why);
	}
	say_losses();
	if (why->evidence == ATTRIB_NONE)
		return;
	know_mark(&why->owner);
	attrib_commit(shim.attrib, now, &query, why);
}

uint32_t decide_query(struct thread *t, struct attrib_socket socket, enum carrier by,
		      const uint8_t *msg, size_t end, struct decision *out)
{
	uint32_t now = thread_now_ms();
	bool here = may_be_here(t, by);

	out->made = true;
	if (!here || !decide_here(t, now, socket, by == BY_NEW_SOCKET, msg, end, &out->why))
		decide_by_table(t, now, socket, here, msg, end, &out->why);
	out->mark = out->why.evidence == ATTRIB_NONE ? shim.config.default_mark
						     : mark_of(&out->why.owner);
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
	gather(t, now);
	if (!attrib_connection(shim.attrib, now, &t->turn, &out->why.owner) &&
	    (!shared || !attrib_newest(shim.attrib, now, &out->why.owner)))
		return out->mark;
	out->why.evidence = ATTRIB_TURN;
	know_mark(&out->why.owner);
	out->mark = mark_of(&out->why.owner);
	return out->mark;
}
