// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Attribution: every scenario of ../scenarios is a test, played event by event; and what no
 * scenario can show, memory, threads and fork.
 */
#include "clients.h"
#include "harness.h"
#include "wire.h"

#include "attrib.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct sip_key key = {0x5ca1ab1e, 0xdecade};

/* ---- a table in memory with forbidden pages around it ---- */

struct table {
	struct attrib *a;
	char *mapping, *memory;
	size_t mapped, bytes;
};

static void table_make(struct table *t, unsigned capacity)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	t->bytes = attrib_size(capacity);
	size_t inner = (t->bytes + page - 1) / page * page;

	t->mapped = inner + 2 * page;
	t->mapping = mmap(NULL, t->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(t->mapping != MAP_FAILED);
	assert_int_equal(mprotect(t->mapping + page, inner, PROT_READ | PROT_WRITE), 0);
	/* its end where the forbidden page begins, as near as its alignment lets it */
	t->memory = t->mapping + page + (inner - t->bytes) / 64 * 64;
	t->a = attrib_init(t->memory, capacity, &key);
}

static void table_free(struct table *t)
{
	assert_int_equal(munmap(t->mapping, t->mapped), 0);
}

/* ---- events ---- */

static void parse(const struct wire *w, struct dns_message *m)
{
	assert_true(dns_parse(&key, w->bytes, w->len, m));
}

/* ---- scenarios ---- */

enum { WORDS = 24, LINE = 512, CLIENTS = 8192, THREADS = 16, SOCKETS = 64, LINES = 512 };

struct client {
	char name[32];
	uint32_t mark;
};

struct player {
	const char *file;
	struct table table;
	uint32_t now, started;
	unsigned line, thread;
	struct attrib_turn turn[THREADS];
	uint32_t gen[SOCKETS];
	struct client client[CLIENTS];
	unsigned clients;
	char text[LINES][LINE];
	unsigned lines;
};

static void stop(const struct player *p, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));

static void stop(const struct player *p, const char *format, ...)
{
	char text[600];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fail_msg("%s:%u: %s", p->file, p->line, text);
	abort();
}

static unsigned number(const struct player *p, const char *word, unsigned least, unsigned most)
{
	char *end;
	unsigned long n;

	if (!word)
		stop(p, "a number is missing");
	errno = 0;
	n = strtoul(word, &end, 10);
	if (*end || end == word || errno || n < least || n > most)
		stop(p, "'%s' is not a number from %u to %u", word, least, most);
	return (unsigned)n;
}

static unsigned client_number(struct player *p, const char *name)
{
	for (unsigned i = 0; i < p->clients; i++)
		if (strcmp(p->client[i].name, name) == 0)
			return i;
	if (p->clients == CLIENTS || strlen(name) >= sizeof(p->client[0].name))
		stop(p, "no room for client %s", name);
	snprintf(p->client[p->clients].name, sizeof(p->client[0].name), "%s", name);
	p->client[p->clients].mark = p->clients + 1;
	return p->clients++;
}

static struct attrib_owner client_owner(struct player *p, const char *name, bool tcp)
{
	unsigned i = client_number(p, name);
	struct attrib_owner o = client_at(i, tcp ? IPPROTO_TCP : IPPROTO_UDP);

	o.mark = p->client[i].mark;
	return o;
}

static struct attrib_socket socket_of(struct player *p, const char *word)
{
	unsigned n = number(p, word, 0, SOCKETS - 1);

	return (struct attrib_socket){.fd = (int)n + 20, .gen = p->gen[n]};
}

/* ID NAME TYPE, from that word on. */
static void message_of(struct player *p, char **word, unsigned flags, struct wire *w)
{
	unsigned id = number(p, word[0], 0, 65535);

	if (!word[1] || !word[2] || !wire_type(word[2]))
		stop(p, "a name and a known type must follow");
	wire_message(w, id, flags, word[1], wire_type(word[2]));
}

static bool has_word(char **word, const char *wanted)
{
	for (; *word; word++)
		if (strcmp(*word, wanted) == 0)
			return true;
	return false;
}

