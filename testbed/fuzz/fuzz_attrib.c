// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Attribution against a model of it: the same events go into both, and each decision of the core
 * must be one that the documented order of evidence (attrib.h) allows. The model is arrays and
 * loops over them, without hashes, shards or limits. Where the documentation leaves open which of
 * several clients is meant, the model allows them all.
 *
 * Input: one byte for the key, then events of four bytes: what, and three that say which.
 */
#include "../unit/wire.h"
#include "attrib.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * Where the core departs from attrib.h, and the model lets it: each is 1 until the one or the other
 * is changed. Turning one off makes the fuzzer find the departure within seconds.
 */
enum {
	LET_CHARGED_ORDER = 0,	/* of several charged the first that was charged, not the oldest */
	LET_OWN_CHARGED = 0,	/* same name, other type: the thread's own, though charged */
	LET_TLD_NEWEST = 0,	/* beneath a top-level domain the newest, not the thread's own */
	LET_REPEAT_WAITING = 1, /* a repeat keeps its owner only while that one waits */
};

enum {
	EVENTS_MAX = 400,
	NAMES = 16,
	TYPES = 4,
	CLIENTS = 5,
	SOCKETS = 4,
	THREADS = 3,
	SCANNED = 8
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In pairs that differ in case only, so that case is folded: name i and i ^ 1 are the same. */
static const char *const names[NAMES] = {
	".",
	".",
	"com",
	"cOm",
	"example.com",
	"ExAmPle.com",
	"www.example.com",
	"wWw.Example.Com",
	"ftp.example.com",
	"FTP.example.COM",
	"_.example.com",
	"_.EXAMPLE.com",
	"ns.example.net",
	"nS.example.net",
	"a.b.example.net",
	"A.B.example.NET",
};

static const uint16_t types[TYPES] = {1, 28, 2, 43};

enum state { GONE, WAITING, ANSWERED };

struct client {
	enum state state;
	int who, name, id, proto;
	uint16_t type;
	bool charged;
	unsigned entered; /* number of the event */
	uint32_t since;	  /* when it was entered or answered */
};

struct learned {
	int name, owner;
};

struct upstream {
	bool there;
	int socket, id, name, owner;
	uint16_t type;
};

struct turn {
	unsigned messages;
	int owner; /* -1: none */
};

struct model {
	unsigned events;
	struct client client[EVENTS_MAX];
	int clients;
	struct learned learned[EVENTS_MAX * 4];
	int learneds;
	struct upstream upstream[EVENTS_MAX];
	int upstreams;
	struct turn turn[THREADS];
	unsigned right, wrong;
};

/* What may be decided: evidence, and who. */
struct verdict {
	enum attrib_evidence evidence;
	bool may[EVENTS_MAX];
	bool unsure; /* more were learned than the core looks at */
};

static struct model m;
static struct attrib *core;
static struct attrib_turn turns[THREADS];
static uint32_t now, phase;

static void fail(const char *what)
{
	fprintf(stderr, "event %u: %s\n", m.events, what);
	abort();
}

static void require(bool holds, const char *what)
{
	if (!holds)
		fail(what);
}

/* ---- names, by their text ---- */

static const char *parent_of_underscore(const char *name)
{
	return strncmp(name, "_.", 2) == 0 ? name + 2 : name;
}

static bool same(const char *x, const char *y)
{
	return strcasecmp(x, y) == 0;
}

static bool is_beneath(const char *name, const char *ancestor)
{
	size_t n = strlen(name), a = strlen(ancestor);

	if (same(ancestor, "."))
		return false; /* everything is beneath the root: that says nothing */
	return n > a && name[n - a - 1] == '.' && same(name + n - a, ancestor);
}

static bool is_tld(const char *name)
{
	return !same(name, ".") && !strchr(name, '.');
}

/* ---- the order of evidence ---- */

/* The client that this thread heard of last, where it waits. */
static int own(const struct turn *t)
{
	return t->messages && t->owner >= 0 && m.client[t->owner].state == WAITING ? t->owner : -1;
}

static bool fits(const struct client *c, const char *name, int type, bool beneath)
{
	bool named = beneath ? is_beneath(names[c->name], name) : same(names[c->name], name);

	return named && (type < 0 || c->type == type);
}

/* The oldest that waits for this, among those that are charged or those that are not. */
static int oldest(const char *name, int type, bool charged)
{
	int found = -1;

	for (int i = 0; i < m.clients; i++)
		if (m.client[i].state == WAITING && m.client[i].charged == charged &&
		    fits(&m.client[i], name, type, false) &&
		    (found < 0 || m.client[i].entered < m.client[found].entered))
			found = i;
	return found;
}

static bool model_exact(const char *name, int type, const struct turn *t, struct verdict *v)
{
	int mine = own(t), fresh = oldest(name, type, false), charged = oldest(name, type, true);
	bool mine_fits = mine >= 0 && fits(&m.client[mine], name, type, false);

	if (fresh < 0 && charged < 0)
		return false;
	v->evidence = ATTRIB_EXACT;
	if (fresh >= 0) {
		v->may[mine_fits && !m.client[mine].charged ? mine : fresh] = true;
	} else {
		v->may[charged] = true;
		for (int i = 0; LET_CHARGED_ORDER && i < m.clients; i++)
			if (m.client[i].state == WAITING && fits(&m.client[i], name, type, false))
				v->may[i] = true;
	}
	if (LET_OWN_CHARGED && type < 0 && mine_fits)
		v->may[mine] = true;
	return true;
}

static bool model_learned(const char *name, bool beneath, enum state state,
			  enum attrib_evidence evidence, struct verdict *v)
{
	bool found = false;
	int looked = 0;

