// SPDX-License-Identifier: GPL-2.0-or-later
/* Decisions of attribution: the order of evidence that attrib.h tells. */
#include "attrib_table.h"

enum {
	BEFORE_SCAN = 8, /* of learned names whose owners were answered, as many are looked at */
	FELLOW_SCAN = 4, /* likewise, where others may have asked the same */
	TURN_TRUST = 16, /* decisions that a turn must have foretold before it is evidence */
};

static uint32_t count_waiting(const struct attrib *a)
{
	return (uint32_t)atomic_load_explicit(&a->tally.waiting, memory_order_relaxed);
}

static bool somebody_unexplained(const struct attrib *a)
{
	return atomic_load_explicit(&a->tally.waiting, memory_order_relaxed) >= SHARD_UNEXPLAINED;
}

struct choice {
	struct attrib *a;
	uint32_t now;
	struct shard *s;
	const struct dns_message *query;
	const struct attrib_turn *turn;
	unsigned from; /* labels left away in front */
	bool wary;     /* somebody waits for whom nothing has left yet */
	bool past;     /* who has had its answer counts by what it asked */
	struct attrib_decision *decision;
	/* of what was chosen beneath a name: enum rank, and its place among all entries */
	unsigned rank;
	uint32_t order;
};

static uint64_t asked_name(const struct choice *c)
{
	const struct dns_name *name = &c->query->name;

	return c->from < name->labels ? name->suffix[c->from] : dns_name_hash(name);
}

static bool choose_entry(struct choice *c, uint32_t i, enum attrib_evidence evidence)
{
	c->decision->evidence = evidence;
	c->decision->owner = c->s->entries[i].owner;
	c->order = c->s->entries[i].order;
	return true;
}

static bool choose_link(struct choice *c, uint32_t link, enum attrib_evidence evidence)
{
	return link && choose_entry(c, c->s->links[link].entry, evidence);
}

/* What this thread received last: its owner's link to a node of this shard, where it waits and has one. */
static uint32_t own_link(const struct choice *c, uint32_t node)
{
	if (!c->turn || !c->turn->owned || !c->turn->messages)
		return 0;
	uint32_t entry = ref_in(c->a, c->s, c->turn->owner.ref);

	if (!entry || c->s->entries[entry].class != CLASS_WAITING)
		return 0;
	for (uint32_t i = c->s->entries[entry].links; i; i = c->s->links[i].next)
		if (c->s->links[i].node == node)
			return i;
	return 0;
}

void attrib_charge(struct shard *s, uint32_t i, uint64_t name)
{
	uint64_t named = node_hash(name, NODE_NAME);

	for (uint32_t k = s->entries[i].links; k; k = s->links[k].next) {
		uint64_t hash = s->nodes[s->links[k].node].name.hash;

		if (s->links[k].list == LIST_FRESH &&
		    (hash == s->entries[i].owner.question || hash == named)) {
			shard_list_remove(s, k);
			shard_list_insert(s, k, LIST_CHARGED);
		}
	}
}

static bool choose_question(struct choice *c, uint64_t name)
{
	struct shard *s = c->s;
	uint32_t node = shard_node(s, question_hash(name, c->query->qtype));

	if (!node)
		return false;
	uint32_t own = own_link(c, node);
	uint32_t link = own && s->links[own].list == LIST_FRESH
				? own
				: s->nodes[node].list[LIST_FRESH].oldest;

	if (link)
		attrib_charge(s, s->links[link].entry, asked_name(c));
	else
		link = s->nodes[node].list[LIST_CHARGED].oldest;
	if (link)
		s->nodes[node].outstanding = true;
	return choose_link(c, link, ATTRIB_EXACT);
}

