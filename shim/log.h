/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters of everything that was decided or could not be done, and the log of the latter: each
 * cause is said once at once, and from then on at most once a minute with its count. No allocation,
 * no stdio stream, errno kept.
 */
#ifndef SHIM_LOG_H
#define SHIM_LOG_H

#include "config.h"
#include "stats.h"

enum { LOG_PERIOD_S = 60 };

/*
 * The names are those that connmark-stat shows; connmark-stat(8) says what each means.
 *
 * LOG_COUNTER(name): counted only.  LOG_CAUSE(name, what, remedy): counted and said.
 */
/* clang-format off */
#define LOG_CAP_REMEDY \
	"let the resolver keep CAP_NET_ADMIN (CAP_NET_RAW does for CONNMARK_SOURCE=packet): CONNMARK_KEEP_CAPS=yes, or AmbientCapabilities= and " \
	"CapabilityBoundingSet= of its unit"

#define LOG_COUNTERS \
	LOG_COUNTER(client_queries) \
	LOG_COUNTER(evidence_none) \
	LOG_COUNTER(evidence_repeat) \
	LOG_COUNTER(evidence_exact) \
	LOG_COUNTER(evidence_learned) \
	LOG_COUNTER(evidence_ancestor) \
	LOG_COUNTER(evidence_answered) \
	LOG_COUNTER(evidence_turn) \
	LOG_COUNTER(lookups) \
	LOG_COUNTER(set_marked) \
	LOG_COUNTER(set_default) \
	LOG_COUNTER(set_unknown) \
	LOG_COUNTER(set_refused) \
	LOG_COUNTER(set_first) \
	LOG_COUNTER(set_conflict) \
	LOG_COUNTER(set_dry_run) \
	LOG_COUNTER(cleared) \
	LOG_COUNTER(flow_conflicts) \
	LOG_COUNTER(stream_waits) \
	LOG_COUNTER(stream_conflicts) \
	LOG_CAUSE(no_entry, "conntrack has no entry for a client's flow, whose mark is therefore not known", \
		  "check that no rule exempts it (notrack), and its zone (CONNMARK_ZONE)") \
	LOG_CAUSE(no_packet_mark, "a client's packet brought no mark (CONNMARK_SOURCE=packet), so that it is not known", \
		  "TCP clients need net.ipv4.tcp_fwmark_accept=1, or conntrack: CONNMARK_SOURCE=conntrack and " \
		  "CAP_NET_ADMIN") \
	LOG_CAUSE(mark_not_permitted, "not permitted: a mark could not be set", LOG_CAP_REMEDY) \
	LOG_CAUSE(lookup_not_permitted, "not permitted: conntrack may not be asked", LOG_CAP_REMEDY) \
	LOG_CAUSE(lookup_failed, "conntrack could not be asked", \
		  "check that nf_conntrack_netlink is there, that the unit's RestrictAddressFamilies= has AF_NETLINK, " \
		  "and that no seccomp filter forbids it") \
	LOG_CAUSE(lookup_no_descriptor, "conntrack could not be asked: no descriptor is free", \
		  "raise LimitNOFILE= of the resolver's unit") \
	LOG_CAUSE(lookup_no_memory, "conntrack could not be asked: the kernel had no memory for it", \
		  "free memory, or raise MemoryMax= of the resolver's unit") \
	LOG_CAUSE(lookup_unanswered, "conntrack could not be asked: the kernel did not answer", \
		  "check what else is preloaded into the resolver, or filters its system calls") \
	LOG_CAUSE(mark_forbidden, "a mark could not be set, though the capability is there", \
		  "check seccomp filters (SystemCallFilter= of the unit) and security modules for SO_MARK") \
	LOG_CAUSE(mark_failed, "a mark could not be set", "see the error") \
	LOG_CAUSE(withheld, "an upstream query was not sent (CONNMARK_ON_FAILURE=drop): its mark is not known or " \
			    "cannot be set", "the log has the cause as well, once a minute") \
	LOG_CAUSE(stale_mark, "a query was not sent: its socket bears another client's mark, which cannot be " \
			      "changed", LOG_CAP_REMEDY) \
	LOG_CAUSE(trace_failed, "the trace could not be written (CONNMARK_TRACE)", \
		  "the file must be writable for the resolver's user, not for everybody, and no link or stranger's file") \
	LOG_CAUSE(stats_failed, "the counters are not to be seen by connmark-stat (CONNMARK_STATS)", \
		  "the directory must be there, writable for the user that starts the resolver, and nobody else's; " \
		  "or CONNMARK_STATS=off") \
	LOG_CAUSE(caps_failed, "the capability for marks could not be kept across the change of user", \
		  "check the unit's CapabilityBoundingSet= and NoNewPrivileges=") \
	LOG_CAUSE(held_full, "too many half-received messages on connections: a client's query went unseen", \
		  "lower the resolver's TCP timeouts") \
	LOG_CAUSE(table_full, "the table of clients is full: the oldest went before their time", \
		  "raise CONNMARK_TABLE") \
	LOG_CAUSE(descriptors_failed, "no memory for what is known of descriptors: some queries leave unmarked", \
		  "raise LimitAS= and MemoryMax= of the resolver's unit") \
	LOG_CAUSE(table_failed, "no memory for the table of clients: marking is off", "lower CONNMARK_TABLE") \
	LOG_CAUSE(fork_failed, "forked in a signal handler amid a decision: this child marks nothing", \
		  "fork outside of signal handlers")
/* clang-format on */

enum log_counter {
#define LOG_COUNTER(name)	      LOG_##name,
#define LOG_CAUSE(name, what, remedy) LOG_##name,
	LOG_COUNTERS
#undef LOG_COUNTER
#undef LOG_CAUSE
		LOG_COUNT
};

/** Counts an event. */
static inline void log_count(enum log_counter counter)
{
	stats_add(counter);
}

/** Counts a failure, and says it where its time has come. error: a positive errno, or 0. */
void log_cause(enum log_counter cause, int error);

/** Where the log goes from now on; before, to standard error. */
void log_open(const struct config *c);

/** Writes one line, without a newline at its end, to wherever the log goes. */
void log_line(const char *text);

/** The same, and to standard error besides: for what an operator must see who has just typed it. */
void log_refusal(const char *text);

#endif
