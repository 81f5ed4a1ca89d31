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

/* A name of 255 octets, each of which may need an escape (of a backslash, in JSON) and three digits. */
enum { NAME_TEXT_MAX = 5 * 255 + 2 };

static void write_line(const char *line, size_t len)
{
	int fd = open(shim.config.trace_path,
		      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);

	if (fd < 0 || REAL(write)(fd, line, len) < 0)
		log_cause(LOG_trace_failed, errno);
	if (fd < 0)
		return;
	REAL(close)(fd);
}

static void format_client(char out[INET6_ADDRSTRLEN], const struct attrib_owner *owner)
{
	if (!owner->flow.client.family ||
	    !inet_ntop(owner->flow.client.family, owner->flow.client.addr, out, INET6_ADDRSTRLEN))
		snprintf(out, INET6_ADDRSTRLEN, "?");
}

/* A name from the wire as text (RFC 1035, section 5.1): what is no letter, digit, hyphen or underscore as \\DDD. */
static void format_name(char out[NAME_TEXT_MAX], const uint8_t *wire)
{
	size_t used = 0;

	for (size_t at = 0; wire[at]; at += 1U + wire[at]) {
		for (unsigned i = 1; i <= wire[at]; i++) {
			uint8_t c = wire[at + i];
			bool plain = c == '-' || c == '_' || (c >= '0' && c <= '9') ||
				     (dns_fold(c) >= 'a' && dns_fold(c) <= 'z');

			if (plain)
				out[used++] = (char)c;
			else
				used += (size_t)snprintf(out + used, NAME_TEXT_MAX - used,
							 "\\\\%03u", c);
		}
		out[used++] = '.';
	}
	if (!used)
		out[used++] = '.';
	out[used] = '\0';
}

void trace_decision(int fd, const struct dns_message *query, const struct attrib_decision *decision,
		    uint32_t mark)
{
	char line[1536], client[INET6_ADDRSTRLEN] = "", name[NAME_TEXT_MAX];
	bool owned = decision->evidence != ATTRIB_NONE;
	const struct attrib_owner *owner = &decision->owner;
	int saved = errno;

	if (!shim.config.trace_path[0])
		return;
	if (owned)
		format_client(client, owner);
	format_name(name, query->wire);
	int n = snprintf(
		line, sizeof(line),
		"{\"pid\":%d,\"tid\":%ld,\"fd\":%d,\"id\":%u,\"qtype\":%u,\"name\":\"%s\","
		"\"evidence\":\"%s\",\"client\":\"%s\",\"port\":%u,\"client_id\":%u,\"known\":%s,\"mark\":%u}\n",
		(int)getpid(), (long)gettid(), fd, query->id, query->qtype, name,
		attrib_evidence_name(decision->evidence), client,
		owned ? (unsigned)ntohs(owner->flow.client.port) : 0U,
		owned ? (unsigned)owner->id : 0U,
		owned && owner->state == MARK_KNOWN ? "true" : "false", mark);

	write_line(line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
	errno = saved;
}