static bool choose_name(struct choice *c, uint32_t node)
{
	struct ends *list = c->s->nodes[node].list;
	uint32_t own = own_link(c, node);
	uint32_t own_list = own ? c->s->links[own].list : LISTS;

	return (own_list == LIST_FRESH && choose_link(c, own, ATTRIB_EXACT)) ||
	       choose_link(c, list[LIST_FRESH].oldest, ATTRIB_EXACT) ||
	       (own_list == LIST_CHARGED && choose_link(c, own, ATTRIB_EXACT)) ||
	       choose_link(c, list[LIST_CHARGED].oldest, ATTRIB_EXACT);
}

/*
 * The newest learned name whose owner waits. On the way, those whose owner was answered move to a list of their own,
 * and those whose owner is gone go: each once.
 */
static bool choose_learned(struct choice *c, uint32_t node, enum attrib_evidence evidence)
{
	struct shard *s = c->s;
	uint32_t i = s->nodes[node].list[LIST_LEARNED].newest;

	while (i) {
		uint32_t older = s->links[i].older, entry = s->links[i].entry;
		uint32_t state = owner_state(c->a, &s->entries[entry].owner, c->now);

		if (state == TAG_WAITING)
			return choose_link(c, i, evidence);
		if (state != TAG_FREE || s->nodes[node].links == 1) {
			shard_list_remove(s, i);
			shard_list_append(s, i, LIST_LEARNED_BEFORE);
		} else {
			shard_drop(s, entry);
		}
		i = older;
	}
	return false;
}

static bool is_recent(const struct choice *c, uint32_t then)
{
	return (int32_t)(c->now - then) < ATTRIB_REFRESH_MS;
}

/* What is asked to find a name server's address, and on the way there. */
static bool leads_to_address(uint16_t qtype)
{
	return qtype == DNS_TYPE_A || qtype == DNS_TYPE_AAAA || qtype == DNS_TYPE_NS ||
	       qtype == DNS_TYPE_DS || qtype == DNS_TYPE_DNSKEY;
}

/*
 * Does who learned this name, or one beneath the one asked for, stand for it, having had its answer? With who waits
 * unexplained, only for what comes then as a rule: the refresh of what the cache gave just now, and name servers'
 * addresses, looked up at leisure, with what is asked on the way to them.
 */
static bool stands_for(const struct choice *c, const struct entry *learned, bool beneath)
{
	uint32_t state = owner_state(c->a, &learned->owner, c->now);

	if (state != TAG_ANSWERED && state != TAG_SETTLED)
		return false;
	return !c->wary || (learned->server && leads_to_address(c->query->qtype)) ||
	       (!beneath && state == TAG_ANSWERED && is_recent(c, learned->owner.asked));
}

/* They lie there as they were found, so in no order of age: any that was answered a moment ago will do. */
static bool choose_learned_before(struct choice *c, uint32_t node, bool beneath)
{
	struct shard *s = c->s;
	uint32_t i = s->nodes[node].list[LIST_LEARNED_BEFORE].newest;

	for (int n = 0; i && n < BEFORE_SCAN; n++, i = s->links[i].older)
		if (stands_for(c, &s->entries[s->links[i].entry], beneath))
			return choose_link(c, i, ATTRIB_ANSWERED);
	return false;
}

static bool choose_answered(struct choice *c, uint32_t node)
{
	return choose_link(c, c->s->nodes[node].list[LIST_ANSWERED].newest, ATTRIB_ANSWERED);
}

/* ---- beneath a name ---- */

/* Chooses among those who hang beneath a name, in the shard that is locked. */
typedef bool choose_fn(struct choice *c, uint64_t name);

/* How well it stands for the name: to be led beneath it is less than to have asked. */
enum rank { RANK_LED, RANK_ASKED, RANK_OWN };

static bool ranked(struct choice *c, enum rank rank, bool chosen)
{
	if (chosen)
		c->rank = rank;
	return chosen;
}

static uint32_t node_beneath(const struct choice *c, uint64_t name)
{
	return shard_node(c->s, node_hash(name, NODE_BENEATH));
}

