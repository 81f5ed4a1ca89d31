// SPDX-License-Identifier: GPL-2.0-or-later
#include "attrib.h"

#include "attrib_table.h"
#include "carve.h"
#include "expect.h"

#include <string.h>

size_t attrib_size(unsigned capacity)
{
	uint64_t bytes =
		carve_size(sizeof(struct attrib)) + SHARDS * (uint64_t)shard_bytes(capacity);

	return bytes <= SIZE_MAX / 2 ? (size_t)bytes : 0;
}

struct attrib *attrib_init(void *zeroed, unsigned capacity, const struct sip_key *key)
{
	struct attrib *a = zeroed;
	char *at = (char *)zeroed + carve_size(sizeof(*a));

	a->key = *key;
	servers_init(&a->servers);
	aliases_init(&a->aliases);
	for (int i = 0; i < SHARDS; i++)
		shard_init(&a->shard[i], &at, capacity, key, &a->tally);
	return a;
}

const struct sip_key *attrib_key(const struct attrib *a)
{
	return &a->key;
}

bool attrib_may_await(const struct attrib *a, uint16_t id, const struct attrib_owner *who)
{
	if (!(uint32_t)atomic_load_explicit(&a->tally.waiting, memory_order_acquire))
		return false; /* nobody at all, most of the time: in a place that is at hand */
	return atomic_load_explicit(&a->tally.awaited[attrib_asker(id, who) % SHARD_AWAITED],
				    memory_order_acquire) != 0;
}

static uint16_t asked_place(uint32_t key)
{
	return (uint16_t)((key ^ key >> 16) % SHARD_AWAITED);
}

bool attrib_may_be_asked(const struct attrib *a, uint32_t key)
{
	return atomic_load_explicit(&a->tally.asked[asked_place(key)], memory_order_acquire) != 0;
}

/* An upstream query leaves for it. */
static void explain(struct attrib *a, struct entry *e)
{
	if (e->unexplained)
		atomic_fetch_sub_explicit(&a->tally.waiting, SHARD_UNEXPLAINED,
					  memory_order_relaxed);
	e->unexplained = false;
}

void attrib_after_fork(struct attrib *a)
{
	/* what is being changed in these is one word or one record: good or old */
	servers_init(&a->servers);
	aliases_init(&a->aliases);
	bool changing = false;

	for (int i = 0; i < SHARDS; i++)
		changing |= shard_after_fork(&a->shard[i]);
	if (!changing)
		return;
	a->tally.waiting = 0;
	memset((void *)a->tally.awaited, 0, sizeof(a->tally.awaited));
	memset((void *)a->tally.asked, 0, sizeof(a->tally.asked));
	for (int i = 0; i < SHARDS; i++)
		shard_count_waiting(&a->shard[i]);
}

/* Beside the address families: what else tells askers apart. The first word says it, and with it how many words follow. */
enum { BY_SESSION = 0xfe, UPSTREAM = 0xff };

static uint64_t key_head(const struct dns_message *m, unsigned by, unsigned proto, unsigned port)
{
	return (uint64_t)m->id << 48 | (uint64_t)m->qtype << 32 | (uint64_t)port << 16 |
	       proto << 8 | by;
}

static uint64_t socket_word(int fd, uint32_t gen)
{
	return (uint64_t)(uint32_t)fd << 32 | gen;
}

static uint64_t hash_words(const struct attrib *a, const struct dns_message *m,
			   const uint64_t *words, size_t count)
{
	uint64_t hash = siphash13_words(&a->key, dns_name_hash(&m->name), words, count);

	return hash ? hash : 1;
}

static uint64_t client_key(const struct attrib *a, const struct dns_message *m,
			   const struct attrib_owner *who)
{
	const struct endpoint *client = &who->flow.client;
	unsigned proto = who->flow.proto;
	uint64_t words[3];

	if (who->session) { /* whose answer names no socket */
		words[0] = key_head(m, BY_SESSION, proto, 0);
		words[1] = who->session;
		return hash_words(a, m, words, 2);
	}
	words[0] = key_head(m, client->family, proto, client->port);
	memcpy(words + 1, client->addr, sizeof(client->addr));
	if (client->family == AF_INET6)
		return hash_words(a, m, words, 3);
	if (!client->family) /* no address to tell clients apart by: then the socket does */
		words[1] = socket_word(who->fd, who->fd_gen);
	return hash_words(a, m, words, 2);
}