static void play_client(struct player *p, char **word)
{
	static struct wire w;
	struct attrib_owner o;
	struct dns_message m;

	if (!word[1] || !word[2])
		stop(p, "client NAME ID NAME TYPE [tcp]");
	o = client_owner(p, word[1], has_word(word + 5, "tcp"));
	message_of(p, word + 2, WIRE_RD, &w);
	parse(&w, &m);
	attrib_client_query(p->table.a, p->now, &m, &o, &p->turn[p->thread]);
}

static void play_reply(struct player *p, char **word)
{
	static struct wire w;
	struct attrib_owner o;
	struct dns_message m;

	if (!word[1] || !word[2])
		stop(p, "reply NAME ID NAME TYPE [tcp]");
	o = client_owner(p, word[1], has_word(word + 5, "tcp"));
	message_of(p, word + 2, WIRE_QR, &w);
	parse(&w, &m);
	attrib_client_answer(p->table.a, p->now, &m, &o);
}

static const char *client_of(const struct player *p, const struct attrib_owner *o)
{
	const uint8_t *addr = o->flow.client.addr;
	unsigned at = (unsigned)(addr[1] << 16 | addr[2] << 8 | addr[3]);

	return at < p->clients ? p->client[at].name : "?";
}

/* Is the decision what stands behind the arrow: NAME[/ID] EVIDENCE, or none? */
static void check_decision(struct player *p, char **expected, const struct attrib_decision *d)
{
	const char *evidence = attrib_evidence_name(d->evidence), *who = "nobody";
	unsigned id = d->evidence ? d->owner.id : 0;
	char got[128], want[128];

	if (!expected[0])
		stop(p, "what is expected is missing");
	if (d->evidence) {
		who = client_of(p, &d->owner);
		uint32_t mark = p->client[client_number(p, who)].mark;

		if (d->owner.state != MARK_KNOWN || d->owner.mark != mark)
			stop(p, "client %s has mark %u, the decision %u", who, mark, d->owner.mark);
	}
	bool with_id = strchr(expected[0], '/');

	if (!d->evidence)
		snprintf(got, sizeof(got), "none");
	else if (with_id)
		snprintf(got, sizeof(got), "%s/%u %s", who, id, evidence);
	else
		snprintf(got, sizeof(got), "%s %s", who, evidence);
	snprintf(want, sizeof(want), "%s%s%s", expected[0], expected[1] ? " " : "",
		 expected[1] ? expected[1] : "");
	if (strcmp(got, want) != 0)
		stop(p, "expected '%s', got '%s'", want, got);
}

static void play_upstream(struct player *p, char **word)
{
	static struct wire w;
	struct attrib_decision d;
	struct dns_message m;
	struct attrib_socket s;

	if (!word[1] || !word[2] || !word[3] || !word[4] || !word[5] || strcmp(word[5], "->") != 0)
		stop(p, "upstream SOCKET ID NAME TYPE -> CLIENT EVIDENCE");
	s = socket_of(p, word[1]);
	message_of(p, word + 2, 0, &w);
	parse(&w, &m);
	attrib_upstream_query(p->table.a, p->now, &m, s, &p->turn[p->thread], &d);
	if (d.evidence != ATTRIB_NONE)
		attrib_commit(p->table.a, p->now, &m, &d);
	check_decision(p, word + 6, &d);
}

/* A forwarder's upstream says that it recurses; who says so not, and has no records for the answer, refers to another. */
static unsigned flags_of(char **word)
{
	return (has_word(word, "tc") ? WIRE_TC : 0U) |
	       (has_word(word, "referral") ? 0U : (unsigned)WIRE_RA) |
	       (has_word(word, "servfail") ? 2U : 0U) | (has_word(word, "nxdomain") ? 3U : 0U);
}

static bool is_flag(const char *word)
{
	return strcmp(word, "tc") == 0 || strcmp(word, "referral") == 0 ||
	       strcmp(word, "servfail") == 0 || strcmp(word, "nxdomain") == 0;
}