	for (int i = 0; i < m.learneds; i++) {
		const char *has = names[m.learned[i].name];

		if (!(beneath ? is_beneath(has, name) : same(has, name)))
			continue;
		if (++looked > SCANNED)
			v->unsure = true;
		if (m.client[m.learned[i].owner].state != state)
			continue;
		v->may[m.learned[i].owner] = found = true;
	}
	if (found)
		v->evidence = evidence;
	return found;
}

static bool model_beneath(const char *name, const struct turn *t, struct verdict *v)
{
	int newest = -1, mine = own(t);

	for (int i = 0; i < m.clients; i++)
		if (m.client[i].state == WAITING && fits(&m.client[i], name, -1, true) &&
		    (newest < 0 || m.client[i].entered > m.client[newest].entered))
			newest = i;
	if (newest < 0)
		return false;
	v->evidence = ATTRIB_ANCESTOR;
	if (mine >= 0 && fits(&m.client[mine], name, -1, true)) {
		v->may[mine] = true;
		if (LET_TLD_NEWEST && is_tld(name))
			v->may[newest] = true;
	} else {
		v->may[newest] = true;
	}
	return true;
}

static bool model_answered(const char *name, bool beneath, struct verdict *v)
{
	bool found = false;

	for (int i = 0; i < m.clients; i++)
		if (m.client[i].state == ANSWERED && fits(&m.client[i], name, -1, beneath))
			v->may[i] = found = true;
	if (found)
		v->evidence = ATTRIB_ANSWERED;
	return found || model_learned(name, beneath, ANSWERED, ATTRIB_ANSWERED, v);
}

static bool trusted(void)
{
	return m.right >= 16 && m.wrong == 0;
}

static bool model_turn(const char *name, uint16_t type, const struct turn *t, struct verdict *v)
{
	if (t->messages != 1 || t->owner < 0 || !trusted() || m.client[t->owner].state == GONE)
		return false;
	if (same(name, ".") && type == DNS_TYPE_NS)
		return false;
	v->evidence = ATTRIB_TURN;
	v->may[t->owner] = true;
	return true;
}

static struct upstream *find_upstream(int socket, int id, int name, uint16_t type)
{
	for (int i = 0; i < m.upstreams; i++) {
		struct upstream *u = &m.upstream[i];

		if (u->there && u->socket == socket && u->id == id && u->type == type &&
		    same(names[u->name], names[name]))
			return u;
	}
	return NULL;
}

static bool model_repeat(const struct upstream *u, struct verdict *v)
{
	if (!u || m.client[u->owner].state == GONE ||
	    (LET_REPEAT_WAITING && m.client[u->owner].state != WAITING))
		return false;
	v->evidence = ATTRIB_REPEAT;
	v->may[u->owner] = true;
	return true;
}

static void model_decide(int socket, int id, int name, uint16_t type, const struct turn *t,
			 struct verdict *v)
{
	const char *whole = names[name], *asked = parent_of_underscore(whole);