uint64_t attrib_upstream_key(const struct attrib *a, const struct dns_message *m,
			     struct attrib_socket socket)
{
	uint64_t words[2] = {key_head(m, UPSTREAM, 0, 0), socket_word(socket.fd, socket.gen)};

	return hash_words(a, m, words, 2);
}

/* ---- client queries in their shards ---- */

/* Hangs an entry beneath the ancestors of its name. */
static void link_ancestors(struct shard *s, uint32_t i, const struct dns_name *name, enum list list)
{
	unsigned first = name->labels > SHARD_ANCESTORS_MAX ? name->labels - SHARD_ANCESTORS_MAX
							    : 1;

	for (unsigned at = first; at < name->labels; at++)
		shard_link(s, i, node_hash(name->suffix[at], NODE_BENEATH), list);
}

/* Who asks what has been asked upstream for another already waits for that answer. */
static void begin_waiting(struct shard *s, struct entry *e)
{
	uint32_t node = shard_node(s, e->owner.question);

	e->unexplained = !(node && s->nodes[node].list[LIST_CHARGED].oldest);
	shard_waits(s, e, true);
}

/* Its lists will be wanted when it is known whether it has come before. */
EXPECTING void expect_query(const struct shard *s, const struct dns_message *query,
			    const struct attrib_owner *who)
{
	buckets_expect(&s->names, who->question);
	buckets_expect(&s->names, node_hash(dns_name_hash(&query->name), NODE_NAME));
}

/* A client's query: one that waits, or has been answered already. */
static uint32_t enter_query(struct attrib *a, struct shard *s, uint32_t now,
			    const struct dns_message *query, uint64_t key, enum class class,
			    struct attrib_owner *who)
{
	enum list list = class == CLASS_WAITING ? LIST_FRESH : LIST_ANSWERED;
	uint64_t hash = dns_name_hash(&query->name);
	uint32_t i = shard_make(s, now, class);

	if (!i)
		return 0;
	who->ref = ref_to(a, s, i);
	s->entries[i].owner = *who;
	s->entries[i].born = s->finals;
	s->entries[i].asks = asked_place(dns_question_key(query->wire, dns_question_length(query)));
	s->entries[i].wording = dns_question_hash(&a->key, query->wire, dns_question_length(query));
	shard_set_key(s, i, key);
	if (class == CLASS_WAITING)
		begin_waiting(s, &s->entries[i]);
	shard_link(s, i, who->question, list);
	shard_link(s, i, node_hash(hash, NODE_NAME), list);
	link_ancestors(s, i, &query->name, list);
	if (class == CLASS_WAITING)
		shard_count_in(s, i);
	return i;
}

/* Does this very client already wait for this very answer? Then it has only asked again. */
static bool refresh_query(struct attrib *a, struct shard *s, uint32_t now, uint64_t key,
			  struct attrib_owner *who)
{
	uint32_t i = shard_find(s, key);

	if (!i)
		return false;
	if (s->entries[i].class != CLASS_WAITING) {
		shard_drop(s, i);
		return false;
	}
	/* one that comes from an intake may be older */
	if ((int32_t)(now - s->entries[i].stamp) >
	    0) { /* one that comes from an intake may be older */
		shard_renew(s, i, now);
		s->entries[i].owner.asked = now;
	}
	who->ref = ref_to(a, s, i);
	if (who->state == MARK_UNKNOWN) {
		who->mark = s->entries[i].owner.mark;
		who->state = s->entries[i].owner.state;
		who->how = s->entries[i].owner.how;
	}
	return true;
}

void attrib_turn_add(struct attrib_turn *turn, const struct attrib_owner *owner)
{
	if (!turn)
		return;
	if (!turn->messages++)
		turn->truncated = 0;
	turn->owned = owner && owner->ref.index;
	if (turn->owned)
		turn->owner = *owner;
}

/* ---- names that lead to others ---- */

/* The newest entry of a name, where it is the same owner's; 0: it is another's, or there is none. */
static uint32_t learned_last(const struct shard *s, uint32_t node, const struct attrib_owner *owner)
{
	uint32_t link = s->nodes[node].list[LIST_LEARNED].newest, i = s->links[link].entry;

	return link && attrib_same_ref(s->entries[i].owner.ref, owner->ref) ? i : 0;
}

