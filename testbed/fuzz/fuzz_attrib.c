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
#include "aliases.h"
#include "attrib.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * Where the core departs from attrib.h, and the model lets it: each is 1 until the one or the other
 * is changed. Turning one off makes the fuzzer find the departure within seconds.
 */
enum {
	LET_OWN_CHARGED = 1,  /* same name, other type: the thread's own, though charged */
	LET_LEARNED_PAST = 1, /* of learned names whose owner was answered, one is looked at */
};

enum {
	EVENTS_MAX = 400,
	NAMES = 32,
	TYPES = 4,
	CLIENTS = 5,
	SOCKETS = 4,
	THREADS = 3,
	CAPACITY = 2 * ATTRIB_CAPACITY_MIN, /* so much that nothing is evicted */
	SORTED = 16, /* of more that were charged, the oldest is not always known */
	LEARNED_MAX = EVENTS_MAX * 4,
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
	"net",
	"NET",
	"example.net",
	"Example.Net",
	"test",
	"TEST",
	"ns.test",
	"NS.test",
	"sub.www.example.com",
	"sub.WWW.example.com",
	"_.example.net",
	"_.EXAMPLE.net",
	"_",
	"_",
	"_._.example.com",
	"_._.EXAMPLE.com",
};

static const uint16_t types[TYPES] = {1, 16, 2, 43};

enum state { GONE, WAITING, ANSWERED };

struct client {
	enum state state;
	int who, name, id, proto;
	uint16_t type;
	bool charged[2];   /* for its name, for its question */
	unsigned entered;  /* number of the event */
	unsigned answered; /* likewise */
	bool explained;	   /* an upstream query left for it, or for another that asked the same */
	bool fed;	   /* an upstream query for it had a final answer */
	bool settled;	   /* its answer came from upstream, or may have */
	int pending;	   /* so many upstream queries for it have no answer yet */
	uint64_t first, last; /* when it asked first, and again */
	uint32_t since;	      /* when it asked last, or was answered */
};

/* A name that answers to the owner's queries named; first, last: number of the event. */
struct learned {
	int name, owner;
	bool server;
	unsigned first, last;
};

/* A name server and a zone of it; when: number of what was learned last. */
struct served {
	int server, zone;
	unsigned when;
};

/* What is known of a question while there is somebody who asked it. */
struct question {
	unsigned final;	  /* number of the event that brought the last final answer */
	bool outstanding; /* it was asked upstream, and has no answer yet */
};

struct upstream {
	bool there;
	int socket, id, name, owner;
	uint16_t type;
};

struct turn {
	unsigned messages, truncated;
	int owner;	     /* -1: none */
	int truncated_owner; /* of the latest truncated answer */
};

struct model {
	unsigned events, lessons;
	uint64_t elapsed;
	struct client client[EVENTS_MAX];
	int clients;
	struct learned learned[LEARNED_MAX];
	int learneds;
	struct served served[NAMES * NAMES];
	int serveds;
	int alias[NAMES]; /* what a name leads to, one more; 0: it is no alias */
	struct upstream upstream[EVENTS_MAX];
	int upstreams;
	struct question question[NAMES][TYPES];
	struct upstream recent[EVENTS_MAX]; /* what had its answer */
	uint32_t recent_when[EVENTS_MAX];
	int recents;
	struct turn turn[THREADS];
	unsigned right, wrong;
};