/* Who waits. */
static bool choose_beneath(struct choice *c, uint64_t name)
{
	uint32_t node = node_beneath(c, name), own = node ? own_link(c, node) : 0;

	if (!node)
		return false;
	if (c->s->links[own].list > LIST_CHARGED)
		own = 0;
	return ranked(c, RANK_OWN, choose_link(c, own, ATTRIB_ANCESTOR)) ||
	       ranked(c, RANK_ASKED,
		      choose_link(c, c->s->nodes[node].list[LIST_FRESH].newest, ATTRIB_ANCESTOR)) ||
	       ranked(c, RANK_LED, choose_learned(c, node, ATTRIB_ANCESTOR));
}

/* Who has had its answer. */
static bool choose_past_beneath(struct choice *c, uint64_t name)
{
	uint32_t node = node_beneath(c, name);

	return ranked(c, RANK_ASKED, c->past && choose_answered(c, node)) ||
	       ranked(c, RANK_LED, choose_learned_before(c, node, true));
}

/* Beneath a top-level domain: the best of what each shard would choose, and of several the newest. No lock is held. */
static bool choose_in_all(struct choice *c, uint64_t name, choose_fn *choose)
{
	struct attrib_decision best;
	unsigned rank = 0;
	uint32_t order = 0;
	bool found = false;

	for (unsigned n = 0; n < SHARDS; n++) {
		c->s = enter(c->a, n, c->now);
		if (choose(c, name) && (!found || c->rank > rank ||
					(c->rank == rank && (int32_t)(c->order - order) > 0))) {
			found = true;
			rank = c->rank;
			order = c->order;
			best = *c->decision;
		}
		shard_unlock(c->s);
	}
	if (!found)
		return false;
	*c->decision = best;
	c->rank = rank;
	return true;
}

/* Is it a top-level domain that is asked for? Then what lies beneath it is spread over all shards. */
static bool is_spread(const struct choice *c)
{
	return c->query->name.labels - c->from == 1;
}

/* Does it lie in the shard of the name itself? (Everything lies beneath the root: that says nothing.) */
static bool has_seat(const struct choice *c)
{
	return c->query->name.labels && !is_spread(c);
}

/* ---- by the names themselves ---- */

/* Who waits. The shard where the name lies is locked. */
static bool choose_waiting(struct choice *c)
{
	uint64_t hash = asked_name(c);
	uint32_t named = shard_node(c->s, node_hash(hash, NODE_NAME));

	return choose_question(c, hash) || (named && choose_name(c, named)) ||
	       (named && choose_learned(c, named, ATTRIB_LEARNED)) ||
	       (has_seat(c) && choose_beneath(c, hash));
}

/* The same question, of who was answered just now, when upstream has not had the last word on it since. */
static bool choose_refreshed(struct choice *c)
{
	uint32_t node = shard_node(c->s, question_hash(asked_name(c), c->query->qtype));
	uint32_t link = c->s->nodes[node].list[LIST_ANSWERED].newest;
	const struct entry *e = &c->s->entries[c->s->links[link].entry];

	return link && !has_final(c->a, &c->s->nodes[node], e) && is_recent(c, e->stamp) &&
	       choose_link(c, link, ATTRIB_ANSWERED);
}

/*
 * Who waited until a moment ago. Little of it where somebody waits for whom nothing has left yet: it is more likely
 * theirs, in a way that the names do not show, such as an alias that is not known as one.
 */
static bool choose_past(struct choice *c)
{
	uint64_t hash = asked_name(c);
	uint32_t named = shard_node(c->s, node_hash(hash, NODE_NAME));

	return choose_refreshed(c) || (c->past && choose_answered(c, named)) ||
	       choose_learned_before(c, named, false) ||
	       (has_seat(c) && choose_past_beneath(c, hash));
}

/* ---- name servers ---- */

/* Who waits, or waited, for the zone's own name. */
static bool choose_apex(struct choice *c, uint64_t zone, bool past)
{
	uint32_t named = shard_node(c->s, node_hash(zone, NODE_NAME));
	const struct ends *list = c->s->nodes[named].list;

	if (past)
		return choose_answered(c, named) || choose_learned_before(c, named, false);
	return choose_link(c, list[LIST_FRESH].newest, ATTRIB_ANCESTOR) ||
	       choose_link(c, list[LIST_CHARGED].newest, ATTRIB_ANCESTOR);
}