/* A name that an answer to the owner's query named, or that what it asked for is known to lead to. */
void attrib_learn(struct attrib *a, uint32_t now, const struct attrib_owner *owner,
		  const struct dns_name *name, bool server)
{
	uint64_t hash = node_hash(dns_name_hash(name), NODE_NAME);
	struct shard *s = enter(a, shard_of(name, 0), now);
	uint32_t known = learned_last(s, shard_node(s, hash), owner);
	uint32_t i = known || !name->labels ? 0 : shard_make(s, now, CLASS_LEARNED);

	if (known)
		s->entries[known].server |= server;
	if (i) {
		s->entries[i].owner = *owner;
		s->entries[i].server = server;
		shard_link(s, i, hash, LIST_LEARNED);
		link_ancestors(s, i, name, LIST_LEARNED);
		shard_count_in(s, i);
	}
	shard_unlock(s);
}

/* The resolver may have an alias in its cache, and not what it leads to any more. */
static void follow_aliases(struct attrib *a, uint32_t now, const struct dns_name *name,
			   const struct attrib_owner *who)
{
	uint64_t hash = dns_name_hash(name);
	struct alias alias;

	for (int hop = 0; hop < ALIASES_HOPS && aliases_find(&a->aliases, hash, &alias); hop++) {
		for (unsigned i = 0; i < alias.targets; i++) {
			struct dns_name target;

			aliases_target(&alias, i, &target);
			attrib_learn(a, now, who, &target, false);
			hash = dns_name_hash(&target);
		}
	}
}

/* ---- who asks, and who is answered ---- */

static void owner_asks(struct attrib_owner *who, uint32_t now, const struct dns_message *query)
{
	who->id = query->id;
	who->asked = now;
	who->question = question_hash(dns_name_hash(&query->name), query->qtype);
	who->ref = (struct attrib_ref){0};
}

/* Out of an intake comes perhaps one that asked before it. */
static void note_newest(struct attrib *a, uint32_t now, struct attrib_ref ref)
{
	uint32_t before = atomic_load_explicit(&a->newest_asked, memory_order_relaxed);

	if ((int32_t)(now - before) < 0 && atomic_load_explicit(&a->newest, memory_order_relaxed))
		return;
	atomic_store_explicit(&a->newest_asked, now, memory_order_relaxed);
	atomic_store_explicit(&a->newest, pack(ref), memory_order_relaxed);
}

void attrib_client_query(struct attrib *a, uint32_t now, const struct dns_message *query,
			 struct attrib_owner *who, struct attrib_turn *turn)
{
	uint64_t key = client_key(a, query, who);
	struct shard *s = enter(a, shard_of(&query->name, 0), now);

	owner_asks(who, now, query);
	expect_query(s, query, who);
	bool again = refresh_query(a, s, now, key, who);
	if (!again && enter_query(a, s, now, query, key, CLASS_WAITING, who))
		note_newest(a, now, who->ref);
	shard_unlock(s);
	if (!again && who->ref.index)
		follow_aliases(a, now, &query->name, who);
	attrib_turn_add(turn, who);
}

void attrib_client_past(struct attrib *a, uint32_t now, const struct dns_message *query,
			struct attrib_owner *who)
{
	uint64_t key = client_key(a, query, who);
	struct shard *s = enter(a, shard_of(&query->name, 0), now);
	uint32_t i = shard_find(s, key);
	bool waits_again = i && s->entries[i].class == CLASS_WAITING;

	owner_asks(who, now, query);
	if (i && !waits_again)
		shard_drop(s, i);
	if (!waits_again && shard_fits_past(s))
		enter_query(a, s, now, query, key, CLASS_ANSWERED, who);
	shard_unlock(s);
	if (who->ref.index)
		follow_aliases(a, now, &query->name, who);
}

/*
 * What its answer makes of it (enum TAG_). Whose answer came from upstream, or may have, is settled; and done with, where
 * no more is to come: no answer is outstanding, and the resolver does not go from server to server itself, looking for the
 * addresses of some at leisure.
 */