/* What may be decided: who, by which evidence. */
struct verdict {
	bool may[ATTRIB_EVIDENCES][EVENTS_MAX];
	bool none;
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

static bool lies_in(const char *name, const char *zone)
{
	return same(zone, ".") || same(name, zone) || is_beneath(name, zone);
}

/* ---- the order of evidence: each function says whether it settles the matter ---- */

static bool allow(struct verdict *v, enum attrib_evidence evidence, int client)
{
	return v->may[evidence][client] = true;
}

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

static bool waits(int client, const char *name, int type, bool charged)
{
	const struct client *c = &m.client[client];

	return c->state == WAITING && c->charged[type >= 0] == charged &&
	       fits(c, name, type, false);
}

/* Of several charged the oldest: all that may be it, by the milliseconds in which they asked. */
static bool model_charged(const char *name, int type, struct verdict *v)
{
	uint64_t oldest = UINT64_MAX;
	int count = 0;

	for (int i = 0; i < m.clients; i++) {
		if (!waits(i, name, type, true))
			continue;
		count++;
		if (m.client[i].last < oldest)
			oldest = m.client[i].last;
	}
	for (int i = 0; i < m.clients; i++)
		if (waits(i, name, type, true) && (m.client[i].first <= oldest || count > SORTED))
			allow(v, ATTRIB_EXACT, i);
	return count;
}

static bool model_exact(const char *name, int type, const struct turn *t, struct verdict *v)
{
	int mine = own(t), fresh = -1;

	for (int i = m.clients; i-- > 0;)
		if (waits(i, name, type, false))
			fresh = i;
	if (fresh < 0) {
		if (LET_OWN_CHARGED && type < 0 && mine >= 0 && waits(mine, name, type, true))
			allow(v, ATTRIB_EXACT, mine);
		return model_charged(name, type, v);
	}
	return allow(v, ATTRIB_EXACT, mine >= 0 && waits(mine, name, type, false) ? mine : fresh);
}

/* The newest whose owner waits. Of names beneath another, which may have been named several times: all that may be. */
static bool model_learned(const char *name, bool beneath, enum attrib_evidence evidence,
			  struct verdict *v)
{
	unsigned newest = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < m.learneds; i++) {
			const struct learned *l = &m.learned[i];
			const char *has = names[l->name];

			if (m.client[l->owner].state != WAITING ||
			    !(beneath ? is_beneath(has, name) : same(has, name)))
				continue;
			unsigned least = beneath ? l->first : l->last;

			if (pass && l->last >= newest)
				allow(v, evidence, l->owner);
			else if (!pass && least > newest)
				newest = least;
		}
	}
	return newest;
}

static bool model_beneath(const char *name, const struct turn *t, struct verdict *v)
{
	int newest = -1, mine = own(t);

	for (int i = 0; i < m.clients; i++)
		if (m.client[i].state == WAITING && fits(&m.client[i], name, -1, true))
			newest = i;
	if (newest < 0)
		return false;
	if (mine < 0 || !fits(&m.client[mine], name, -1, true))
		return allow(v, ATTRIB_ANCESTOR, newest);
	return allow(v, ATTRIB_ANCESTOR, mine);
}

static struct question *question_of(int name, uint16_t type)
{
	int t = 0;

	while (types[t] != type)
		t++;
	return &m.question[name & ~1][t];
}

/* The same question, answered from the cache just now: who was answered last is meant. Then what it is known to lead to. */
static bool model_refreshed(const char *name, int type, struct verdict *v)
{
	int last = -1;

	for (int i = 0; i < m.clients; i++)
		if (m.client[i].state == ANSWERED && fits(&m.client[i], name, type, false) &&
		    (last < 0 || m.client[i].answered > m.client[last].answered))
			last = i;
	if (last < 0)
		return false;
	const struct client *c = &m.client[last];
	const struct question *q = question_of(c->name, c->type);

	if (q->final <= c->entered && now - c->since < ATTRIB_REFRESH_MS)
		return allow(v, ATTRIB_ANSWERED, last);
	return false;
}

static bool leads_to_address(uint16_t type)
{
	return type != 16; /* TXT, of the types here */
}

/* The names of servers and what leads to them, and what the cache gave just now. */
static bool stands_amid_others(const struct learned *l, uint16_t type, bool beneath)
{
	const struct client *c = &m.client[l->owner];

	return (l->server && leads_to_address(type)) ||
	       (!beneath && !c->settled && m.elapsed - c->last < ATTRIB_REFRESH_MS);
}

static bool somebody_unexplained(void)
{
	for (int i = 0; i < m.clients; i++)
		if (m.client[i].state == WAITING && !m.client[i].explained)
			return true;
	return false;
}

static bool model_asked(const char *name, bool beneath, struct verdict *v)
{
	bool found = false;

	for (int i = 0; i < m.clients; i++)
		if (m.client[i].state == ANSWERED && fits(&m.client[i], name, -1, beneath))
			found = allow(v, ATTRIB_ANSWERED, i);
	return found;
}

