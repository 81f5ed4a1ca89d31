// SPDX-License-Identifier: GPL-2.0-or-later
#include "shard.h"

#include "carve.h"

#include <string.h>

enum {
	ENTRIES_PER = 2,     /* entries a unit of capacity: client queries, their upstream queries,
			       learned names */
	LINKS_PER = 8,	     /* an entry of a name of n labels needs n + 1 */
	NODES_PER = 6,	     /* most nodes are shared by many */
	UPSTREAM_WEIGHT = 4, /* of an upstream query, which has no links, against those that have */
	SHARES =
		4, /* of the entries: two for clients, one for upstream queries, one for learned names */
	CLIENT_SHARES = 2,
	/*
	 * One entry in so many, but some, may be a client's that has had its answer. What comes after an answer comes at
	 * once; a table full of them would be memory that no cache holds, and each event waits for it.
	 */
	ANSWERED_SHARES = 16,
	ANSWERED_LEAST = 256,
	AGE_STEPS = 64,	  /* an entry that comes late is put so far back in the order of ages */
	INSERT_SCAN = 16, /* how far back the place of a charged client is looked for */
};

_Static_assert(ATTRIB_CAPACITY_MAX <= BUCKETS_ELEMENTS_MAX / NODES_PER,
	       "a link has room for a node's number, and nodes are most");

/* ---- memory ---- */

static uint32_t buckets_for(unsigned capacity)
{
	uint32_t n = BUCKETS_LEAST;

	while (n < capacity * NODES_PER / 2)
		n *= 2;
	return n;
}

/* An entry weighs as many units as it has links, and one where it has none. */
static unsigned weight_of_all(unsigned capacity)
{
	return capacity * (LINKS_PER + ENTRIES_PER);
}

size_t shard_bytes(unsigned capacity)
{
	size_t c = capacity;

	return carve_size((c * ENTRIES_PER + 1) * sizeof(struct entry)) +
	       carve_size((c * LINKS_PER + 1) * sizeof(struct link)) +
	       carve_size((c * NODES_PER + 1) * sizeof(struct node)) +
	       2 * carve_size(buckets_for(capacity) * sizeof(uint32_t)) +
	       carve_size(holders_size(capacity * ENTRIES_PER, weight_of_all(capacity)));
}

void shard_init(struct shard *s, char **at, unsigned capacity, const struct sip_key *key,
		struct tally *tally)
{
	s->tally = tally;
	s->entry_pool.size = capacity * ENTRIES_PER;
	s->link_pool.size = capacity * LINKS_PER;
	s->node_pool.size = capacity * NODES_PER;
	uint32_t buckets = buckets_for(capacity);

	s->entries = carve(at, (s->entry_pool.size + 1) * sizeof(struct entry));
	s->links = carve(at, (s->link_pool.size + 1) * sizeof(struct link));
	s->nodes = carve(at, (s->node_pool.size + 1) * sizeof(struct node));
	buckets_init(&s->keys, carve(at, buckets * sizeof(uint32_t)), buckets, s->entries,
		     sizeof(struct entry));
	buckets_init(&s->names, carve(at, buckets * sizeof(uint32_t)), buckets, s->nodes,
		     sizeof(struct node));
	holders_init(&s->holders,
		     carve(at, holders_size(s->entry_pool.size, weight_of_all(capacity))),
		     s->entry_pool.size, weight_of_all(capacity), key);
	pthread_mutex_init(&s->lock, NULL);
}

void shard_waits(struct shard *s, struct entry *e, bool begins)
{
	uint64_t both = 1 + (e->unexplained ? SHARD_UNEXPLAINED : 0);

	atomic_fetch_add_explicit(&s->tally->waiting, begins ? both : -both, memory_order_relaxed);
	atomic_fetch_add_explicit(
		&s->tally->awaited[attrib_asker(e->owner.id, &e->owner) % SHARD_AWAITED],
		begins ? 1 : UINT32_MAX, memory_order_release);
	atomic_fetch_add_explicit(&s->tally->asked[e->asks], begins ? 1 : UINT32_MAX,
				  memory_order_release);
	e->unexplained = e->unexplained && begins;
}