static void add_records(struct player *p, struct wire *w, char **word)
{
	const char *zone = "owner.test";

	for (; *word; word++) {
		char *value = strchr(*word, '=');

		if (is_flag(*word))
			continue;
		if (!value)
			stop(p, "'%s' is not KIND=NAME, tc, servfail, nxdomain or referral", *word);
		*value++ = '\0';
		if (strcmp(*word, "zone") == 0)
			zone = value;
		else if (strcmp(*word, "cname") == 0)
			wire_record(w, false, zone, DNS_TYPE_CNAME, value);
		else if (strcmp(*word, "dname") == 0)
			wire_record(w, false, zone, DNS_TYPE_DNAME, value);
		else if (strcmp(*word, "ns") == 0)
			wire_record(w, false, zone, DNS_TYPE_NS, value);
		else if (strcmp(*word, "authority-ns") == 0)
			wire_record(w, true, zone, DNS_TYPE_NS, value);
		else if (strcmp(*word, "mx") == 0)
			wire_record(w, false, zone, 15, value);
		else
			stop(p, "unknown record '%s'", *word);
	}
}

static void play_answer(struct player *p, char **word)
{
	static struct wire w;
	struct dns_message m;
	struct attrib_socket s;

	if (!word[1] || !word[2] || !word[3] || !word[4])
		stop(p, "answer SOCKET ID NAME TYPE [zone=NAME cname=NAME ...] [tc]");
	s = socket_of(p, word[1]);
	message_of(p, word + 2, WIRE_QR | flags_of(word + 5), &w);
	add_records(p, &w, word + 5);
	parse(&w, &m);
	attrib_upstream_answer(p->table.a, p->now, &m, w.bytes, w.len, s, &p->turn[p->thread]);
}

static void play_connection(struct player *p, char **word)
{
	if (!word[1] || strcmp(word[1], "->") != 0 || !word[2])
		stop(p, "connection -> yes, no or a client");
	struct attrib_turn *turn = &p->turn[p->thread];
	struct attrib_owner owner;
	bool yes = attrib_connection(p->table.a, p->now, turn, &owner);
	const char *got = yes ? "yes" : "no";

	if (yes && strcmp(word[2], "yes") != 0)
		got = client_of(p, &owner);
	if (strcmp(word[2], got) != 0)
		stop(p, "expected '%s', got '%s'", word[2], got);
}

static void play_mark(struct player *p, char **word)
{
	if (!word[1])
		stop(p, "mark CLIENT MARK");
	p->client[client_number(p, word[1])].mark = number(p, word[2], 0, UINT32_MAX);
}

static void play_usage(struct player *p, char **word)
{
	struct attrib_usage u;

	attrib_usage(p->table.a, &u);
	for (word++; *word; word++) {
		char *value = strchr(*word, '=');
		uint64_t is;

		if (!value)
			stop(p, "usage KIND=NUMBER ...");
		*value++ = '\0';
		if (strcmp(*word, "learned") == 0)
			is = u.learned;
		else if (strcmp(*word, "upstream") == 0)
			is = u.upstream;
		else if (strcmp(*word, "waiting") == 0)
			is = u.waiting;
		else if (strcmp(*word, "answered") == 0)
			is = u.answered;
		else if (strcmp(*word, "evicted") == 0)
			is = u.evicted;
		else
			stop(p, "unknown kind '%s'", *word);
		if (is != number(p, value, 0, UINT32_MAX))
			stop(p, "expected %s=%s, got %llu", *word, value, (unsigned long long)is);
	}
}

/* Before the first event: another table. */
static void play_capacity(struct player *p, char **word)
{
	table_free(&p->table);
	table_make(&p->table, number(p, word[1], ATTRIB_CAPACITY_MIN, 65536));
}

static void play_words(struct player *p, char **word)
{
	if (strcmp(word[0], "at") == 0) {
		uint32_t at = p->started + number(p, word[1], 0, 100000000);

		if ((int32_t)(at - p->now) < 0)
			stop(p, "time goes backwards");
		p->now = at;
	} else if (strcmp(word[0], "after") == 0) {
		p->now += number(p, word[1], 0, 100000000);
	} else if (strcmp(word[0], "thread") == 0) {
		p->thread = number(p, word[1], 0, THREADS - 1);
	} else if (strcmp(word[0], "wait") == 0) {
		p->turn[p->thread].messages = 0; /* as thread_turn_ends does */
	} else if (strcmp(word[0], "capacity") == 0) {
		play_capacity(p, word);
	} else if (strcmp(word[0], "newsocket") == 0) {
		p->gen[number(p, word[1], 0, SOCKETS - 1)]++;
	} else if (strcmp(word[0], "client") == 0) {
		play_client(p, word);
	} else if (strcmp(word[0], "reply") == 0) {
		play_reply(p, word);
	} else if (strcmp(word[0], "upstream") == 0) {
		play_upstream(p, word);
	} else if (strcmp(word[0], "answer") == 0) {
		play_answer(p, word);
	} else if (strcmp(word[0], "connection") == 0) {
		play_connection(p, word);
	} else if (strcmp(word[0], "mark") == 0) {
		play_mark(p, word);
	} else if (strcmp(word[0], "usage") == 0) {
		play_usage(p, word);
	} else {
		stop(p, "unknown event '%s'", word[0]);
	}
}

