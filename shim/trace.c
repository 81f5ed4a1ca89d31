// SPDX-License-Identifier: GPL-2.0-or-later
#include "trace.h"

#include "log.h"
#include "real.h"
#include "thread.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static void write_line(const char *line, size_t len)
{
	int fd = open(shim.config.trace_path,
		      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);

	if (fd < 0)
		return;
	if (REAL(write)(fd, line, len) < 0) {
		/* a trace that cannot be written is no reason for anything */
	}
	REAL(close)(fd);
}

static void format_client(char out[INET6_ADDRSTRLEN], const struct attrib_owner *owner)
{
	if (!owner->flow.client.family ||
	    !inet_ntop(owner->flow.client.family, owner->flow.client.addr, out, INET6_ADDRSTRLEN))
		snprintf(out, INET6_ADDRSTRLEN, "?");
}

void trace_decision(int fd, const struct dns_message *query, const struct attrib_decision *decision,
		    uint32_t mark)
{
	char line[512], client[INET6_ADDRSTRLEN] = "";
	bool owned = decision->evidence != ATTRIB_NONE;
	const struct attrib_owner *owner = &decision->owner;
	int saved = errno;

	if (!shim.config.trace_path[0])
		return;
	if (owned)
		format_client(client, owner);
	int n = snprintf(
		line, sizeof(line),
		"{\"pid\":%d,\"tid\":%ld,\"fd\":%d,\"id\":%u,\"qtype\":%u,\"name\":\"%016llx\","
		"\"evidence\":\"%s\",\"client\":\"%s\",\"port\":%u,\"client_id\":%u,\"known\":%s,\"mark\":%u}\n",
		(int)getpid(), (long)gettid(), fd, query->id, query->qtype,
		(unsigned long long)dns_name_hash(&query->name),
		attrib_evidence_name(decision->evidence), client,
		owned ? (unsigned)ntohs(owner->flow.client.port) : 0U,
		owned ? (unsigned)owner->id : 0U,
		owned && owner->state == MARK_KNOWN ? "true" : "false", mark);

	write_line(line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
	errno = saved;
}