/* ---- pools, lists and tables of one shard; its lock is held ---- */

static uint32_t take(struct pool *p, uint32_t *next_of_free)
{
	uint32_t i = p->free;

	if (i)
		p->free = *next_of_free;
	else if (p->fresh < p->size)
		i = ++p->fresh;
	if (i)
		p->used++;
	return i;
}

static void give(struct pool *p, uint32_t i, uint32_t *next_of_it)
{
	*next_of_it = p->free;
	p->free = i;
	p->used--;
}

/* The newest that is no younger, as far as a few steps lead there: what comes out of an intake comes late. */
static uint32_t age_before(const struct shard *s, const struct ends *l, uint32_t stamp)
{
	uint32_t at = l->newest;

	for (int n = 0; at && n < AGE_STEPS && (int32_t)(s->entries[at].stamp - stamp) > 0; n++)
		at = s->entries[at].older;
	return at;
}

/* Puts it where its age says. */
static void age_insert(struct shard *s, uint32_t i, enum class class)
{
	struct entry *e = &s->entries[i];
	struct ends *l = &s->age[class];

	e->class = (uint8_t) class;
	e->older = age_before(s, l, e->stamp);
	e->newer = e->older ? s->entries[e->older].newer : l->oldest;
	*(e->older ? &s->entries[e->older].newer : &l->oldest) = i;
	*(e->newer ? &s->entries[e->newer].older : &l->newest) = i;
	s->count[class]++;
}

static void age_remove(struct shard *s, uint32_t i)
{
	struct entry *e = &s->entries[i];
	struct ends *l = &s->age[e->class];

	if (e->class < CLASS_ANSWERED && s->uncounted[e->class] == i)
		s->uncounted[e->class] = e->older;
	*(e->older ? &s->entries[e->older].newer : &l->oldest) = e->newer;
	*(e->newer ? &s->entries[e->newer].older : &l->newest) = e->older;
	s->count[e->class]--;
}

void shard_list_append(struct shard *s, uint32_t i, enum list list)
{
	struct link *k = &s->links[i];
	struct ends *l = &s->nodes[k->node].list[list];

	k->list = list;
	k->newer = 0;
	k->older = l->newest;
	if (l->newest)
		s->links[l->newest].newer = i;
	else
		l->oldest = i;
	l->newest = i;
}

void shard_list_remove(struct shard *s, uint32_t i)
{
	struct link *k = &s->links[i];
	struct ends *l = &s->nodes[k->node].list[k->list];

	*(k->older ? &s->links[k->older].newer : &l->oldest) = k->newer;
	*(k->newer ? &s->links[k->newer].older : &l->newest) = k->older;
}

/*
 * Puts it where its age says: entries move here in that order but for a few, so the place is near the end. It is not
 * looked for beyond a bound.
 */
void shard_list_insert(struct shard *s, uint32_t i, enum list list)
{
	struct link *k = &s->links[i];
	struct ends *l = &s->nodes[k->node].list[list];
	uint32_t asked = s->entries[k->entry].owner.asked, before = l->newest;

	for (int n = 0; before && n < INSERT_SCAN; n++) {
		if ((int32_t)(asked - s->entries[s->links[before].entry].owner.asked) >= 0)
			break;
		before = s->links[before].older;
	}
	k->list = list;
	k->older = before;
	k->newer = before ? s->links[before].newer : l->oldest;
	*(k->older ? &s->links[k->older].newer : &l->oldest) = i;
	*(k->newer ? &s->links[k->newer].older : &l->newest) = i;
}

static uint32_t node_make(struct shard *s, uint64_t hash)
{
	uint32_t i = shard_node(s, hash);

	if (i)
		return i;
	i = take(&s->node_pool, &s->nodes[s->node_pool.free].name.next);
	if (!i)
		return 0;
	memset(&s->nodes[i], 0, sizeof(s->nodes[i]));
	buckets_put(&s->names, i, hash, s->node_pool.used);
	return i;
}