/*
 * Who waits, or waited, beneath a zone or for its name. Who waits for its name comes before who was only led beneath it:
 * a name that an answer named may never be followed. No lock is held.
 */
static bool choose_in_zone(struct choice *c, const struct served_zone *zone, bool past)
{
	choose_fn *choose = past ? choose_past_beneath : choose_beneath;
	bool spread = zone->shard == SHARDS;
	bool found = spread && choose_in_all(c, zone->zone, choose);

	c->s = enter(c->a, spread ? shard_index(zone->zone) : zone->shard, c->now);
	if (!spread)
		found = choose(c, zone->zone);
	if (!found || (!past && c->rank == RANK_LED))
		found |= choose_apex(c, zone->zone, past);
	shard_unlock(c->s);
	return found;
}

/* Is it a name server's address, or on the way to one: who waits beneath a zone that it serves? No lock is held. */
static bool choose_served(struct choice *c, bool past)
{
	struct served_zone zones[SERVERS_ZONES];
	bool found = false;

	c->past |= past;
	if (!leads_to_address(c->query->qtype) ||
	    !servers_find(&c->a->servers, asked_name(c), zones))
		return false;
	for (int i = 0; !found && i < SERVERS_ZONES && zones[i].zone; i++) {
		if (zones[i].zone == DNS_ROOT_HASH)
			continue;
		found = choose_in_zone(c, &zones[i], past);
	}
	return found;
}

/* The same question with the same ID on the same socket, not answered yet, and its owner still
 * there. */
static bool choose_repeat(struct choice *c, uint64_t key)
{
	uint32_t i = shard_find(c->s, key);

	return i && owner_state(c->a, &c->s->entries[i].owner, c->now) == TAG_WAITING &&
	       choose_entry(c, i, ATTRIB_REPEAT);
}

/* The very same once more, a moment after its answer. */
static bool choose_late_repeat(struct choice *c)
{
	for (uint32_t n = 1; n <= SHARD_RECENT; n++) {
		const struct recent *r = &c->s->recent[(c->s->recents - n) % SHARD_RECENT];

		if (r->key != c->decision->key || !is_recent(c, r->stamp) ||
		    (int32_t)(c->now - r->owner.asked) >= ATTRIB_CLIENT_MS)
			continue;
		c->decision->evidence = ATTRIB_REPEAT;
		c->decision->owner = r->owner;
		return true;
	}
	return false;
}

/* The turn's sole message has an owner: what the turn would say. */
static bool turn_speaks(const struct attrib_turn *turn)
{
	return turn && turn->messages == 1 && turn->owned;
}

/*
 * Each decision that the question itself settled shows whether this program sends in the turn in
 * which it received. One that does not, even once, is never again believed to.
 */
static void judge_turn(const struct choice *c)
{
	if (turn_speaks(c->turn) && c->decision->evidence == ATTRIB_EXACT)
		attrib_turn_foretold(c->a,
				     attrib_same_ref(c->turn->owner.ref, c->decision->owner.ref));
}