static uint32_t state_after(const struct attrib *a, const struct shard *s, const struct entry *e)
{
	const struct node *question = &s->nodes[shard_node(s, e->owner.question)];

	if (e->fed || has_final(a, question, e))
		return e->pending || servers_any(&a->servers) ? TAG_SETTLED : TAG_FREE;
	return e->pending || question->outstanding ? TAG_SETTLED : TAG_ANSWERED;
}

static bool settle(const struct attrib *a, struct shard *s, uint32_t now, uint32_t i)
{
	if (!i || s->entries[i].class != CLASS_WAITING)
		return false;
	shard_answered(s, i, now, state_after(a, s, &s->entries[i]));
	return true;
}

bool attrib_answered(struct attrib *a, uint32_t now, struct attrib_ref query)
{
	struct shard *s = enter(a, query.shard, now);
	bool waited = settle(a, s, now, ref_in(a, s, query));

	shard_unlock(s);
	return waited;
}

void attrib_client_answer(struct attrib *a, uint32_t now, const struct dns_message *answer,
			  const struct attrib_owner *who)
{
	uint64_t key = client_key(a, answer, who);
	struct shard *s = enter(a, shard_of(&answer->name, 0), now);

	settle(a, s, now, shard_find(s, key));
	shard_unlock(s);
}

/* ---- what an answer teaches ---- */

struct learning {
	struct attrib *a;
	uint32_t now;
	const struct dns_name *question;
	bool owned, referral;
	struct attrib_owner owner;
	struct alias alias; /* what the question's name turns out to be */
	uint64_t chain_end;
};

/* Where who waits beneath a zone is found. */
static struct served_zone zone_of(const struct dns_name *zone)
{
	return (struct served_zone){
		.zone = dns_name_hash(zone),
		.shard = (uint8_t)(zone->labels > 1 ? shard_of(zone, 0) : SHARDS),
	};
}

/* A referral is for a zone that the question lies in; a server may say more than it is to be believed. */
static bool lies_in(const struct dns_name *question, const struct dns_name *zone)
{
	return zone->labels <= question->labels &&
	       (!zone->labels ||
		question->suffix[question->labels - zone->labels] == zone->suffix[0]);
}

static void learn(void *ctx, uint16_t type, const struct dns_name *from,
		  const struct dns_name *name)
{
	struct learning *l = ctx;

	if (type == DNS_TYPE_NS && lies_in(l->question, from)) {
		servers_learn(&l->a->servers, name, zone_of(from));
		if (l->owned && l->referral)
			atomic_store_explicit(&l->a->recurses, true, memory_order_relaxed);
	}
	if (!l->owned)
		return;
	attrib_learn(l->a, l->now, &l->owner, name, type == DNS_TYPE_NS);
	if (type == DNS_TYPE_CNAME && dns_name_hash(from) == l->chain_end) {
		aliases_add(&l->alias, name);
		l->chain_end = dns_name_hash(name);
	}
}

/* Is the question's name an alias? Of its own the answer is to be believed; of other names it may say what it likes. */
static void learn_alias(struct attrib *a, const struct dns_name *question,
			const struct alias *alias, const uint8_t *msg)
{
	bool has_answers = msg[6] || msg[7];

	if (alias->targets || has_answers)
		aliases_keep(&a->aliases, dns_name_hash(question), alias);
}

/* For all who wait for this question. */
static void question_answered(struct shard *s, const struct dns_message *answer, bool final)
{
	uint32_t node = shard_node(s, question_hash(dns_name_hash(&answer->name), answer->qtype));

	if (!node)
		return;
	s->nodes[node].outstanding = false;
	if (final) {
		s->finals = (s->finals | 1) + 2;
		s->nodes[node].final = s->finals;
	}
}

/* A resolver may send it once more (smartdns does, and some do when answers cross). */
static void remember(struct shard *s, uint32_t now, uint64_t key, const struct attrib_owner *owner)
{
	s->recent[s->recents++ % SHARD_RECENT] = (struct recent){key, now, *owner};
}

/* For the one that was charged. Gives the shard that is locked now. */
static struct shard *owner_fed(struct attrib *a, struct shard *s, struct attrib_ref ref, bool final)
{
	struct shard *home = &a->shard[ref.shard];