static void node_drop(struct shard *s, uint32_t i)
{
	buckets_remove(&s->names, i);
	give(&s->node_pool, i, &s->nodes[i].name.next);
}

/* Hangs an entry into a list of the node of that hash. Where there is no room the entry does
 * without. */
void shard_link(struct shard *s, uint32_t entry, uint64_t hash, enum list list)
{
	uint32_t node = node_make(s, hash), i;

	if (!node)
		return;
	i = take(&s->link_pool, &s->links[s->link_pool.free].next);
	if (!i) {
		if (!s->nodes[node].links)
			node_drop(s, node);
		return;
	}
	s->links[i] = (struct link){.entry = entry, .node = node, .next = s->entries[entry].links};
	s->entries[entry].links = i;
	s->nodes[node].links++;
	shard_list_append(s, i, list);
}

static void links_drop(struct shard *s, struct entry *e)
{
	for (uint32_t i = e->links, next; i; i = next) {
		uint32_t node = s->links[i].node;

		next = s->links[i].next;
		shard_list_remove(s, i);
		if (--s->nodes[node].links == 0)
			node_drop(s, node);
		give(&s->link_pool, i, &s->links[i].next);
	}
	e->links = 0;
}

static void links_move(struct shard *s, const struct entry *e, enum list list)
{
	for (uint32_t i = e->links; i; i = s->links[i].next) {
		shard_list_remove(s, i);
		shard_list_append(s, i, list);
	}
}

void shard_set_key(struct shard *s, uint32_t i, uint64_t key)
{
	buckets_put(&s->keys, i, key, s->entry_pool.used);
}

static void set_state(struct entry *e, uint32_t state)
{
	uint32_t generation = atomic_load_explicit(&e->tag, memory_order_relaxed) / TAG_STATES;

	atomic_store_explicit(&e->tag, generation * TAG_STATES + state, memory_order_release);
}

void shard_drop(struct shard *s, uint32_t i)
{
	struct entry *e = &s->entries[i];
	uint32_t generation = atomic_load_explicit(&e->tag, memory_order_relaxed) / TAG_STATES;

	if (e->class == CLASS_WAITING)
		shard_waits(s, e, false);

	holders_remove(&s->holders, i);
	links_drop(s, e);
	if (e->key.hash)
		buckets_remove(&s->keys, i);
	age_remove(s, i);
	e->key.hash = 0;
	atomic_store_explicit(&e->tag, (generation + 1) * TAG_STATES + TAG_FREE,
			      memory_order_release);
	give(&s->entry_pool, i, &e->key.next);
}

static bool is_half(const struct pool *p)
{
	return p->used >= p->size / 2;
}

/* Half of what there is room for, or less: from here on it is counted who has how much, so that all is when it must. */
static bool fills_up(const struct shard *s, enum class class)
{
	return s->count[class] >= s->entry_pool.size / SHARES / 2 ||
	       (class != CLASS_UPSTREAM && (is_half(&s->link_pool) || is_half(&s->node_pool)));
}

static unsigned weight_of(const struct shard *s, const struct entry *e)
{
	unsigned weight = e->class == CLASS_UPSTREAM ? UPSTREAM_WEIGHT : 0;

	for (uint32_t i = e->links; i; i = s->links[i].next)
		weight++;
	return weight ? weight : 1;
}

/*
 * An entry with all its links counts as its owner's, and is the newest of them. While there is plenty of room nobody
 * counts; then those that come do, and each takes with it more of those that came before than it has links itself. So
 * all are counted before there is no more room, and no event has much to do.
 */
void shard_count_in(struct shard *s, uint32_t i)
{
	struct entry *e = &s->entries[i];
	enum class class = e->class;
	uint32_t *before = &s->uncounted[class];

	if (!fills_up(s, class)) {
		s->counting[class] = false;
		return;
	}
	if (!s->counting[class])
		*before = s->age[class].newest;
	s->counting[class] = true;
	unsigned weight = weight_of(s, e);

	holders_add(&s->holders, i, &e->owner, class, weight, HOLDERS_NEWEST);
	for (unsigned n = 0; *before && n < 2 * weight + 2; n++) {
		const struct entry *old = &s->entries[*before];

		holders_add(&s->holders, *before, &old->owner, class, weight_of(s, old),
			    HOLDERS_OLDEST);
		*before = old->older;
	}
}