void attrib_turn_foretold(struct attrib *a, bool right)
{
	_Atomic uint32_t *count = right ? &a->turn_right : &a->turn_wrong;

	/* more is not needed, and all threads would write there */
	if (atomic_load_explicit(count, memory_order_relaxed) < TURN_TRUST)
		atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

static bool turn_trusted(const struct attrib *a)
{
	return atomic_load_explicit(&a->turn_wrong, memory_order_relaxed) == 0 &&
	       atomic_load_explicit(&a->turn_right, memory_order_relaxed) >= TURN_TRUST;
}

/* Nothing in the names says whose it is: then whoever's message was alone in the thread's turn.
 * Priming, and the root
 * servers' addresses, are nobody's. */
static bool choose_turn(struct choice *c)
{
	if (!turn_speaks(c->turn) || !turn_trusted(c->a) ||
	    owner_state(c->a, &c->turn->owner, c->now) == TAG_FREE)
		return false;
	bool priming = c->query->name.labels == 0 && c->query->qtype == DNS_TYPE_NS;

	if (priming || servers_is_root(&c->a->servers, asked_name(c)))
		return false;
	c->decision->evidence = ATTRIB_TURN;
	c->decision->owner = c->turn->owner;
	return true;
}

bool attrib_newest(struct attrib *a, uint32_t now, struct attrib_owner *owner)
{
	struct attrib_ref ref = unpack(atomic_load_explicit(&a->newest, memory_order_relaxed));
	struct shard *s = enter(a, ref.shard, now);
	uint32_t i = ref_in(a, s, ref);
	bool waits = i && s->entries[i].class == CLASS_WAITING;

	if (waits)
		*owner = s->entries[i].owner;
	shard_unlock(s);
	return waits;
}

bool attrib_connection(const struct attrib *a, uint32_t now, struct attrib_turn *turn,
		       struct attrib_owner *owner)
{
	/* Measured with BIND, kresd and PowerDNS: the connection is made in the turn of the truncated answer. */
	if (turn->messages && turn->truncated == 1) {
		turn->truncated = 0;
		*owner = turn->truncated_owner;
		return owner_state(a, owner, now) == TAG_WAITING;
	}
	if (!turn_speaks(turn) || owner_state(a, &turn->owner, now) != TAG_WAITING)
		return false;
	*owner = turn->owner;
	return turn_trusted(a) || count_waiting(a) == 1;
}

/*
 * The root's key is asked for whoever waits: the newest of them all. (The refresh of a trust anchor, RFC 5011, looks the
 * same; it takes a client's mark only where one waits just then.)
 */
static void choose_root_key(struct choice *c)
{
	uint32_t newest = 0;

	if (c->query->name.labels || c->query->qtype != DNS_TYPE_DNSKEY)
		return;
	for (unsigned n = 0; n < SHARDS; n++) {
		c->s = enter(c->a, n, c->now);
		uint32_t i = c->s->age[CLASS_WAITING].newest;
		uint32_t stamp = i ? c->s->entries[i].stamp : 0;

		if (i && (c->decision->evidence == ATTRIB_NONE || (int32_t)(stamp - newest) > 0)) {
			newest = stamp;
			choose_entry(c, i, ATTRIB_ANCESTOR);
		}
		shard_unlock(c->s);
	}
}

/* Who learned a name, and has had the answer. */
struct learner {
	struct attrib_owner who;
	uint32_t order; /* of what was learned, among all entries */
};

/* The newest FELLOW_SCAN, the newest first; n of them are there already. */
static unsigned add_learner(struct learner *list, unsigned n, const struct entry *learned)
{
	unsigned at = n;

	for (; at && (int32_t)(learned->order - list[at - 1].order) > 0; at--)
		if (at < FELLOW_SCAN)
			list[at] = list[at - 1];
	if (at < FELLOW_SCAN)
		list[at] = (struct learner){learned->owner, learned->order};
	return n < FELLOW_SCAN ? n + 1 : n;
}

/* Those of a node in the shard that is locked. */
static unsigned add_learners(const struct choice *c, uint32_t node, struct learner *list,
			     unsigned n)
{
	uint32_t i = c->s->nodes[node].list[LIST_LEARNED_BEFORE].newest;

	for (unsigned k = 0; i && k < FELLOW_SCAN; k++, i = c->s->links[i].older)
		n = add_learner(list, n, &c->s->entries[c->s->links[i].entry]);
	return n;
}

/* Does somebody wait who asked the same as one of them? No lock is held. */
static bool choose_fellow_of(struct choice *c, const struct learner *learners, unsigned n,
			     enum attrib_evidence evidence)
{
	bool found = false;

	for (unsigned i = 0; !found && i < n; i++) {
		const struct attrib_owner *who = &learners[i].who;

		c->s = enter(c->a, who->ref.shard, c->now);
		const struct ends *list = c->s->nodes[shard_node(c->s, who->question)].list;

		found = choose_link(c, list[LIST_FRESH].oldest, evidence) ||
			choose_link(c, list[LIST_CHARGED].oldest, evidence);
		shard_unlock(c->s);
	}
	return found;
}

static bool choose_fellow(struct choice *c, unsigned seat)
{
	struct learner named[FELLOW_SCAN], beneath[FELLOW_SCAN];
	uint64_t hash = asked_name(c);
	unsigned n, m = 0;

	c->s = enter(c->a, seat, c->now);
	n = add_learners(c, shard_node(c->s, node_hash(hash, NODE_NAME)), named, 0);
	if (has_seat(c))
		m = add_learners(c, node_beneath(c, hash), beneath, 0);
	shard_unlock(c->s);
	for (unsigned i = 0; is_spread(c) && i < SHARDS; i++) {
		c->s = enter(c->a, i, c->now);
		m = add_learners(c, node_beneath(c, hash), beneath, m);
		shard_unlock(c->s);
	}
	return choose_fellow_of(c, named, n, ATTRIB_LEARNED) ||
	       choose_fellow_of(c, beneath, m, ATTRIB_ANCESTOR);
}

/* Nobody is known to wait for it. */
static void choose_afterwards(struct choice *c, unsigned whole, unsigned seat)
{
	c->s = enter(c->a, whole, c->now);
	bool found = choose_late_repeat(c);

	if (!found && seat != whole) {
		shard_unlock(c->s);
		c->s = enter(c->a, seat, c->now);
	}
	found = found || choose_past(c);
	shard_unlock(c->s);
	found = found || (is_spread(c) && choose_in_all(c, asked_name(c), choose_past_beneath));
	if (!found)
		choose_served(c, true);
}

bool attrib_upstream_asked(struct attrib *a, uint32_t now, const struct dns_message *query,
			   struct attrib_socket socket, const struct attrib_turn *turn,
			   struct attrib_decision *decision)
{
	struct choice c = {.a = a, .now = now, .query = query, .turn = turn, .decision = decision};

	decision->key = attrib_upstream_key(a, query, socket);
	c.s = enter(a, shard_of(&query->name, 0), now);
	bool found = choose_repeat(&c, decision->key) ||
		     choose_question(&c, dns_name_hash(&query->name));
	shard_unlock(c.s);
	return found;
}

void attrib_upstream_query(struct attrib *a, uint32_t now, const struct dns_message *query,
			   struct attrib_socket socket, const struct attrib_turn *turn,
			   struct attrib_decision *decision)
{
	bool wary = somebody_unexplained(a);
	struct choice c = {.a = a,
			   .now = now,
			   .query = query,
			   .turn = turn,
			   .from = query->name.underscore && query->name.labels > 1,
			   .wary = wary,
			   .past = !wary,
			   .decision = decision};
	unsigned whole = shard_of(&query->name, 0), seat = shard_of(&query->name, c.from);

	decision->evidence = ATTRIB_NONE;
	decision->key = attrib_upstream_key(a, query, socket);
	c.s = enter(a, whole, now);
	bool found = choose_repeat(&c, decision->key) ||
		     (c.from && choose_question(&c, dns_name_hash(&query->name)));
	if (!found && seat != whole) {
		shard_unlock(c.s);
		c.s = enter(a, seat, now);
	}
	found = found || choose_waiting(&c);
	shard_unlock(c.s);
	found = found || (is_spread(&c) && choose_in_all(&c, asked_name(&c), choose_beneath));
	if (!found && !choose_served(&c, false) && !choose_fellow(&c, seat))
		choose_afterwards(&c, whole, seat);
	if (decision->evidence == ATTRIB_NONE)
		choose_root_key(&c);
	found = decision->evidence != ATTRIB_NONE;
	if (found)
		judge_turn(&c);
	else
		choose_turn(&c);
}