	if (home != s) {
		shard_unlock(s);
		shard_lock(home);
	}
	struct entry *e = &home->entries[ref_in(a, home, ref)]; /* nobody's, where it is gone */

	if (e->pending)
		e->pending--;
	e->fed |= final;
	return home;
}

/*
 * The upstream query has its answer. False: it is not known.
 *
 * final: it leaves nothing to ask for its client; last_word: nor for others who wait
 */
static bool end_upstream(struct attrib *a, uint32_t now, const struct dns_message *answer,
			 struct attrib_socket socket, bool final, bool last_word,
			 struct attrib_owner *owner)
{
	struct shard *s = enter(a, shard_of(&answer->name, 0), now);
	uint32_t i = shard_find(s, attrib_upstream_key(a, answer, socket));

	if (i) {
		*owner = s->entries[i].owner;
		remember(s, now, s->entries[i].key.hash, owner);
		shard_drop(s, i);
		question_answered(s, answer, last_word);
		s = owner_fed(a, s, owner->ref, final);
	}
	shard_unlock(s);
	return i;
}

void attrib_upstream_answer(struct attrib *a, uint32_t now, const struct dns_message *answer,
			    const uint8_t *msg, size_t len, struct attrib_socket socket,
			    struct attrib_turn *turn)
{
	struct learning l = {.a = a,
			     .now = now,
			     .question = &answer->name,
			     .referral = dns_is_referral(msg),
			     .owner = {.fd = -1},
			     .chain_end = dns_name_hash(&answer->name)};
	bool final = dns_is_final(msg);

	aliases_begin(&l.alias, answer->wire, dns_question_length(answer));
	l.owned = end_upstream(a, now, answer, socket, final, final, &l.owner);
	attrib_turn_add(turn, l.owned ? &l.owner : NULL);
	if (turn && answer->truncated) { /* one that nobody owns is a rival all the same */
		turn->truncated++;
		turn->truncated_owner = l.owner;
	}
	/* of what nobody asked for, only priming says something that we want to know */
	if (l.owned || !answer->name.labels)
		dns_learned_names(&a->key, msg, len, answer, learn, &l);
	if (l.owned)
		learn_alias(a, l.question, &l.alias, msg);
}

/* With the client query is kept that something left for it, and the mark that was found out. */
static void keep_with_owner(struct attrib *a, struct shard *s, const struct attrib_owner *owner,
			    bool again)
{
	uint32_t i = ref_in(a, s, owner->ref);

	if (!i)
		return;
	struct entry *e = &s->entries[i];

	explain(a, e);
	if (!again && e->pending < UINT8_MAX)
		e->pending++;
	if (owner->state == MARK_UNKNOWN)
		return;
	e->owner.mark = owner->mark;
	e->owner.state = owner->state;
	e->owner.how = owner->how;
}

/* Keeps the upstream query. True: the same, for the same client, was there already. */
static bool keep_upstream(struct shard *s, uint32_t now, uint64_t key,
			  const struct attrib_owner *owner)
{
	uint32_t i = shard_find(s, key);
	bool again = i && attrib_same_ref(s->entries[i].owner.ref, owner->ref);

	if (!i) {
		i = shard_make(s, now, CLASS_UPSTREAM);
		if (!i)
			return false;
		shard_set_key(s, i, key);
	}
	holders_remove(&s->holders, i); /* another's so far, perhaps */
	s->entries[i].owner = *owner;
	shard_count_in(s, i);
	return again;
}

void attrib_commit(struct attrib *a, uint32_t now, const struct dns_message *query,
		   const struct attrib_decision *decision)
{
	const struct attrib_owner *owner = &decision->owner;

	if (decision->evidence == ATTRIB_NONE)
		return;
	struct shard *s = enter(a, shard_of(&query->name, 0), now),
		     *home = &a->shard[owner->ref.shard];
	bool again = keep_upstream(s, now, decision->key, owner);

	if (home != s) {
		shard_unlock(s);
		shard_lock(home);
	}
	keep_with_owner(a, home, owner, again);
	shard_unlock(home);
	if (decision->evidence == ATTRIB_TURN)
		attrib_learn(a, now, &decision->owner, &query->name, false);
}

/* ---- what was settled outside the table ---- */