/* The oldest of whoever holds most; where nobody holds much, the oldest of all. False: there is none. */
static bool evict(struct shard *s, enum class class)
{
	uint32_t i = class == CLASS_ANSWERED ? 0 : holders_yielding(&s->holders, class);

	if (!i)
		i = s->age[class].oldest;
	if (!i)
		return false;
	atomic_fetch_add_explicit(&s->tally->evicted, 1, memory_order_relaxed);
	if (class == CLASS_WAITING)
		atomic_fetch_add_explicit(&s->tally->lost, 1, memory_order_relaxed);
	shard_drop(s, i);
	return true;
}

static bool clients_full(const struct shard *s)
{
	return s->count[CLASS_WAITING] + s->count[CLASS_ANSWERED] >=
	       s->entry_pool.size / SHARES * CLIENT_SHARES;
}

/*
 * Each kind gives way to its own when it has its share, so that a flood of one kind does not push the others out: of
 * clients, those that have been answered first, then the oldest of whoever has most that wait.
 */
static void make_room(struct shard *s, enum class class)
{
	uint32_t share = s->entry_pool.size / SHARES;

	if (class == CLASS_WAITING && clients_full(s))
		evict(s, s->count[CLASS_ANSWERED] ? CLASS_ANSWERED : CLASS_WAITING);
	if ((class == CLASS_LEARNED || class == CLASS_UPSTREAM) && s->count[class] >= share)
		evict(s, class);
}

static bool is_full(const struct pool *p, unsigned spare)
{
	return p->size - p->used < spare;
}

/* Of what has links: those that have been answered, then the class in which one client holds most. */
static enum class with_most_links(struct shard *s) {
	if (s->count[CLASS_ANSWERED]) return CLASS_ANSWERED;
	uint32_t waiting = holders_most(&s->holders, CLASS_WAITING);
	uint32_t learned = holders_most(&s->holders, CLASS_LEARNED);

	return s->count[CLASS_LEARNED] && learned >= waiting ? CLASS_LEARNED : CLASS_WAITING;
}

/* Links and nodes are for the usual name; where many are very deep, they run out before the entries do. */
static void make_room_for_links(struct shard *s)
{
	while ((is_full(&s->link_pool, SHARD_ANCESTORS_MAX + 2) ||
		is_full(&s->node_pool, SHARD_ANCESTORS_MAX + 2)) &&
	       evict(s, with_most_links(s)))
		;
}

static uint32_t answered_most(const struct shard *s)
{
	uint32_t most = s->entry_pool.size / ANSWERED_SHARES;

	return most > ANSWERED_LEAST ? most : ANSWERED_LEAST;
}

/* For a client that has had its answer, nobody goes but who was answered before it. */
bool shard_fits_past(struct shard *s)
{
	if (s->count[CLASS_ANSWERED] >= answered_most(s))
		shard_drop(s, s->age[CLASS_ANSWERED].oldest);
	return !clients_full(s) && !is_full(&s->link_pool, SHARD_ANCESTORS_MAX + 2) &&
	       !is_full(&s->node_pool, SHARD_ANCESTORS_MAX + 2);
}

static uint32_t next_order(struct shard *s)
{
	return atomic_fetch_add_explicit(&s->tally->order, 1, memory_order_relaxed);
}

uint32_t shard_make(struct shard *s, uint32_t now, enum class class)
{
	make_room(s, class);
	if (class != CLASS_UPSTREAM)
		make_room_for_links(s);
	uint32_t i = take(&s->entry_pool, &s->entries[s->entry_pool.free].key.next);

	if (!i)
		return 0;
	struct entry *e = &s->entries[i];

	e->stamp = now;
	e->order = next_order(s);
	e->links = 0;
	e->key.hash = 0;
	e->unexplained = e->fed = e->server = false;
	e->pending = 0;
	age_insert(s, i, class);
	set_state(e, class == CLASS_WAITING    ? TAG_WAITING
		     : class == CLASS_ANSWERED ? TAG_ANSWERED
					       : TAG_OTHER);
	return i;
}

