// SPDX-License-Identifier: GPL-2.0-or-later
#include "trace.h"

#include "pages.h"
#include "sock.h"
#include "thread.h"
#include "trace_out.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	LINE_MAX_LEN = 4096, /* PIPE_BUF (pipe(7)): one write of it stays in one piece */
	/* A name of 255 octets, each of which may need an escape (of a backslash, in JSON) and three digits. */
	NAME_TEXT_MAX = 5 * 255 + 2,
	CLIENTS_MAX = 16384, /* questions that are kept */
};

bool trace_on;

/* ---- clients' questions ---- */

/* What a client asked. Of two in one place, the later one stays. */
struct question {
	struct endpoint client;
	uint32_t session;
	uint16_t id;
	uint8_t proto;
	uint16_t length;
	uint8_t bytes[DNS_NAME_MAX + 4];
};

static struct question *questions; /* CLIENTS_MAX of them */
static pthread_mutex_t questions_lock = PTHREAD_MUTEX_INITIALIZER;

void trace_init(void)
{
	if (!trace_out_init())
		return;
	questions = pages_map(CLIENTS_MAX * sizeof(struct question), false);
	trace_on = true;
}

void trace_after_fork(void)
{
	pthread_mutex_init(&questions_lock, NULL);
	trace_out_after_fork();
}

static struct question *place_of(const struct attrib_owner *who, uint16_t id)
{
	uint64_t key[4] = {id | (uint64_t)who->flow.client.port << 16, who->session};

	memcpy(key + 2, who->flow.client.addr, sizeof(who->flow.client.addr));
	return &questions[siphash13(attrib_key(shim.attrib), 0, key, sizeof(key)) % CLIENTS_MAX];
}

static bool is_of(const struct question *q, const struct attrib_owner *who)
{
	return q->length && q->id == who->id && q->session == who->session &&
	       q->proto == who->flow.proto &&
	       memcmp(&q->client, &who->flow.client, sizeof(q->client)) == 0;
}

void trace_note_client(const struct attrib_owner *who, const uint8_t *msg, size_t end)
{
	uint16_t id = dns_id(msg);

	if (!questions || end <= DNS_HEADER_LEN || end > DNS_HEAD_MAX)
		return;
	struct question *q = place_of(who, id);

	pthread_mutex_lock(&questions_lock);
	q->client = who->flow.client;
	q->session = who->session;
	q->proto = who->flow.proto;
	q->id = id;
	q->length = (uint16_t)(end - DNS_HEADER_LEN);
	memcpy(q->bytes, msg + DNS_HEADER_LEN, q->length);
	pthread_mutex_unlock(&questions_lock);
}

static bool question_of(const struct attrib_owner *who, struct question *out)
{
	if (!questions)
		return false;
	const struct question *q = place_of(who, who->id);

	pthread_mutex_lock(&questions_lock);
	bool found = is_of(q, who);

	if (found)
		*out = *q;
	pthread_mutex_unlock(&questions_lock);
	return found;
}

/* ---- a line ---- */

struct line {
	size_t used;
	char text[LINE_MAX_LEN];
};

