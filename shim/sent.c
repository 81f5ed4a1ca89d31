// SPDX-License-Identifier: GPL-2.0-or-later
#include "sent.h"

#include "log.h"
#include "trace.h"
#include "withhold.h"

_Static_assert(LOG_set_dry_run - LOG_set_marked == (int)SENT_DRY_RUN, "one order");
_Static_assert(LOG_evidence_turn - LOG_evidence_none == (int)ATTRIB_TURN, "one order");

const char *sent_name(enum sent_as as)
{
	static const char *const names[SENT_KINDS] = {
		[SENT_MARKED] = "marked",     [SENT_DEFAULT] = "default",
		[SENT_UNKNOWN] = "unknown",   [SENT_REFUSED] = "refused",
		[SENT_FIRST] = "first",	      [SENT_CONFLICT] = "conflict",
		[SENT_DRY_RUN] = "dry-run",   [SENT_DROPPED] = "dropped",
		[SENT_WITHHELD] = "withheld",
	};

	return names[as];
}

static enum sent_as kind_of(const struct sent *s)
{
	const struct attrib_decision *why = &s->decision->why;

	if (shim.config.dry_run)
		return SENT_DRY_RUN;
	if ((s->borne ^ s->decision->mark) & shim.config.mask)
		return s->instead;
	if (why->evidence == ATTRIB_NONE)
		return SENT_DEFAULT;
	return why->owner.state == MARK_KNOWN ? SENT_MARKED : SENT_UNKNOWN;
}

/*
 * Queries of several marks by one UDP socket share one conntrack entry, if they go to the same upstream: each has its
 * own mark, the entry the latest one's.
 */
static void note_flow(const struct sent *s, uint32_t mark)
{
	/* plus one: 0 is no descriptor's */
	uint64_t now = (uint64_t)(fd_gen(s->st) + 1) << 32 | mark;
	uint64_t last = atomic_load_explicit(&s->st->sent_mark, memory_order_relaxed);

	if (last == now)
		return;
	if (last >> 32 == now >> 32)
		log_count(LOG_flow_conflicts);
	atomic_store_explicit(&s->st->sent_mark, now, memory_order_relaxed);
}

void sent_query(const struct sent *s)
{
	enum attrib_evidence evidence = s->decision->why.evidence;
	uint32_t mark = shim.config.dry_run ? s->decision->mark : s->borne;
	enum sent_as as = kind_of(s);

	log_count((enum log_counter)(LOG_evidence_none + (int)evidence));
	log_count((enum log_counter)(LOG_set_marked + (int)as));
	stats_query(mark & shim.config.mask, evidence);
	if (s->st && (fd_flags(s->st) & FD_KIND) == FD_UDP)
		note_flow(s, mark);
	trace_query(s, as);
}

void sent_not(int fd, struct fd_state *st, const struct decision *d, const uint8_t *msg, size_t end)
{
	struct sent s = {.fd = fd, .st = st, .decision = d, .msg = msg, .end = end};

	if (d->made)
		trace_query(&s, withhold_applies() ? SENT_WITHHELD : SENT_DROPPED);
}
