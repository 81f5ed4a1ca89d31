// SPDX-License-Identifier: GPL-2.0-or-later
#include "source.h"

#include "conntrack.h"
#include "fdtab.h"
#include "log.h"
#include "mark.h"
#include "real.h"
#include "stats.h"
#include "thread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* net.ipv4.tcp_fwmark_accept (Linux 3.15): does an accepted connection bear its SYN's mark? */
enum fwmark_accept { ACCEPT_UNKNOWN, ACCEPT_OFF, ACCEPT_ON };

static enum fwmark_accept fwmark_accept;
static _Atomic uint32_t decided = SOURCE_AUTO; /* not yet */

void source_init(void)
{
	char digit = 0;

	if (shim.config.source == SOURCE_CONNTRACK)
		return;
	int fd = open("/proc/sys/net/ipv4/tcp_fwmark_accept", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (REAL(read)(fd, &digit, 1) == 1)
		fwmark_accept = digit == '0' ? ACCEPT_OFF : ACCEPT_ON;
	REAL(close)(fd);
}

/* ---- which ---- */

/* Asks for a flow that cannot be. 0: conntrack may be asked; else a positive errno. */
static int probe(void)
{
	struct flow flow = {.client = {.family = AF_INET, .addr = {127, 0, 0, 1}},
			    .local = {.family = AF_INET, .addr = {127, 0, 0, 1}},
			    .proto = IPPROTO_UDP};
	uint32_t mark;
	int err = conntrack_mark(&flow, &mark);

	return err && err != -ENOENT ? -err : 0;
}

static void say(enum config_source source, int error)
{
	char text[176], why[96] = "";
	bool packet = source == SOURCE_PACKET;

	if (error)
		snprintf(why, sizeof(why), ": conntrack may not be asked [%s]",
			 COMPAT_ERROR_NAME(error));
	else if (shim.config.source == SOURCE_AUTO)
		snprintf(why, sizeof(why), ": conntrack may be asked");
	snprintf(text, sizeof(text), "clients' marks come from %s (CONNMARK_SOURCE=%s%s)",
		 packet ? "their packets" : "conntrack",
		 shim.config.source == SOURCE_AUTO ? "auto"
		 : packet			   ? "packet"
						   : "conntrack",
		 why);
	log_line(text);
}

/* What may be otherwise the next time decides nothing for good. */
static bool may_pass(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
	       error == EINTR || error == ETIMEDOUT;
}

static enum config_source decide(void)
{
	enum config_source source = shim.config.source;
	uint32_t undecided = SOURCE_AUTO;
	int saved = errno, error = 0;

	if (source == SOURCE_AUTO) {
		error = probe();
		if (may_pass(error)) {
			errno = saved;
			return SOURCE_CONNTRACK;
		}
		source = error && shim.kernel >= SOURCE_KERNEL_PACKET ? SOURCE_PACKET
								      : SOURCE_CONNTRACK;
	}
	if (atomic_compare_exchange_strong(&decided, &undecided, source)) {
		say(source, error);
		stats_say_failure();
	} else {
		source = (enum config_source)undecided; /* another thread was faster */
	}
	errno = saved;
	return source;
}

enum config_source source_now(void)
{
	uint32_t now = atomic_load_explicit(&decided, memory_order_acquire);

	return now != SOURCE_AUTO ? (enum config_source)now : decide();
}

/* ---- a client's mark ---- */

/* A connection's own mark is its SYN's, where the kernel hands it down. */
static bool of_connection(const struct attrib_owner *owner, uint32_t *mark)
{
	struct fd_state *st = owner->flow.proto == IPPROTO_TCP ? fd_find(owner->fd) : NULL;

	if (!st || fd_gen(st) != owner->fd_gen || fwmark_accept == ACCEPT_OFF)
		return false;
	*mark = mark_before(owner->fd, st);
	return *mark || fwmark_accept == ACCEPT_ON;
}

int source_mark(struct attrib_owner *owner)
{
	const struct flow *flow = &owner->flow;
	int err = -ENOENT;

	owner->how = MARK_HOW_NONE;
	if (source_now() == SOURCE_PACKET && of_connection(owner, &owner->mark)) {
		owner->how = MARK_HOW_PACKET;
		return 0;
	}
	if (flow->client.family && flow->local.family == flow->client.family)
		err = conntrack_mark(flow, &owner->mark);
	if (!err)
		owner->how = MARK_HOW_CONNTRACK;
	return err;
}