static const int32_t class_life_ms[CLASSES] = {
	[CLASS_WAITING] = ATTRIB_WAIT_MS,
	[CLASS_ANSWERED] = ATTRIB_ANSWERED_MS,
	[CLASS_LEARNED] = ATTRIB_WAIT_MS,
	[CLASS_UPSTREAM] = ATTRIB_WAIT_MS,
};

/*
 * Retires all whose time has come. Each entry is retired once, so an event pays for one or two in the long run; and who
 * comes in the same millisecond as another need not look.
 */
static void expire(struct shard *s, uint32_t now)
{
	if (now == s->expired_at)
		return;
	s->expired_at = now;
	for (unsigned class = 0; class < CLASSES; class ++) {
		for (;;) {
			uint32_t i = s->age[class].oldest;

			/* signed: another thread's clock reading may be a little ahead of ours */
			if (!i || (int32_t)(now - s->entries[i].stamp) < class_life_ms[class])
				break;
			shard_drop(s, i);
		}
	}
}

void shard_enter(struct shard *s, uint32_t now)
{
	shard_lock(s);
	expire(s, now);
}

void shard_answered(struct shard *s, uint32_t i, uint32_t now, uint32_t state)
{
	struct entry *e = &s->entries[i];

	if (state == TAG_FREE) {
		shard_drop(s, i);
		return;
	}
	shard_waits(s, e, false);
	e->stamp = now;
	e->order = next_order(s);
	holders_remove(&s->holders, i);
	age_remove(s, i);
	age_insert(s, i, CLASS_ANSWERED);
	set_state(e, state);
	links_move(s, e, LIST_ANSWERED);
	if (s->count[CLASS_ANSWERED] > answered_most(s))
		shard_drop(s, s->age[CLASS_ANSWERED].oldest);
}

void shard_renew(struct shard *s, uint32_t i, uint32_t now)
{
	s->entries[i].stamp = now;
	age_remove(s, i);
	age_insert(s, i, CLASS_WAITING);
	holders_remove(&s->holders, i);
	shard_count_in(s, i);
}

/* ---- after a fork ---- */

/* Forgets everything in it. The entries' generations go on, so that no old reference comes to life
 * again. */
static void shard_empty(struct shard *s)
{
	for (uint32_t i = 1; i <= s->entry_pool.fresh; i++) {
		uint32_t generation = s->entries[i].tag / TAG_STATES + 1;

		memset(&s->entries[i], 0, sizeof(s->entries[i]));
		s->entries[i].tag = generation * TAG_STATES;
	}
	holders_empty(&s->holders, s->entry_pool.fresh);
	s->entry_pool = (struct pool){.size = s->entry_pool.size};
	s->link_pool = (struct pool){.size = s->link_pool.size};
	s->node_pool = (struct pool){.size = s->node_pool.size};
	buckets_empty(&s->keys);
	buckets_empty(&s->names);
	memset(s->counting, 0, sizeof(s->counting));
	memset(s->uncounted, 0, sizeof(s->uncounted));
	memset(s->age, 0, sizeof(s->age));
	memset(s->recent, 0, sizeof(s->recent));
	memset(s->count, 0, sizeof(s->count));
}

bool shard_after_fork(struct shard *s)
{
	bool changing = atomic_exchange(&s->locked, 0);

	/* the mutex may be taken while nothing is being changed yet: it is made anew in any case */
	pthread_mutex_init(&s->lock, NULL);
	if (changing)
		shard_empty(s);
	return changing;
}

void shard_count_waiting(struct shard *s)
{
	for (uint32_t i = 1; i <= s->entry_pool.fresh; i++)
		if (s->entries[i].tag % TAG_STATES == TAG_WAITING)
			shard_waits(s, &s->entries[i], true);
}