bool attrib_forwards(const struct attrib *a)
{
	return !atomic_load_explicit(&a->recurses, memory_order_relaxed);
}

void attrib_asked(struct attrib *a, uint32_t now, const struct dns_message *query,
		  struct attrib_socket socket, const struct attrib_owner *owner)
{
	struct attrib_decision decision = {.evidence = ATTRIB_EXACT,
					   .key = attrib_upstream_key(a, query, socket),
					   .owner = *owner};
	struct shard *s = enter(a, shard_of(&query->name, 0), now);
	uint32_t i = ref_in(a, s, owner->ref);
	uint32_t question = i ? shard_node(s, owner->question) : 0;

	if (i)
		attrib_charge(s, i, dns_name_hash(&query->name));
	if (question)
		s->nodes[question].outstanding = true;
	shard_unlock(s);
	attrib_commit(a, now, query, &decision);
}

void attrib_fed(struct attrib *a, uint32_t now, const struct dns_message *query,
		struct attrib_socket socket)
{
	struct attrib_owner owner;

	/* when it came attrib_final told: others may have asked since, and be here before it */
	end_upstream(a, now, query, socket, true, false, &owner);
}

bool attrib_awaits(struct attrib *a, uint32_t now, const struct dns_message *answer,
		   struct attrib_socket socket)
{
	struct shard *s = enter(a, shard_of(&answer->name, 0), now);
	bool known = shard_find(s, attrib_upstream_key(a, answer, socket));

	shard_unlock(s);
	return known;
}

void attrib_done(struct attrib *a, uint32_t now, const struct dns_message *query,
		 struct attrib_socket socket, const struct attrib_owner *owner)
{
	struct attrib_owner who = *owner;
	struct dns_message client = *query;

	client.id = owner->id;
	if (servers_any(&a->servers)) /* such a one is kept, see state_after */
		attrib_client_past(a, owner->asked, &client, &who);
	struct shard *s = enter(a, shard_of(&query->name, 0), now);

	remember(s, now, attrib_upstream_key(a, query, socket), owner);
	shard_unlock(s);
}

/* Most names were none ever, which shows without reading them. */
static void learn_no_alias(struct attrib *a, const uint8_t *msg, size_t end)
{
	static const struct alias none;
	struct dns_message answer;

	if (aliases_may_have(&a->aliases, msg + DNS_HEADER_LEN, end - DNS_HEADER_LEN) &&
	    dns_parse(&a->key, msg, end, &answer))
		learn_alias(a, &answer.name, &none, msg);
}

void attrib_final(struct attrib *a, uint32_t now, const uint8_t *msg, size_t end)
{
	uint64_t question = dns_question_hash(&a->key, msg + DNS_HEADER_LEN, end - DNS_HEADER_LEN);

	learn_no_alias(a, msg, end);
	atomic_store_explicit(finals_place(a, question), (uint64_t)(uint32_t)question << 32 | now,
			      memory_order_relaxed);
}

/* ---- figures ---- */

uint64_t attrib_lost(const struct attrib *a)
{
	return atomic_load_explicit(&a->tally.lost, memory_order_relaxed);
}

void attrib_usage(struct attrib *a, struct attrib_usage *usage)
{
	memset(usage, 0, sizeof(*usage));
	usage->evicted = atomic_load(&a->tally.evicted);
	for (int i = 0; i < SHARDS; i++) {
		struct shard *s = &a->shard[i];

		shard_lock(s);
		usage->waiting += s->count[CLASS_WAITING];
		usage->answered += s->count[CLASS_ANSWERED];
		usage->learned += s->count[CLASS_LEARNED];
		usage->upstream += s->count[CLASS_UPSTREAM];
		shard_unlock(s);
	}
}

const char *attrib_evidence_name(enum attrib_evidence evidence)
{
	static const char *const names[ATTRIB_EVIDENCES] = {
		[ATTRIB_NONE] = "none",		[ATTRIB_REPEAT] = "repeat",
		[ATTRIB_EXACT] = "exact",	[ATTRIB_LEARNED] = "learned",
		[ATTRIB_ANCESTOR] = "ancestor", [ATTRIB_ANSWERED] = "answered",
		[ATTRIB_TURN] = "turn",
	};

	return evidence < ATTRIB_EVIDENCES ? names[evidence] : "?";
}
