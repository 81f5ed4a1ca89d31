// SPDX-License-Identifier: GPL-2.0-or-later
#include "events.h"

#include "intakes.h"
#include "log.h"
#include "trace.h"

/* The turn's newest message is this one's, or its answer. */
static void note_turn(struct thread *t, struct intake *in, uint32_t query)
{
	t->turn_query = query;
	t->turn_intake = in;
	attrib_turn_add(&t->turn, NULL);
}

void event_client_query(struct thread *t, struct attrib_owner *who, const uint8_t *msg, size_t end)
{
	struct intake *intake = intakes_own(t);
	struct dns_message query;

	log_count(LOG_client_queries);
	trace_client(who, msg, end);
	t->turn_query = 0;
	if (!intake) {
		if (dns_parse(attrib_key(shim.attrib), msg, end, &query))
			attrib_client_query(shim.attrib, thread_now_ms(), &query, who, &t->turn);
		return;
	}
	note_turn(t, intake, intake_query(intake, shim.attrib, thread_now_ms(), msg, end, who));
}

/* To a query that was charged by the table, or by another thread's intake, or that leads on. */
static void upstream_answer_in_table(struct thread *t, uint32_t now, struct attrib_socket socket,
				     const uint8_t *msg, size_t have)
{
	struct dns_message answer;

	if (!dns_parse(attrib_key(shim.attrib), msg, have, &answer))
		return;
	/* charged by another thread, perhaps */
	if (intakes_have_charged() && !attrib_awaits(shim.attrib, now, &answer, socket))
		intakes_move_those(shim.attrib, t->intake, now, INTAKE_BY_SOCKET,
				   intake_key_socket(answer.id, socket));
	t->turn_query = 0;
	attrib_upstream_answer(shim.attrib, now, &answer, msg, have, socket, &t->turn);
}

void event_upstream_answer(struct thread *t, struct attrib_socket socket, const uint8_t *msg,
			   size_t have)
{
	uint32_t now = thread_now_ms();
	uint32_t fed = t->intake ? intake_fed(t->intake, shim.attrib, now, socket, msg, have) : 0;
	struct intakes_lent lent = {.in = NULL};

	if (fed)
		note_turn(t, t->intake, fed);
	else if ((lent = intakes_lent_by(socket)).in &&
		 intake_lent_fed(lent.in, shim.attrib, now, lent.query, socket, msg, have))
		note_turn(t, lent.in, lent.query);
	else
		upstream_answer_in_table(t, now, socket, msg, have);
}

/* By the same client with the same ID, received by whatever thread: each joins the one that is in the table. */
static void move_client(const struct thread *t, uint32_t now, const struct attrib_owner *who,
			const uint8_t *msg)
{
	intakes_move_those(shim.attrib, t->intake, now, INTAKE_BY_CLIENT,
			   intake_key_client(dns_id(msg), who));
}

/* Its query was received by another thread, or has left its slot; or it may wait in the table by another one. */
static void answered_elsewhere(const struct thread *t, const struct attrib_owner *who,
			       const uint8_t *msg, size_t have)
{
	struct dns_message answer;
	uint32_t now = thread_now_ms();

	if (!dns_parse(attrib_key(shim.attrib), msg, have, &answer))
		return;
	move_client(t, now, who, msg);
	attrib_client_answer(shim.attrib, now, &answer, who);
}

void event_client_answer(struct thread *t, const struct attrib_owner *who, const uint8_t *msg,
			 size_t have)
{
	struct intake_found found = {.pending = false};

	if (t->intake)
		found = intake_answer(t->intake, shim.attrib, msg, have, who);
	bool settled = found.pending && !found.moving;

	/* others may have received it once more: that joins the one in the table, and ends with it, or by the table */
	if ((found.entered.index || found.pending) && intakes_share())
		move_client(t, thread_now_ms(), who, msg);
	if (found.entered.index)
		settled |= attrib_answered(shim.attrib, thread_now_ms(), found.entered);
	if (!settled || found.moving || attrib_may_await(shim.attrib, dns_id(msg), who))
		answered_elsewhere(t, who, msg, have);
}