/* By what was learned. Perhaps: not all are looked at. */
static bool model_named(const char *name, uint16_t type, bool beneath, struct verdict *v)
{
	bool found = false;

	for (int i = 0; i < m.learneds; i++) {
		const struct learned *l = &m.learned[i];
		const char *has = names[l->name];

		if (m.client[l->owner].state == ANSWERED &&
		    (beneath ? is_beneath(has, name) : same(has, name)) &&
		    (!somebody_unexplained() || stands_amid_others(l, type, beneath)))
			found = allow(v, ATTRIB_ANSWERED, l->owner);
	}
	return found && !LET_LEARNED_PAST;
}

static void forget_questions(void)
{
	for (int n = 0; n < NAMES; n += 2) {
		for (int t = 0; t < TYPES; t++) {
			bool asked = false,
			     known = m.question[n][t].final || m.question[n][t].outstanding;

			for (int i = 0; known && !asked && i < m.clients; i++)
				asked |= m.client[i].state != GONE &&
					 m.client[i].type == types[t] &&
					 same(names[m.client[i].name], names[n]);
			if (!asked)
				m.question[n][t] = (struct question){0};
		}
	}
}

/* Does another wait for the same that was asked upstream already? */
static bool joins_another(int client)
{
	const struct client *c = &m.client[client];

	for (int i = 0; i < m.clients; i++)
		if (i != client && waits(i, names[c->name], c->type, true))
			return true;
	return false;
}

/* ---- name servers ---- */

/* When a server of that name, or beneath it, was last said to serve the zone; 0: never. */
static unsigned served_when(const char *name, int zone)
{
	unsigned when = 0;

	for (int i = 0; i < m.serveds; i++) {
		const struct served *s = &m.served[i];
		const char *server = names[s->server];

		if (same(names[s->zone], names[zone]) &&
		    (same(server, name) || is_beneath(server, name)) && s->when > when)
			when = s->when;
	}
	return when;
}

/* The zone that was learned last before that; -1: none. */
static int served_before(const char *name, unsigned before)
{
	unsigned latest = 0;
	int zone = -1;

	for (int i = 0; i < NAMES; i += 2) {
		unsigned when = served_when(name, i);

		if (when > latest && when < before) {
			latest = when;
			zone = i;
		}
	}
	return zone;
}

static bool model_past_zone(const char *zone, uint16_t type, struct verdict *v)
{
	for (int beneath = 1; beneath >= 0; beneath--) {
		if (model_asked(zone, beneath, v) || model_named(zone, type, beneath, v))
			return true;
	}
	return false;
}

static bool model_at_zone(const char *zone, struct verdict *v)
{
	bool found = false;

	for (int i = 0; i < m.clients; i++)
		if (m.client[i].state == WAITING && fits(&m.client[i], zone, -1, false))
			found = allow(v, ATTRIB_ANCESTOR, i);
	return found;
}

/* Zone by zone, the newest first. */
static bool model_served(const char *name, uint16_t type, bool past, const struct turn *t,
			 struct verdict *v)
{
	int zone;

	if (!leads_to_address(type))
		return false;
	for (unsigned before = UINT_MAX; (zone = served_before(name, before)) >= 0;) {
		before = served_when(name, zone);
		if (same(names[zone], "."))
			continue;
		if (past ? model_past_zone(names[zone], type, v)
			 : model_beneath(names[zone], t, v) || model_at_zone(names[zone], v) ||
				    model_learned(names[zone], true, ATTRIB_ANCESTOR, v))
			return true;
	}
	return false;
}

/* ---- the turn, and repeats ---- */

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
	if (served_when(parent_of_underscore(name), 0)) /* the root servers are nobody's */
		return false;
	return allow(v, ATTRIB_TURN, t->owner);
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
	return u && m.client[u->owner].state == WAITING && allow(v, ATTRIB_REPEAT, u->owner);
}

/* Who waits for the same as one who learned the name, or one beneath it, and has had its answer. Perhaps: as above. */
static void model_fellows(const char *name, struct verdict *v)
{
	for (int i = 0; i < m.learneds; i++) {
		const struct client *learner = &m.client[m.learned[i].owner];
		const char *has = names[m.learned[i].name];

		if (learner->state == WAITING || (!same(has, name) && !is_beneath(has, name)))
			continue;
		for (int k = 0; k < m.clients; k++)
			if (waits(k, names[learner->name], learner->type, false) ||
			    waits(k, names[learner->name], learner->type, true))
				allow(v, same(has, name) ? ATTRIB_LEARNED : ATTRIB_ANCESTOR, k);
	}
}