/* Puts the number of the round in place of each {i}. */
static void fill_in(const struct player *p, const char *from, unsigned round, char *to)
{
	size_t used = 0;

	while (*from && *from != '#') {
		if (used > LINE - 16)
			stop(p, "too long a line");
		if (strncmp(from, "{i}", 3) == 0) {
			used += (size_t)snprintf(to + used, 12, "%u", round);
			from += 3;
		} else {
			to[used++] = *from++;
		}
	}
	to[used] = '\0';
}

static unsigned split(const struct player *p, char *line, char **word)
{
	unsigned n = 0;

	for (char *at = strtok(line, " \t\n"); at; at = strtok(NULL, " \t\n")) {
		if (n == WORDS)
			stop(p, "too many words");
		word[n++] = at;
	}
	word[n] = NULL;
	return n;
}

/* Plays the lines from one on, up to the end of the file, or of a repeat; returns where that is. */
static unsigned play_lines(struct player *p, unsigned from, unsigned round, bool repeated)
{
	for (unsigned i = from; i < p->lines; i++) {
		char line[LINE], *word[WORDS + 1] = {0};

		p->line = i + 1;
		fill_in(p, p->text[i], round, line);
		if (!split(p, line, word))
			continue;
		if (strcmp(word[0], "end") == 0 && repeated)
			return i;
		if (strcmp(word[0], "repeat") != 0) {
			play_words(p, word);
			continue;
		}
		unsigned times = number(p, word[1], 1, 100000), end = i;

		if (repeated)
			stop(p, "a repeat within a repeat");
		for (unsigned k = 0; k < times; k++)
			end = play_lines(p, i + 1, k, true);
		i = end;
	}
	if (repeated)
		stop(p, "a repeat without end");
	return p->lines;
}

static void read_file(struct player *p)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", SCENARIOS, p->file);
	FILE *f = fopen(path, "r");

	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	while (p->lines < LINES && fgets(p->text[p->lines], LINE, f))
		p->lines++;
	if (!feof(f))
		fail_msg("%s has more than %d lines", path, LINES);
	fclose(f);
	if (!p->lines)
		fail_msg("%s is empty", path);
}

static void scenario(void **state)
{
	static struct player player;
	struct player *p = &player;

	if (p->table.a) /* left by a scenario that failed */
		table_free(&p->table);
	memset(p, 0, sizeof(*p));
	p->file = *state;
	table_make(&p->table, ATTRIB_CAPACITY_MIN);
	p->now = p->started = UINT32_MAX - 500; /* the clock turns over early on */
	read_file(p);
	play_lines(p, 0, 0, false);
}

/* ---- memory ---- */

/*
 * A million queries go through a table of a thousand: nothing is written outside of it, and it
 * stays full.
 */