__attribute__((format(printf, 2, 3))) static void add(struct line *l, const char *format, ...)
{
	size_t room = sizeof(l->text) - l->used;
	va_list args;

	va_start(args, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is unknown to the analyzer */
	int n = vsnprintf(l->text + l->used, room, format, args);

	va_end(args);
	l->used += n < (int)room ? (size_t)n : room - 1;
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

/* question: name, type and class, as on the wire. */
static void add_question(struct line *l, const uint8_t *question, size_t length)
{
	char name[NAME_TEXT_MAX];

	format_name(name, question);
	add(l, ",\"name\":\"%s\",\"type\":%u", name,
	    (unsigned)(question[length - 4] << 8 | question[length - 3]));
}

static void add_end(struct line *l, const char *address, const char *port,
		    const struct endpoint *end)
{
	char text[INET6_ADDRSTRLEN];

	if (!end->family || !inet_ntop(end->family, end->addr, text, sizeof(text)))
		return;
	add(l, ",\"%s\":\"%s\",\"%s\":%u", address, text, port, (unsigned)ntohs(end->port));
}

/* Why a mark is known, or not. */
static const char *how_learned(const struct attrib_owner *owner)
{
	static const char *const names[] = {
		[MARK_HOW_NONE] = "none",
		[MARK_HOW_CONNTRACK] = "conntrack",
		[MARK_HOW_PACKET] = "packet",
		[MARK_HOW_CONNECTION] = "connection",
	};

	if (owner->state == MARK_KNOWN && owner->how < sizeof(names) / sizeof(names[0]))
		return names[owner->how];
	return owner->state == MARK_ABSENT ? "no-entry" : "failed";
}

static void add_client(struct line *l, const struct attrib_owner *owner)
{
	struct question question;

	add(l, ",\"client\":{\"proto\":\"%s%s\"", owner->flow.proto == IPPROTO_TCP ? "tcp" : "udp",
	    owner->session ? "+tls" : "");
	add_end(l, "address", "port", &owner->flow.client);
	add(l, ",\"id\":%u", owner->id);
	if (question_of(owner, &question))
		add_question(l, question.bytes, question.length);
	if (owner->state == MARK_KNOWN)
		add(l, ",\"mark\":%u", owner->mark);
	add(l, ",\"learned\":\"%s\",\"ms_ago\":%u}", how_learned(owner),
	    thread_now_ms() - owner->asked);
}

static void add_upstream(struct line *l, const struct sent *s)
{
	bool tcp = !s->st || (fd_flags(s->st) & FD_KIND) == FD_TCP;
	bool tls = !s->st || fd_flags(s->st) & FD_TLS;
	struct endpoint to, from;

	add(l, ",\"upstream\":{\"proto\":\"%s%s\",\"fd\":%d", tcp ? "tcp" : "udp",
	    tls ? "+tls" : "", s->fd);
	if (s->to && endpoint_from(&to, s->to, s->to_len)) {
		add_end(l, "address", "port", &to);
	} else if (s->st && sock_ends(s->fd, s->st, &from, &to)) {
		add_end(l, "address", "port", &to);
		add_end(l, "from", "from_port", &from);
	}
	if (s->end > DNS_HEADER_LEN) {
		add(l, ",\"id\":%u", (unsigned)(s->msg[0] << 8 | s->msg[1]));
		add_question(l, s->msg + DNS_HEADER_LEN, s->end - DNS_HEADER_LEN);
	}
	add(l, "}");
}

static void add_head(struct line *l, const struct sent *s, enum sent_as as)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	add(l, "{\"time\":%lld.%06ld,\"pid\":%d,\"tid\":%ld,\"event\":\"query\"",
	    (long long)now.tv_sec, now.tv_nsec / 1000, (int)getpid(), (long)gettid());
	add(l, ",\"mark\":%u,\"evidence\":\"%s\",\"outcome\":\"%s\"", s->decision->mark,
	    attrib_evidence_name(s->decision->why.evidence), sent_name(as));
	if (as != SENT_DRY_RUN && as != SENT_DROPPED && as != SENT_WITHHELD)
		add(l, ",\"packet_mark\":%u", s->borne);
}

void trace_query(const struct sent *s, enum sent_as as)
{
	int saved = errno;

	if (!trace_on || !trace_out_allowed()) {
		errno = saved;
		return;
	}
	struct line l = {.used = 0};

	add_head(&l, s, as);
	if (s->decision->why.evidence != ATTRIB_NONE)
		add_client(&l, &s->decision->why.owner);
	else
		add(&l, ",\"client\":null");
	add_upstream(&l, s);
	add(&l, "}\n");
	trace_out_line(l.text, l.used);
	errno = saved;
}