/* The very same query a moment after its answer, of whose owner the last one counts. Perhaps: not all are kept. */
static void model_late_repeat(int socket, int id, int name, uint16_t type, struct verdict *v)
{
	for (int i = m.recents; i-- > 0;) {
		const struct upstream *u = &m.recent[i];

		if (u->socket != socket || u->id != id || u->type != type ||
		    !same(names[u->name], names[name]))
			continue;
		if (now - m.recent_when[i] < ATTRIB_REFRESH_MS)
			allow(v, ATTRIB_REPEAT, u->owner);
		return;
	}
}

static bool model_past(const char *asked, uint16_t type, const struct turn *t, struct verdict *v)
{
	for (int beneath = 0; beneath < 2; beneath++) {
		if ((!somebody_unexplained() && model_asked(asked, beneath, v)) ||
		    model_named(asked, type, beneath, v))
			return true;
	}
	return model_served(asked, type, true, t, v);
}

static void model_decide(int socket, int id, int name, uint16_t type, const struct turn *t,
			 struct verdict *v)
{
	const char *whole = names[name], *asked = parent_of_underscore(whole);

	memset(v, 0, sizeof(*v));
	if (model_repeat(find_upstream(socket, id, name, type), v) ||
	    (asked != whole && model_exact(whole, type, t, v)) || model_exact(asked, type, t, v) ||
	    model_exact(asked, -1, t, v) || model_learned(asked, false, ATTRIB_LEARNED, v) ||
	    model_beneath(asked, t, v) || model_learned(asked, true, ATTRIB_ANCESTOR, v) ||
	    model_served(asked, type, false, t, v))
		return;
	model_fellows(asked, v);
	model_late_repeat(socket, id, name, type, v);
	v->none = !(model_refreshed(asked, type, v) || model_past(asked, type, t, v) ||
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

static void model_hear(int thread, int owner)
{
	struct turn *t = &m.turn[thread];

	if (!t->messages++)
		t->truncated = 0;
	t->owner = owner;
}

static void learn(int name, int owner, bool server)
{
	if (same(names[name], "."))
		return;
	m.lessons++;
	for (int i = 0; i < m.learneds; i++) {
		if (m.learned[i].owner == owner && same(names[m.learned[i].name], names[name])) {
			m.learned[i].last = m.lessons;
			m.learned[i].server |= server;
			return;
		}
	}
	require(m.learneds < LEARNED_MAX, "the model is full");
	m.learned[m.learneds++] = (struct learned){name, owner, server, m.lessons, m.lessons};
}

/* What a client's question is known to lead to. */
static void follow(int name, int owner)
{
	for (int hop = 0; hop < ALIASES_HOPS && m.alias[name & ~1]; hop++) {
		name = m.alias[name & ~1] - 1;
		learn(name, owner, false);
	}
}

static void client_query(int who, int id, int proto, int name, uint16_t type, int thread)
{
	static struct wire w;
	struct dns_message query;
	struct attrib_owner o;
	int i = find_client(who, id, proto, name, type);

	if (i >= 0 && m.client[i].state == ANSWERED) {
		m.client[i].state = GONE;
		forget_questions();
		i = -1;
	}
	bool fresh = i < 0;

	if (fresh) {
		i = m.clients++;
		m.client[i] = (struct client){.state = WAITING,
					      .who = who,
					      .name = name,
					      .id = id,
					      .proto = proto,
					      .type = type,
					      .entered = m.events,
					      .first = m.elapsed};
		m.client[i].explained = joins_another(i);
	}
	m.client[i].since = now;
	m.client[i].last = m.elapsed;
	flow_of(who, &o);
	o.flow.proto = (uint8_t)proto;
	o.mark = (uint32_t)i;
	o.state = MARK_KNOWN;
	wire_message(&w, (unsigned)id, WIRE_RD, names[name], type);
	parse(&w, &query);
	attrib_client_query(core, now, &query, &o, &turns[thread]);
	require(o.ref.index != 0 && o.id == id, "a client query found no room");
	if (fresh)
		follow(name, i);
	model_hear(thread, i);
}

static void model_done(int i)
{
	struct client *c = &m.client[i];
	const struct question *q = question_of(c->name, c->type);
	bool fed = c->fed || q->final > c->entered;

	c->settled = fed || c->pending || q->outstanding;
	c->state = fed && !c->pending && !m.serveds ? GONE : ANSWERED;
	c->since = now;
	c->answered = m.events;
}

static void client_answer(int who, int id, int proto, int name, uint16_t type)
{
	static struct wire w;
	struct dns_message answer;
	struct attrib_owner o;
	int i = find_client(who, id, proto, name, type);

	if (i >= 0 && m.client[i].state == WAITING) {
		model_done(i);
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

static void learn_server(int server, int zone, int question)
{
	int i = 0;

	if (same(names[server], ".") || !lies_in(names[question], names[zone]))
		return;
	server &= ~1;
	zone &= ~1;
	while (i < m.serveds && (m.served[i].server != server || m.served[i].zone != zone))
		i++;
	if (i == m.serveds)
		m.serveds++;
	m.served[i] = (struct served){server, zone, ++m.lessons};
}

static bool allowed(const struct verdict *v, const struct attrib_decision *d)
{
	if (d->evidence == ATTRIB_NONE)
		return v->none;
	return d->owner.mark < (uint32_t)m.clients && v->may[d->evidence][d->owner.mark];
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
	if (!allowed(&v, &d)) {
		fprintf(stderr, "%s type %u, socket %d id %d, thread %d: %s of client query %d\n",
			names[name], type, socket, id, thread, attrib_evidence_name(d.evidence),
			d.evidence ? (int)d.owner.mark : -1);
		fprintf(stderr, "allowed:%s", v.none ? " none" : "");
		for (unsigned e = 0; e < ATTRIB_EVIDENCES; e++)
			for (int i = 0; i < m.clients; i++)
				if (v.may[e][i])
					fprintf(stderr, " %s of %d",
						attrib_evidence_name((enum attrib_evidence)e), i);
		fprintf(stderr, "\n");
		fail("a decision that the order of evidence does not allow");
	}
	if (d.evidence == ATTRIB_NONE)
		return;
	int owner = (int)d.owner.mark;
	struct client *c = &m.client[owner];

	require(owner < m.clients && d.owner.state == MARK_KNOWN, "nobody's mark");
	if (d.evidence == ATTRIB_EXACT) {
		if (m.turn[thread].messages == 1 && m.turn[thread].owner >= 0)
			++*(owner == m.turn[thread].owner ? &m.right : &m.wrong);
		if (!c->charged[1] && fits(c, parent_of_underscore(names[name]), type, false))
			c->charged[0] = c->charged[1] = true;
		if (fits(c, names[name], type, false)) /* with the underscore: only that question */
			c->charged[1] = true;
	}
	attrib_commit(core, now, &query, &d);
	c->explained = true;
	if (d.evidence == ATTRIB_EXACT && c->type == type)
		question_of(c->name, type)->outstanding = true;
	struct upstream *u = find_upstream(socket, id, name, type);

	c->pending += !u || u->owner != owner;
	if (!u)
		u = &m.upstream[m.upstreams++];
	*u = (struct upstream){true, socket, id, name, owner, type};
	if (d.evidence == ATTRIB_TURN)
		learn(name, owner, false);
}

/* An alias and a name server, or what is none. */
struct said {
	int alias, server, zone;
	bool serves, truncated, failed;
};

static void feed(struct client *owner, struct question *q, bool final)
{
	q->outstanding = false;
	if (final)
		q->final = m.events;
	owner->fed |= final;
	if (owner->pending)
		owner->pending--;
}

static void upstream_answer(int socket, int id, int name, uint16_t type, const struct said *said,
			    int thread)
{
	static struct wire w;
	struct dns_message answer;
	struct upstream *u = find_upstream(socket, id, name, type);

	wire_message(&w, (unsigned)id,
		     WIRE_QR | (said->truncated ? WIRE_TC : 0U) | (said->failed ? 2U : 0U),
		     names[name], type);
	wire_record(&w, false, names[name], said->alias & 1 ? DNS_TYPE_DNAME : DNS_TYPE_CNAME,
		    names[said->alias]);
	wire_record(&w, true, names[said->zone], said->serves ? DNS_TYPE_NS : 6,
		    names[said->server]);
	parse(&w, &answer);
	attrib_upstream_answer(core, now, &answer, w.bytes, w.len, socket_of(socket),
			       &turns[thread]);
	model_hear(thread, u ? u->owner : -1);
	if (said->truncated) {
		m.turn[thread].truncated++;
		m.turn[thread].truncated_owner = u ? u->owner : -1;
	}
	if (u) {
		bool leads_on = !(said->alias & 1) && !same(names[said->alias], ".");

		learn(said->alias, u->owner, false);
		m.alias[name & ~1] = leads_on ? said->alias + 1 : 0;
	}
	if (said->serves && (u || same(names[name], ".")))
		learn_server(said->server, said->zone, name);
	if (said->serves && u)
		learn(said->server, u->owner, true);
	if (u) {
		u->there = false;
		m.recent_when[m.recents] = now;
		m.recent[m.recents++] = *u;
	}
	if (u)
		feed(&m.client[u->owner], question_of(name, type),
		     !said->truncated && !said->failed);
}

static void connection(struct turn *t, struct attrib_turn *turn)
{
	struct attrib_owner owner;
	int waiting = 0, expected = -1;

	for (int i = 0; i < m.clients; i++)
		waiting += m.client[i].state == WAITING;
	if (t->messages && t->truncated == 1) {
		t->truncated = 0;
		if (t->truncated_owner >= 0 && m.client[t->truncated_owner].state == WAITING)
			expected = t->truncated_owner;
	} else if (t->messages == 1 && own(t) >= 0 && (trusted() || waiting == 1)) {
		expected = own(t);
	}
	bool yes = attrib_connection(core, now, turn, &owner);

	require(yes == (expected >= 0), "attrib_connection");
	require(!yes || owner.mark == (uint32_t)expected, "attrib_connection's owner");
}

static void check_connection(int thread)
{
	struct attrib_turn turn = turns[thread];
	struct turn t = m.turn[thread];

	connection(&t, &turn); /* as if: of copies */
}

/* The client that began to wait last, where it still does. */
static void check_newest(void)
{
	struct attrib_owner o;
	int last = m.clients - 1;
	bool expected = last >= 0 && m.client[last].state == WAITING;

	require(attrib_newest(core, now, &o) == expected, "attrib_newest");
	require(!expected || o.mark == (uint32_t)last, "attrib_newest: another");
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
	m.elapsed += ms;
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
	int name = (e[2] & 15) | (e[2] >> 2 & 16), thread = e[0] >> 4 & 3, socket = e[1] % SOCKETS;
	uint16_t type = types[e[2] >> 4 & 3];
	struct said said = {.alias = (e[3] & 15) | (e[0] >> 2 & 16),
			    .server = e[3] >> 4 | (e[0] >> 3 & 16),
			    .serves = e[3] & 16,
			    .truncated = e[0] & 8,
			    .failed = e[2] & 0x80};

	said.zone = (int[]){name, 4 /* example.com */, 0 /* the root */, said.alias}[e[1] >> 5 & 3];
	thread = thread < THREADS ? thread : 0;
	switch (e[0] & 7) {
	case 0:
	case 1:
		client_query(who, id, proto, name, type, thread);
		break;
	case 2:
	case 3:
		upstream_query(socket, id, name, type, thread);
		break;
	case 4:
		upstream_answer(socket, id, name, type, &said, thread);
		break;
	case 5:
		client_answer(who, id, proto, name, type);
		break;
	case 6:
		turns[thread].messages = 0; /* as thread_turn_ends does */
		m.turn[thread].messages = 0;
		break;
	default:
		if (e[1] == 255)
			forget();
		else if (e[1] == 254)
			attrib_after_fork(core); /* nobody held a lock: nothing changes */
		else if (e[1] == 252)
			connection(&m.turn[thread], &turns[thread]);
		else if (e[1] == 253 && phase < 1000)
			pass(ATTRIB_ANSWERED_MS + 1);
		else
			pass(e[1] % 16); /* in all, less than anything lives */
	}
	forget_questions();
	for (int i = 0; i < THREADS; i++)
		check_connection(i);
	check_newest();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t bytes = attrib_size(CAPACITY);
	struct sip_key key = {size ? data[0] : 0, 42};

	if (!size || size > 1 + 4 * EVENTS_MAX)
		return 0;
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	core = attrib_init(memory, CAPACITY, &key);
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