static void bounded(void **state)
{
	static struct wire w;
	struct attrib_usage usage;
	struct dns_message m;
	struct table t;
	char name[64];

	(void)state;
	table_make(&t, ATTRIB_CAPACITY_MIN);
	for (unsigned i = 0; i < 1000000; i++) {
		struct attrib_owner o = client_at(i % 50000, IPPROTO_UDP);
		struct attrib_turn turn = {0};
		struct attrib_decision d;
		struct attrib_socket s = {.fd = (int)(i % 7), .gen = i % 3};

		if (i % 8) /* many names of many zones; every eighth of one zone, and deep */
			snprintf(name, sizeof(name), "h%u.zone%u.t%u", i, i % 997, i % 13);
		else
			snprintf(name, sizeof(name), "a.b.c.d.e.f.g.h.i.j.k.l.h%u.one.test", i);
		wire_message(&w, i & 0xffff, WIRE_RD, name, 1);
		parse(&w, &m);
		attrib_client_query(t.a, i / 100, &m, &o, &turn);
		if (i % 3 == 0) {
			attrib_upstream_query(t.a, i / 100, &m, s, &turn, &d);
			assert_int_equal(d.evidence, ATTRIB_EXACT);
			assert_int_equal(d.owner.mark, o.mark);
			attrib_commit(t.a, i / 100, &m, &d);
		}
		if (i % 6 == 0) {
			wire_message(&w, i & 0xffff, WIRE_QR, name, 1);
			wire_record(&w, false, name, DNS_TYPE_CNAME, "cdn.one.test");
			parse(&w, &m);
			attrib_upstream_answer(t.a, i / 100, &m, w.bytes, w.len, s, &turn);
		}
		if (i % 5 == 0)
			attrib_client_answer(t.a, i / 100, &m, &o);
	}
	attrib_usage(t.a, &usage);
	assert_true(usage.evicted > 900000);
	/*
	 * eight shards of two entries a unit; and most of it in use, or it would have been
	 * shrinking
	 */
	unsigned used = usage.waiting + usage.answered + usage.learned + usage.upstream;

	assert_true(used <= 8 * 2 * ATTRIB_CAPACITY_MIN);
	assert_true(used >= 2 * ATTRIB_CAPACITY_MIN);
	table_free(&t);
}

/* Only what is used is touched: a large table costs nothing at first. */
static void untouched_at_first(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), touched = 0;
	size_t bytes = attrib_size(ATTRIB_CAPACITY_MAX), pages = (bytes + page - 1) / page;
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)state;
	if (memory == MAP_FAILED)
		skip();
	attrib_init(memory, ATTRIB_CAPACITY_MAX, &key);
	unsigned char *in = malloc(pages);

	assert_non_null(in);
	assert_int_equal(mincore(memory, bytes, in), 0);
	for (size_t i = 0; i < pages; i++)
		touched += in[i] & 1;
	assert_true(touched < 200);
	free(in);
	munmap(memory, bytes);
}

static void sizes(void **state)
{
	(void)state;
	for (unsigned c = ATTRIB_CAPACITY_MIN; c < ATTRIB_CAPACITY_MAX; c *= 2)
		/* where addresses have 32 bits, the largest do not fit, and must not be taken for small ones */
		assert_true(attrib_size(2 * c) > attrib_size(c) ||
			    (SIZE_MAX == UINT32_MAX && 2 * c >= 65536 && !attrib_size(2 * c)));
	struct table t;

	table_make(&t, 5000); /* no power of two */
	assert_true(attrib_key(t.a)->k0 == key.k0 && attrib_key(t.a)->k1 == key.k1);
	table_free(&t);
	for (unsigned i = 0; i < ATTRIB_EVIDENCES; i++)
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(attrib_evidence_name((enum attrib_evidence)i),
						attrib_evidence_name((enum attrib_evidence)j));
}

/* ---- threads ---- */

/*
 * Everything that one client causes, from question to answer: with a name that all ask, and one of
 * its own.
 */
static bool one_round(struct attrib *a, unsigned client, unsigned i)
{
	struct attrib_owner o = client_at(client, IPPROTO_UDP);
	struct attrib_socket s = {.fd = (int)client, .gen = 1};
	struct attrib_turn turn = {0};
	struct attrib_decision d;
	struct dns_message m;
	struct wire w;
	char name[64], target[64];
	bool right = true;

	if (i % 4)
		snprintf(name, sizeof(name), "h%u.c%u.example.com", i % 64, client);
	else
		snprintf(name, sizeof(name), "shared%u.example.com", i % 16);
	snprintf(target, sizeof(target), "t%u.c%u.example.net", i % 16, client);
	wire_message(&w, i & 0xffff, WIRE_RD, name, 1);
	if (!dns_parse(attrib_key(a), w.bytes, w.len, &m))
		return false;
	attrib_client_query(a, i, &m, &o, &turn);
	struct attrib_owner caused;

	attrib_connection(a, i, &turn, &caused);
	attrib_upstream_query(a, i, &m, s, &turn, &d);
	if (d.evidence != ATTRIB_NONE)
		attrib_commit(a, i, &m, &d);
	/* a name that no other client asks is this one's */
	if (i % 4 && (d.evidence == ATTRIB_NONE || d.owner.mark != client))
		right = false;
	wire_message(&w, i & 0xffff, WIRE_QR, name, 1);
	wire_record(&w, false, name, DNS_TYPE_CNAME, target);
	if (!dns_parse(attrib_key(a), w.bytes, w.len, &m))
		return false;
	attrib_upstream_answer(a, i, &m, w.bytes, w.len, s, &turn);
	attrib_client_answer(a, i, &m, &o);
	wire_message(&w, 7, 0, i % 2 ? "com" : "example.com", 2);
	if (!dns_parse(attrib_key(a), w.bytes, w.len, &m))
		return false;
	attrib_upstream_query(a, i, &m, s, &turn, &d);
	return right;
}