	*v = (struct verdict){.evidence = ATTRIB_NONE};
	(void)(model_repeat(find_upstream(socket, id, name, type), v) ||
	       model_exact(asked, type, t, v) || model_exact(asked, -1, t, v) ||
	       model_learned(asked, false, WAITING, ATTRIB_LEARNED, v) ||
	       model_beneath(asked, t, v) ||
	       model_learned(asked, true, WAITING, ATTRIB_ANCESTOR, v) ||
	       model_answered(asked, false, v) || model_answered(asked, true, v) ||
	       model_turn(whole, type, t, v));
}

/* ---- events, into both ---- */

static void parse(const struct wire *w, struct dns_message *out)
{
	require(dns_parse(attrib_key(core), w->bytes, w->len, out), "a good message is refused");
}

static void flow_of(int who, struct attrib_owner *o)
{
	memset(o, 0, sizeof(*o));
	o->flow.client.family = AF_INET;
	o->flow.client.addr[3] =
		(uint8_t)(who / 2); /* two clients share each address, by their ports */
	o->flow.client.port = (uint16_t)(1024 + who % 2);
	o->flow.proto = IPPROTO_UDP;
	o->fd = 3;
}

static int find_client(int who, int id, int proto, int name, uint16_t type)
{
	for (int i = 0; i < m.clients; i++) {
		const struct client *c = &m.client[i];

		if (c->state != GONE && c->who == who && c->id == id && c->proto == proto &&
		    c->type == type && same(names[c->name], names[name]))
			return i;
	}
	return -1;
}

static void client_query(int who, int id, int proto, int name, uint16_t type, int thread)
{
	static struct wire w;
	struct dns_message query;
	struct attrib_owner o;
	int i = find_client(who, id, proto, name, type);

	if (i >= 0 && m.client[i].state == ANSWERED) {
		m.client[i].state = GONE;
		i = -1;
	}
	if (i < 0) {
		i = m.clients++;
		m.client[i] = (struct client){.state = WAITING,
					      .who = who,
					      .name = name,
					      .id = id,
					      .proto = proto,
					      .type = type,
					      .entered = m.events};
	}
	m.client[i].since = now;
	flow_of(who, &o);
	o.flow.proto = (uint8_t)proto;
	o.mark = (uint32_t)i;
	o.state = MARK_KNOWN;
	wire_message(&w, (unsigned)id, WIRE_RD, names[name], type);
	parse(&w, &query);
	attrib_client_query(core, now, &query, &o, &turns[thread]);
	require(o.ref.index != 0 && o.id == id, "a client query found no room");
	m.turn[thread].messages++;
	m.turn[thread].owner = i;
}

static void client_answer(int who, int id, int proto, int name, uint16_t type)
{
	static struct wire w;
	struct dns_message answer;
	struct attrib_owner o;
	int i = find_client(who, id, proto, name, type);

	if (i >= 0 && m.client[i].state == WAITING) {
		m.client[i].state = ANSWERED;
		m.client[i].since = now;
	}
	flow_of(who, &o);
	o.flow.proto = (uint8_t)proto;
	wire_message(&w, (unsigned)id, WIRE_QR, names[name], type);
	parse(&w, &answer);
	attrib_client_answer(core, now, &answer, &o);
}

static struct attrib_socket socket_of(int socket)
{
	return (struct attrib_socket){.fd = 10 + socket / 2, .gen = (uint32_t)(socket % 2)};
}

static void learn(int name, int owner)
{
	if (same(names[name], ".") || m.learneds == EVENTS_MAX * 4)
		return;
	for (int i = 0; i < m.learneds; i++)
		if (same(names[m.learned[i].name], names[name]) && m.learned[i].owner == owner)
			return;
	m.learned[m.learneds++] = (struct learned){name, owner};
}

static void upstream_query(int socket, int id, int name, uint16_t type, int thread)
{
	static struct wire w;
	static struct verdict v;
	struct dns_message query;
	struct attrib_decision d;

	model_decide(socket, id, name, type, &m.turn[thread], &v);
	wire_message(&w, (unsigned)id, 0, names[name], type);
	parse(&w, &query);
	attrib_upstream_query(core, now, &query, socket_of(socket), &turns[thread], &d);
	if (!v.unsure && (d.evidence != v.evidence || (d.evidence && !v.may[d.owner.mark]))) {
		fprintf(stderr, "%s type %u, socket %d id %d, thread %d: %s of client query %d\n",
			names[name], type, socket, id, thread, attrib_evidence_name(d.evidence),
			d.evidence ? (int)d.owner.mark : -1);
		fprintf(stderr, "allowed: %s of", attrib_evidence_name(v.evidence));
		for (int i = 0; i < m.clients; i++)
			if (v.may[i])
				fprintf(stderr, " %d", i);
		fprintf(stderr, "\n");
		fail("a decision that the order of evidence does not allow");
	}
	if (d.evidence == ATTRIB_NONE)
		return;
	int owner = (int)d.owner.mark;
	const char *asked = parent_of_underscore(names[name]);

	require(owner < m.clients && d.owner.state == MARK_KNOWN, "nobody's mark");
	if (d.evidence == ATTRIB_EXACT) {
		if (m.turn[thread].messages == 1 && m.turn[thread].owner >= 0)
			++*(owner == m.turn[thread].owner ? &m.right : &m.wrong);
		if (fits(&m.client[owner], asked, type, false))
			m.client[owner].charged = true;
	}
	attrib_commit(core, now, &query, socket_of(socket), &d);
	struct upstream *u = find_upstream(socket, id, name, type);

	if (!u)
		u = &m.upstream[m.upstreams++];
	*u = (struct upstream){true, socket, id, name, owner, type};
	if (d.evidence == ATTRIB_TURN)
		learn(name, owner);
}

static void upstream_answer(int socket, int id, int name, uint16_t type, int first, int second,
			    int thread)
{
	static struct wire w;
	struct dns_message answer;
	struct upstream *u = find_upstream(socket, id, name, type);

	wire_message(&w, (unsigned)id, WIRE_QR, names[name], type);
	wire_record(&w, false, names[name], first & 1 ? DNS_TYPE_DNAME : DNS_TYPE_CNAME,
		    names[first]);
	wire_record(&w, true, names[name], second & 1 ? DNS_TYPE_NS : 6, names[second]);
	parse(&w, &answer);
	attrib_upstream_answer(core, now, &answer, w.bytes, w.len, socket_of(socket),
			       &turns[thread]);
	m.turn[thread].messages++;
	m.turn[thread].owner = u ? u->owner : -1;
	if (!u)
		return;
	learn(first, u->owner);
	if (second & 1)
		learn(second, u->owner);
	u->there = false;
}

static void check_connection(int thread)
{
	const struct turn *t = &m.turn[thread];
	int waiting = 0;

	for (int i = 0; i < m.clients; i++)
		waiting += m.client[i].state == WAITING;
	bool expected = t->messages == 1 && own(t) >= 0 && (trusted() || waiting == 1);

	require(attrib_connection(core, now, &turns[thread]) == expected, "attrib_connection");
}

/* ---- time ---- */

/* Events that change nothing in all shards in use: each retires what has had its time. */
static void settle(void)
{
	for (int i = 0; i < NAMES; i += 2)
		client_answer(CLIENTS, 9, IPPROTO_UDP, i, 16);
}

/* Only a few seconds pass between two settlings, so that what is present is always certain. */
static void pass(uint32_t ms)
{
	now += ms;
	phase += ms;
	if (ms < 1000)
		return;
	settle();
	for (int i = 0; i < m.clients; i++) {
		struct client *c = &m.client[i];

		if ((c->state == ANSWERED && now - c->since >= ATTRIB_ANSWERED_MS) ||
		    (c->state == WAITING && now - c->since >= ATTRIB_WAIT_MS))
			c->state = GONE;
	}
}

/* Longer than anything lives. */
static void forget(void)
{
	struct attrib_usage usage;

	pass(ATTRIB_WAIT_MS + 1);
	attrib_usage(core, &usage);
	require(!usage.waiting && !usage.answered && !usage.learned && !usage.upstream,
		"something outlives its time");
	require(!usage.evicted, "something was evicted");
	m.learneds = m.upstreams = 0;
	phase = 0;
}

static void step(const uint8_t e[4])
{
	int who = e[1] % CLIENTS, id = e[1] >> 4 & 1,
	    proto = e[1] & 0x80 ? IPPROTO_TCP : IPPROTO_UDP;
	int name = e[2] % NAMES, thread = e[0] >> 4 & 3, socket = e[1] % SOCKETS;
	uint16_t type = types[e[2] >> 4 & 3];

	thread = thread < THREADS ? thread : 0;
	switch (e[0] & 7) {
	case 0:
	case 1:
		if (names[name][0] != '_') /* that only resolvers ask */
			client_query(who, id, proto, name, type, thread);
		break;
	case 2:
	case 3:
		upstream_query(socket, id, name, type, thread);
		break;
	case 4:
		upstream_answer(socket, id, name, type, e[3] % NAMES, e[3] / NAMES, thread);
		break;
	case 5:
		client_answer(who, id, proto, name, type);
		break;
	case 6:
		turns[thread] = (struct attrib_turn){0};
		m.turn[thread] = (struct turn){.owner = -1};
		break;
	default:
		if (e[1] == 255)
			forget();
		else if (e[1] == 254)
			attrib_after_fork(core); /* nobody held a lock: nothing changes */
		else if (e[1] == 253 && phase < 1000)
			pass(ATTRIB_ANSWERED_MS + 1);
		else
			pass(e[1] % 16); /* in all, less than anything lives */
	}
	for (int i = 0; i < THREADS; i++)
		check_connection(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t bytes = attrib_size(ATTRIB_CAPACITY_MIN);
	struct sip_key key = {size ? data[0] : 0, 42};

	if (!size || size > 1 + 4 * EVENTS_MAX)
		return 0;
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	core = attrib_init(memory, ATTRIB_CAPACITY_MIN, &key);
	memset(&m, 0, sizeof(m));
	memset(turns, 0, sizeof(turns));
	for (int i = 0; i < THREADS; i++)
		m.turn[i].owner = -1;
	now = UINT32_MAX - 5000; /* the clock turns over soon */
	phase = 0;
	for (size_t at = 1; at + 4 <= size; at += 4, m.events++)
		step(data + at);
	munmap(memory, bytes);
	return 0;
}