enum { HAMMERS = 4, ROUNDS = 20000 };

struct hammer {
	struct attrib *a;
	unsigned client, wrong;
	_Atomic bool *stop;
};

static void *hammer(void *ctx)
{
	struct hammer *h = ctx;

	for (unsigned i = 0; h->stop ? !atomic_load(h->stop) : i < ROUNDS; i++)
		h->wrong += !one_round(h->a, h->client, i);
	return NULL;
}

static void threads_at_once(void **state)
{
	pthread_t thread[HAMMERS];
	struct hammer h[HAMMERS];
	struct attrib_usage usage;
	struct table t;

	(void)state;
	table_make(&t, ATTRIB_CAPACITY_MIN);
	for (unsigned i = 0; i < HAMMERS; i++) {
		h[i] = (struct hammer){.a = t.a, .client = i + 1};
		assert_int_equal(pthread_create(&thread[i], NULL, hammer, &h[i]), 0);
	}
	for (int i = 0; i < 100; i++)
		attrib_usage(t.a, &usage);
	for (unsigned i = 0; i < HAMMERS; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(h[i].wrong, 0);
	}
	attrib_usage(t.a, &usage);
	assert_int_equal(usage.waiting, 0); /* all were answered */
	table_free(&t);
}

/* ---- fork ---- */

static int inside[2], go_on[2]; /* pipes */

/* The first access to the forbidden page: says that it is there, and waits for leave to go on. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
	char c = 'x';

	(void)sig;
	(void)info;
	(void)context;
	if (write(inside[1], &c, 1) != 1 || read(go_on[0], &c, 1) != 1)
		_exit(99);
}

/* In the child: every event in every shard, or the alarm ends it. */
static void child_goes_on(struct attrib *a)
{
	unsigned wrong = 0;

	alarm(20);
	attrib_after_fork(a);
	for (unsigned i = 0; i < 300; i++) {
		wrong += !one_round(a, 200, i);
		wrong += !one_round(a, 201 + i, i);
	}
	_exit(wrong ? 1 : 0);
}

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void assert_went_on(int status)
{
	if (WIFSIGNALED(status))
		fail_msg("the child was ended by signal %d%s", WTERMSIG(status),
			 WTERMSIG(status) == SIGALRM ? ": it waits for a lock for ever" : "");
	if (WEXITSTATUS(status))
		fail_msg("the child ended with status %d", WEXITSTATUS(status));
}

/*
 * A thread is held within its critical section by a page that it may not touch, and the process
 * forks.
 */
static void fork_within_a_lock(void **state)
{
	struct sigaction action = {.sa_flags = SA_SIGINFO}, before;
	struct hammer h = {0};
	_Atomic bool stop_now = true;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	pthread_t thread;
	struct table t;
	char c;

	(void)state;
	table_make(&t, ATTRIB_CAPACITY_MIN);
	for (unsigned i = 0; i < 100; i++) /* so that the child has something to lose */
		assert_true(one_round(t.a, 1 + i, i));
	assert_int_equal(pipe(inside), 0);
	assert_int_equal(pipe(go_on), 0);
	action.sa_sigaction = on_fault;
	assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
	/* all behind the table's head: entries, links, nodes and buckets, of all shards */
	char *body = (char *)(((uintptr_t)t.memory + 2 * page) / page * page);
	size_t length = (size_t)(t.memory + t.bytes - body) / page * page;

	assert_int_equal(mprotect(body, length, PROT_NONE), 0);
	h = (struct hammer){.a = t.a, .client = 1, .stop = NULL};
	atomic_store(&stop_now, false);
	h.stop = &stop_now;
	assert_int_equal(pthread_create(&thread, NULL, hammer, &h), 0);
	assert_int_equal(read(inside[0], &c, 1), 1); /* it has a lock, and is at work */
	assert_int_equal(mprotect(body, length, PROT_READ | PROT_WRITE), 0);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		child_goes_on(t.a);
	int status = status_of(pid);

	assert_int_equal(write(go_on[1], "x", 1), 1);
	atomic_store(&stop_now, true);
	pthread_join(thread, NULL);
	assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
	for (int i = 0; i < 2; i++) {
		close(inside[i]);
		close(go_on[i]);
	}
	assert_went_on(status);
	table_free(&t);
}

/*
 * Forks at random moments of two busy threads: wherever they are with their locks, the child goes
 * on.
 */
static void fork_amid_work(void **state)
{
	enum { FORKS = 400 };
	_Atomic bool stop_now = false;
	pthread_t thread[2];
	struct hammer h[2];
	struct table t;
	unsigned stuck = 0;

	(void)state;
	table_make(&t, ATTRIB_CAPACITY_MIN);
	for (unsigned i = 0; i < 2; i++) {
		h[i] = (struct hammer){.a = t.a, .client = i + 1, .stop = &stop_now};
		assert_int_equal(pthread_create(&thread[i], NULL, hammer, &h[i]), 0);
	}
	for (unsigned i = 0; i < FORKS && !stuck; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid)
			child_goes_on(t.a);
		int status = status_of(pid);

		stuck += WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
		if (!stuck)
			assert_went_on(status);
	}
	atomic_store(&stop_now, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	if (stuck)
		fail_msg("a child waits for a lock for ever");
	table_free(&t);
}

/* Nobody held a lock: the child knows what its parent knew. */
static void fork_keeps_what_is_known(void **state)
{
	static struct wire w;
	struct attrib_owner o = client_at(7, IPPROTO_UDP);
	struct attrib_turn turn = {0};
	struct attrib_decision d;
	struct dns_message m;
	struct table t;

	(void)state;
	table_make(&t, ATTRIB_CAPACITY_MIN);
	wire_message(&w, 1, 0, "www.example.com", 1);
	parse(&w, &m);
	attrib_client_query(t.a, 0, &m, &o, &turn);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		attrib_after_fork(t.a);
		attrib_upstream_query(t.a, 0, &m, (struct attrib_socket){.fd = 5}, NULL, &d);
		_exit(d.evidence == ATTRIB_EXACT && d.owner.mark == 7 ? 0 : 1);
	}
	assert_went_on(status_of(pid));
	table_free(&t);
}

/* ---- all together ---- */

static int is_scenario(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 4 && strcmp(d->d_name + n - 4, ".scn") == 0;
}

static void there_are_scenarios(void **state)
{
	if (!*(int *)*state)
		fail_msg("no scenario in " SCENARIOS);
}

int main(void)
{
	static int files;
	const struct CMUnitTest programs[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(untouched_at_first),
		cmocka_unit_test(bounded),
		cmocka_unit_test(threads_at_once),
		cmocka_unit_test(fork_keeps_what_is_known),
		cmocka_unit_test(fork_within_a_lock),
		cmocka_unit_test(fork_amid_work),
		cmocka_unit_test_prestate(there_are_scenarios, &files),
	};
	struct dirent **names = NULL;

	files = scandir(SCENARIOS, &names, is_scenario, alphasort);
	if (files < 0)
		files = 0;
	struct CMUnitTest *tests = calloc((size_t)files + COUNT(programs), sizeof(*tests));

	if (!tests)
		return 1;
	memcpy(tests, programs, sizeof(programs));
	for (int i = 0; i < files; i++)
		tests[COUNT(programs) + (size_t)i] =
			(struct CMUnitTest){.name = names[i]->d_name,
					    .test_func = scenario,
					    .initial_state = names[i]->d_name};
	int failed = _cmocka_run_group_tests("attrib", tests, (size_t)files + COUNT(programs), NULL,
					     NULL);

	for (int i = 0; i < files; i++)
		free(names[i]);
	free(names);
	free(tests);
	return failed;
}
