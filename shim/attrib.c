// SPDX-License-Identifier: GPL-2.0-or-later
#include "attrib.h"

#include "aliases.h"
#include "carve.h"
#include "holders.h"
#include "servers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
	SHARDS = 8,	     /* a power of two */
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
	ANCESTORS_MAX = 36, /* the deepest names in use: ip6.arpa has 34 labels */
	BEFORE_SCAN = 8,    /* of learned names whose owners were answered, as many are looked at */
	INSERT_SCAN = 16,   /* how far back the place of a charged client is looked for */
	AWAITED = 4096,	    /* a power of two */
	TURN_TRUST = 16,    /* decisions that a thread's turn must have foretold before it counts as
			       evidence */
};

#define AN_UNEXPLAINED ((uint64_t)1 << 32) /* of those who wait, in attrib.waiting */

/* What an entry is; doubles as the list of its kind in order of age. The first ones count as their client's. */
enum class { CLASS_WAITING, CLASS_LEARNED, CLASS_UPSTREAM, CLASS_ANSWERED, CLASSES };

_Static_assert((int)HOLDERS_KINDS == (int)CLASS_ANSWERED,
	       "what counts as its client's comes first");
_Static_assert((int)ANCESTORS_MAX + 2 <= (int)HOLDERS_WEIGHT_MAX,
	       "an entry's links are its weight");

/* The lists of a node. The first three are also a client query's states. */
enum list { LIST_FRESH, LIST_CHARGED, LIST_ANSWERED, LIST_LEARNED, LIST_LEARNED_BEFORE, LISTS };

/* What a node stands for: mixed into the name's hash. */
enum node_kind { NODE_QUESTION = 1, NODE_NAME = 2, NODE_BENEATH = 3 };

/*
 * States in the low bits of an entry's tag, which others read without the lock. Settled: answered too, but with what
 * came from upstream, so that nothing is left to refresh.
 */
enum { TAG_FREE, TAG_WAITING, TAG_ANSWERED, TAG_SETTLED, TAG_OTHER, TAG_STATES = 8 };

struct entry {
	_Atomic uint32_t tag; /* generation * TAG_STATES + state */
	uint32_t stamp;	      /* when it was entered, or answered, ms */
	uint64_t key;	      /* identity: of a client's query, or of an upstream query; 0: none */
	uint64_t question;    /* of client queries: hash of name and type */
	uint32_t key_next;
	uint32_t older, newer; /* in the list of its class */
	uint32_t links;	       /* first of them */
	uint8_t class;
	bool server; /* of learned names: it is a name server's */
	/* of client queries: */
	uint32_t born;	  /* the shard's count of final answers then */
	bool unexplained; /* it waits, and no upstream query is known that may be for it */
	bool fed;	  /* an upstream query for it had a final answer */
	uint8_t pending;  /* upstream queries for it that have no answer yet; UINT8_MAX: or more */
	struct attrib_owner owner;
};

struct link {
	uint32_t entry, node;
	uint32_t older, newer; /* in the node's list */
	uint32_t next;	       /* the entry's next link, or the next free one */
	uint32_t list;
};

struct ends {
	uint32_t oldest, newest;
};

struct node {
	uint64_t hash;
	uint32_t next; /* in the bucket, or the next free one */
	uint32_t links;
	/* of questions: */
	uint32_t final; /* the shard's count at the last final answer to it; 0: there was none */
	bool outstanding; /* it was asked upstream for who waits for it, and no answer has come since */
	struct ends list[LISTS];
};

/* Slots never used yet come from a counter, so that memory is touched only as the table fills. */
struct pool {
	uint32_t free, fresh, used, size;
};

struct shard {
	struct attrib *whole;
	pthread_mutex_t lock;
	_Atomic int locked;
	struct pool entry_pool, link_pool, node_pool;
	struct entry *entries; /* index 0 of each is nobody */
	struct link *links;
	struct node *nodes;
	uint32_t *key_buckets, *node_buckets;
	uint32_t mask; /* of both */
	struct ends age[CLASSES];
	uint32_t count[CLASSES];
	uint32_t finals; /* counts upstream answers that left nothing to ask: odd, so never 0 */
	struct holders holders;
	bool counting[HOLDERS_KINDS]; /* entries that come are counted as their clients' */
	uint32_t uncounted
		[HOLDERS_KINDS]; /* of those before, this one is next, then older ones; 0: none is left */
	uint32_t expired_at; /* when it was last looked at for what has had its time */
};

struct attrib {
	struct sip_key key;
	unsigned capacity;
	/* entries that went before their time; of them, clients that waited */
	_Atomic uint64_t evicted, lost;
	_Atomic uint64_t
		waiting; /* client queries that wait, in all shards together, and the unexplained */
	/* how often a turn named the same owner as better evidence, and not */
	_Atomic uint32_t turn_right, turn_wrong;
	_Atomic uint64_t
		newest; /* the client query entered last: a reference in one word, see pack */
	/* how many client queries wait, by a hash of client and ID (attrib_may_await) */
	_Atomic uint32_t awaited[AWAITED];
	struct servers servers;
	struct aliases aliases;
	struct shard shard[SHARDS];
};

/* ---- memory ---- */

static uint32_t buckets_for(unsigned capacity)
{
	uint32_t n = 1024;

	while (n < capacity * NODES_PER / 2)
		n *= 2;
	return n;
}

/* An entry weighs as many units as it has links, and one where it has none. */
static unsigned weight_of_all(unsigned capacity)
{
	return capacity * (LINKS_PER + ENTRIES_PER);
}

static size_t shard_bytes(unsigned capacity)
{
	size_t c = capacity;

	return carve_size((c * ENTRIES_PER + 1) * sizeof(struct entry)) +
	       carve_size((c * LINKS_PER + 1) * sizeof(struct link)) +
	       carve_size((c * NODES_PER + 1) * sizeof(struct node)) +
	       2 * carve_size(buckets_for(capacity) * sizeof(uint32_t)) +
	       carve_size(holders_size(capacity * ENTRIES_PER, weight_of_all(capacity)));
}

size_t attrib_size(unsigned capacity)
{
	uint64_t bytes =
		carve_size(sizeof(struct attrib)) + SHARDS * (uint64_t)shard_bytes(capacity);

	return bytes <= SIZE_MAX / 2 ? (size_t)bytes : 0;
}

static void shard_init(struct shard *s, char **at, unsigned capacity, const struct sip_key *key)
{
	s->entry_pool.size = capacity * ENTRIES_PER;
	s->link_pool.size = capacity * LINKS_PER;
	s->node_pool.size = capacity * NODES_PER;
	s->mask = buckets_for(capacity) - 1;
	s->entries = carve(at, (s->entry_pool.size + 1) * sizeof(struct entry));
	s->links = carve(at, (s->link_pool.size + 1) * sizeof(struct link));
	s->nodes = carve(at, (s->node_pool.size + 1) * sizeof(struct node));
	s->key_buckets = carve(at, (s->mask + 1) * sizeof(uint32_t));
	s->node_buckets = carve(at, (s->mask + 1) * sizeof(uint32_t));
	holders_init(&s->holders,
		     carve(at, holders_size(s->entry_pool.size, weight_of_all(capacity))),
		     s->entry_pool.size, weight_of_all(capacity), key);
	pthread_mutex_init(&s->lock, NULL);
}

struct attrib *attrib_init(void *zeroed, unsigned capacity, const struct sip_key *key)
{
	struct attrib *a = zeroed;
	char *at = (char *)zeroed + carve_size(sizeof(*a));

	a->key = *key;
	a->capacity = capacity;
	servers_init(&a->servers);
	aliases_init(&a->aliases);
	for (int i = 0; i < SHARDS; i++) {
		a->shard[i].whole = a;
		shard_init(&a->shard[i], &at, capacity, key);
	}
	return a;
}

const struct sip_key *attrib_key(const struct attrib *a)
{
	return &a->key;
}

/* `locked` says that the shard is being changed. A fork's copy of memory must not have the change without it. */
static void shard_lock(struct shard *s)
{
	pthread_mutex_lock(&s->lock);
	atomic_store_explicit(&s->locked, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void shard_unlock(struct shard *s)
{
	atomic_store_explicit(&s->locked, 0, memory_order_release);
	pthread_mutex_unlock(&s->lock);
}

/*
 * By what tells clients apart (client_key), as far as it is a number. No secret: who has two clients counted together
 * gains that an answer is looked up in vain.
 */
static unsigned awaited_index(uint16_t id, const struct attrib_owner *who)
{
	uint32_t n = who->session	       ? who->session
		     : who->flow.client.family ? who->flow.client.port
					       : (uint32_t)who->fd;

	return (n * 0x9e3779b1U >> 16 ^ id) % AWAITED;
}

bool attrib_may_await(const struct attrib *a, uint16_t id, const struct attrib_owner *who)
{
	return atomic_load_explicit(&a->awaited[awaited_index(id, who)], memory_order_acquire) != 0;
}

/* A client's own entry begins to wait, or waits no longer. */
static void waits(struct attrib *a, struct entry *e, bool begins)
{
	uint64_t both = 1 + (e->unexplained ? AN_UNEXPLAINED : 0);

	atomic_fetch_add_explicit(&a->waiting, begins ? both : -both, memory_order_relaxed);
	atomic_fetch_add_explicit(&a->awaited[awaited_index(e->owner.id, &e->owner)],
				  begins ? 1 : UINT32_MAX, memory_order_release);
	e->unexplained = e->unexplained && begins;
}

/* An upstream query leaves for it. */
static void explain(struct attrib *a, struct entry *e)
{
	if (e->unexplained)
		atomic_fetch_sub_explicit(&a->waiting, AN_UNEXPLAINED, memory_order_relaxed);
	e->unexplained = false;
}

static uint32_t count_waiting(const struct attrib *a)
{
	return (uint32_t)atomic_load_explicit(&a->waiting, memory_order_relaxed);
}

static bool somebody_unexplained(const struct attrib *a)
{
	return atomic_load_explicit(&a->waiting, memory_order_relaxed) >= AN_UNEXPLAINED;
}

/* Forgets everything in it. The entries' generations go on, so that no old reference comes to life
 * again. */
static void shard_empty(struct shard *s)
{
	for (uint32_t i = 1; i <= s->entry_pool.fresh; i++) {
		if (s->entries[i].tag % TAG_STATES == TAG_WAITING && s->entries[i].question)
			waits(s->whole, &s->entries[i], false);
		uint32_t generation = s->entries[i].tag / TAG_STATES + 1;

		memset(&s->entries[i], 0, sizeof(s->entries[i]));
		s->entries[i].tag = generation * TAG_STATES;
	}
	holders_empty(&s->holders, s->entry_pool.fresh);
	s->entry_pool = (struct pool){.size = s->entry_pool.size};
	s->link_pool = (struct pool){.size = s->link_pool.size};
	s->node_pool = (struct pool){.size = s->node_pool.size};
	memset(s->key_buckets, 0, (s->mask + 1) * sizeof(uint32_t));
	memset(s->node_buckets, 0, (s->mask + 1) * sizeof(uint32_t));
	memset(s->counting, 0, sizeof(s->counting));
	memset(s->uncounted, 0, sizeof(s->uncounted));
	memset(s->age, 0, sizeof(s->age));
	memset(s->count, 0, sizeof(s->count));
}

void attrib_after_fork(struct attrib *a)
{
	/* what is being changed in these is one word or one record: good or old */
	servers_init(&a->servers);
	aliases_init(&a->aliases);
	for (int i = 0; i < SHARDS; i++) {
		struct shard *s = &a->shard[i];

		/* the mutex may be taken while nothing is being changed yet: it is made anew in any case */
		pthread_mutex_init(&s->lock, NULL);
		if (atomic_exchange(&s->locked, 0))
			shard_empty(s);
	}
}

/* ---- which shard ---- */

static unsigned shard_index(uint64_t hash)
{
	return (unsigned)(hash >> 56) % SHARDS;
}

/* The shard of a name, given without its first `from` labels: that of its last two labels. */
static unsigned shard_of(const struct dns_name *name, unsigned from)
{
	unsigned labels = name->labels - from;

	if (labels == 0)
		return 0;
	return shard_index(name->suffix[labels >= 2 ? name->labels - 2 : name->labels - 1]);
}

static unsigned shard_of_tld(const struct dns_name *name)
{
	return shard_index(name->suffix[name->labels - 1]);
}

/* ---- hashes ---- */

static uint64_t node_hash(uint64_t name, enum node_kind kind)
{
	return name ^ ((uint64_t)kind * 0x9e3779b97f4a7c15ULL);
}

/* The name's hash is secret, so mixing the type in needs no secret of its own; but every bit must feel it. */
static uint64_t question_hash(uint64_t name, uint16_t qtype)
{
	uint64_t h = node_hash(name, NODE_QUESTION) + (qtype + 1U) * 0xd6e8feb86659fd93ULL;

	h = (h ^ h >> 32) * 0xd6e8feb86659fd93ULL;
	return h ^ h >> 32;
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
	return siphash13_words(&a->key, dns_name_hash(&m->name), words, count) | 1;
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

static uint64_t upstream_key(const struct attrib *a, const struct dns_message *m,
			     struct attrib_socket socket)
{
	uint64_t words[2] = {key_head(m, UPSTREAM, 0, 0), socket_word(socket.fd, socket.gen)};

	return hash_words(a, m, words, 2);
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

static void age_append(struct shard *s, uint32_t i, enum class class)
{
	struct entry *e = &s->entries[i];
	struct ends *l = &s->age[class];

	e->class = (uint8_t) class;
	e->newer = 0;
	e->older = l->newest;
	if (l->newest)
		s->entries[l->newest].newer = i;
	else
		l->oldest = i;
	l->newest = i;
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

static void list_append(struct shard *s, uint32_t i, enum list list)
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

static void list_remove(struct shard *s, uint32_t i)
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
static void list_insert(struct shard *s, uint32_t i, enum list list)
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

static uint32_t node_find(const struct shard *s, uint64_t hash)
{
	uint32_t i = s->node_buckets[hash & s->mask];

	while (i && s->nodes[i].hash != hash)
		i = s->nodes[i].next;
	return i;
}

static uint32_t node_make(struct shard *s, uint64_t hash)
{
	uint32_t i = node_find(s, hash);

	if (i)
		return i;
	i = take(&s->node_pool, &s->nodes[s->node_pool.free].next);
	if (!i)
		return 0;
	memset(&s->nodes[i], 0, sizeof(s->nodes[i]));
	s->nodes[i].hash = hash;
	s->nodes[i].next = s->node_buckets[hash & s->mask];
	s->node_buckets[hash & s->mask] = i;
	return i;
}

static void node_drop(struct shard *s, uint32_t i)
{
	uint32_t *at = &s->node_buckets[s->nodes[i].hash & s->mask];

	while (*at != i)
		at = &s->nodes[*at].next;
	*at = s->nodes[i].next;
	give(&s->node_pool, i, &s->nodes[i].next);
}

/* Hangs an entry into a list of the node of that hash. Where there is no room the entry does
 * without. */
static void link_make(struct shard *s, uint32_t entry, uint64_t hash, enum list list)
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
	list_append(s, i, list);
}

static void links_drop(struct shard *s, struct entry *e)
{
	for (uint32_t i = e->links, next; i; i = next) {
		uint32_t node = s->links[i].node;

		next = s->links[i].next;
		list_remove(s, i);
		if (--s->nodes[node].links == 0)
			node_drop(s, node);
		give(&s->link_pool, i, &s->links[i].next);
	}
	e->links = 0;
}

static void links_move(struct shard *s, const struct entry *e, enum list list)
{
	for (uint32_t i = e->links; i; i = s->links[i].next) {
		list_remove(s, i);
		list_append(s, i, list);
	}
}

static uint32_t key_find(const struct shard *s, uint64_t key)
{
	uint32_t i = s->key_buckets[(key >> 8) & s->mask];

	while (i && s->entries[i].key != key)
		i = s->entries[i].key_next;
	return i;
}

static void key_insert(struct shard *s, uint32_t i, uint64_t key)
{
	uint32_t *bucket = &s->key_buckets[(key >> 8) & s->mask];

	s->entries[i].key = key;
	s->entries[i].key_next = *bucket;
	*bucket = i;
}

static void key_remove(struct shard *s, uint32_t i)
{
	uint32_t *at = &s->key_buckets[(s->entries[i].key >> 8) & s->mask];

	while (*at != i)
		at = &s->entries[*at].key_next;
	*at = s->entries[i].key_next;
}

static void set_state(struct entry *e, uint32_t state)
{
	uint32_t generation = atomic_load_explicit(&e->tag, memory_order_relaxed) / TAG_STATES;

	atomic_store_explicit(&e->tag, generation * TAG_STATES + state, memory_order_release);
}

/* A client's own entry, not its second one beneath the top-level domain. */
static bool is_query(const struct entry *e)
{
	return e->question != 0;
}

static void entry_drop(struct shard *s, uint32_t i)
{
	struct entry *e = &s->entries[i];
	uint32_t generation = atomic_load_explicit(&e->tag, memory_order_relaxed) / TAG_STATES;

	if (e->class == CLASS_WAITING && is_query(e))
		waits(s->whole, e, false);

	holders_remove(&s->holders, i);
	links_drop(s, e);
	if (e->key)
		key_remove(s, i);
	age_remove(s, i);
	e->key = e->question = 0;
	atomic_store_explicit(&e->tag, (generation + 1) * TAG_STATES + TAG_FREE,
			      memory_order_release);
	give(&s->entry_pool, i, &e->key_next);
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
static void count_in(struct shard *s, uint32_t i)
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
	atomic_fetch_add_explicit(&s->whole->evicted, 1, memory_order_relaxed);
	if (class == CLASS_WAITING)
		atomic_fetch_add_explicit(&s->whole->lost, 1, memory_order_relaxed);
	entry_drop(s, i);
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
	while ((is_full(&s->link_pool, ANCESTORS_MAX + 2) ||
		is_full(&s->node_pool, ANCESTORS_MAX + 2)) &&
	       evict(s, with_most_links(s)))
		;
}

static uint32_t answered_most(const struct shard *s)
{
	uint32_t most = s->entry_pool.size / ANSWERED_SHARES;

	return most > ANSWERED_LEAST ? most : ANSWERED_LEAST;
}

/* For a client that has had its answer, nobody goes but who was answered before it. */
static bool fits_past(struct shard *s)
{
	if (s->count[CLASS_ANSWERED] >= answered_most(s))
		entry_drop(s, s->age[CLASS_ANSWERED].oldest);
	return !clients_full(s) && !is_full(&s->link_pool, ANCESTORS_MAX + 2) &&
	       !is_full(&s->node_pool, ANCESTORS_MAX + 2);
}

static uint32_t entry_make(struct shard *s, uint32_t now, enum class class)
{
	make_room(s, class);
	if (class != CLASS_UPSTREAM)
		make_room_for_links(s);
	uint32_t i = take(&s->entry_pool, &s->entries[s->entry_pool.free].key_next);

	if (!i)
		return 0;
	struct entry *e = &s->entries[i];

	e->stamp = now;
	e->links = 0;
	e->key = e->question = 0;
	e->unexplained = e->fed = e->server = false;
	e->pending = 0;
	age_append(s, i, class);
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
			entry_drop(s, i);
		}
	}
}

static struct shard *enter(struct attrib *a, unsigned index, uint32_t now)
{
	struct shard *s = &a->shard[index];

	shard_lock(s);
	expire(s, now);
	return s;
}

/* ---- owners ---- */

static struct attrib_ref ref_to(const struct attrib *a, const struct shard *s, uint32_t i)
{
	uint32_t tag = atomic_load_explicit(&s->entries[i].tag, memory_order_relaxed);

	return (struct attrib_ref){
		.index = i, .tag = tag / TAG_STATES, .shard = (uint8_t)(s - a->shard)};
}

/* What became of a client query: TAG_WAITING, TAG_ANSWERED, or TAG_FREE where it is gone. Needs no
 * lock. */
static uint32_t ref_state(const struct attrib *a, struct attrib_ref ref)
{
	if (!ref.index)
		return TAG_FREE;
	uint32_t tag = atomic_load_explicit(&a->shard[ref.shard].entries[ref.index].tag,
					    memory_order_acquire);

	return tag / TAG_STATES == ref.tag ? tag % TAG_STATES : TAG_FREE;
}

/*
 * The same of an owner, whose shard may not have been visited since its time was over. A client that asked again
 * counts from its first time here: others' copies of it do not know better.
 */
static uint32_t owner_state(const struct attrib *a, const struct attrib_owner *owner, uint32_t now)
{
	if ((int32_t)(now - owner->asked) >= ATTRIB_CLIENT_MS)
		return TAG_FREE;
	return ref_state(a, owner->ref);
}

static uint64_t pack(struct attrib_ref ref)
{
	return (uint64_t)ref.tag << 32 | (uint64_t)ref.shard << 28 | ref.index;
}

static struct attrib_ref unpack(uint64_t word)
{
	return (struct attrib_ref){.tag = (uint32_t)(word >> 32),
				   .shard = (uint8_t)(word >> 28 & (SHARDS - 1)),
				   .index = (uint32_t)word & ((1U << 28) - 1)};
}

/* The entry that a reference means, where it lies in this very shard and still lives. */
static uint32_t ref_in(const struct attrib *a, const struct shard *s, struct attrib_ref ref)
{
	return &a->shard[ref.shard] == s && ref_state(a, ref) != TAG_FREE ? ref.index : 0;
}

/* ---- client queries in their shards ---- */

/* Hangs an entry beneath those ancestors of its name that belong to this shard: all but the
 * top-level domain. */
static void link_ancestors(struct shard *s, uint32_t i, const struct dns_name *name, enum list list)
{
	unsigned first = name->labels > ANCESTORS_MAX ? name->labels - ANCESTORS_MAX : 1;

	for (unsigned at = first; at + 1 < name->labels; at++)
		link_make(s, i, node_hash(name->suffix[at], NODE_BENEATH), list);
}

static void link_tld(struct shard *s, uint32_t i, const struct dns_name *name, enum list list)
{
	link_make(s, i, node_hash(name->suffix[name->labels - 1], NODE_BENEATH), list);
}

/* Who asks what has been asked upstream for another already waits for that answer. */
static void begin_waiting(struct shard *s, struct entry *e)
{
	uint32_t node = node_find(s, e->question);

	e->unexplained = !(node && s->nodes[node].list[LIST_CHARGED].oldest);
	waits(s->whole, e, true);
}

/* The client's own query, in the shard of its name: one that waits, or has been answered already. */
static uint32_t enter_query(struct attrib *a, struct shard *s, uint32_t now,
			    const struct dns_message *query, uint64_t key, enum class class,
			    struct attrib_owner *who)
{
	enum list list = class == CLASS_WAITING ? LIST_FRESH : LIST_ANSWERED;
	uint64_t hash = dns_name_hash(&query->name);
	uint32_t i = entry_make(s, now, class);

	if (!i)
		return 0;
	who->ref = ref_to(a, s, i);
	s->entries[i].owner = *who;
	s->entries[i].question = question_hash(hash, query->qtype);
	s->entries[i].born = s->finals;
	key_insert(s, i, key);
	if (class == CLASS_WAITING)
		begin_waiting(s, &s->entries[i]);
	link_make(s, i, s->entries[i].question, list);
	link_make(s, i, node_hash(hash, NODE_NAME), list);
	link_ancestors(s, i, &query->name, list);
	if (class == CLASS_WAITING)
		count_in(s, i);
	return i;
}

static void renew(struct shard *s, uint32_t i, uint32_t now)
{
	s->entries[i].stamp = now;
	age_remove(s, i);
	age_append(s, i, CLASS_WAITING);
	holders_remove(&s->holders, i);
	count_in(s, i);
}

/* Its second entry, in the shard of its top-level domain. */
static void enter_query_tld(struct attrib *a, struct shard *s, uint32_t now,
			    const struct dns_name *name, uint64_t key, struct attrib_owner *who,
			    bool again)
{
	uint32_t i = key_find(s, ~key);

	if (i && again && s->entries[i].class == CLASS_WAITING) {
		renew(s, i, now);
		s->entries[i].owner.asked = now;
		who->tld = ref_to(a, s, i);
		return;
	}
	if (i)
		entry_drop(s, i);
	i = entry_make(s, now, CLASS_WAITING);
	if (!i)
		return;
	who->tld = ref_to(a, s, i);
	s->entries[i].owner = *who;
	key_insert(s, i, ~key);
	link_tld(s, i, name, LIST_FRESH);
	count_in(s, i);
}

/* Does this very client already wait for this very answer? Then it has only asked again. */
static bool refresh_query(struct attrib *a, struct shard *s, uint32_t now, uint64_t key,
			  struct attrib_owner *who)
{
	uint32_t i = key_find(s, key);

	if (!i)
		return false;
	if (s->entries[i].class != CLASS_WAITING) {
		entry_drop(s, i);
		return false;
	}
	renew(s, i, now);
	s->entries[i].owner.asked = now;
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

static bool same_ref(struct attrib_ref x, struct attrib_ref y)
{
	return x.index == y.index && x.tag == y.tag && x.shard == y.shard;
}

/* ---- names that lead to others ---- */

static bool already_learned(const struct shard *s, uint32_t node, const struct attrib_owner *owner)
{
	uint32_t link = node ? s->nodes[node].list[LIST_LEARNED].newest : 0;

	return link && same_ref(s->entries[s->links[link].entry].owner.ref, owner->ref);
}

/* A name that an answer to the owner's query named, or that what it asked for is known to lead to. */
static void learn_owned(struct attrib *a, uint32_t now, const struct attrib_owner *owner,
			const struct dns_name *name, bool server)
{
	uint64_t hash = node_hash(dns_name_hash(name), NODE_NAME);
	struct shard *s = enter(a, shard_of(name, 0), now);
	bool known = already_learned(s, node_find(s, hash), owner);
	uint32_t i = known || !name->labels ? 0 : entry_make(s, now, CLASS_LEARNED);

	if (i) {
		s->entries[i].owner = *owner;
		s->entries[i].server = server;
		link_make(s, i, hash, LIST_LEARNED);
		link_ancestors(s, i, name, LIST_LEARNED);
		count_in(s, i);
	}
	shard_unlock(s);
	if (!i || name->labels < 2)
		return;
	s = enter(a, shard_of_tld(name), now);
	hash = node_hash(name->suffix[name->labels - 1], NODE_BENEATH);
	i = already_learned(s, node_find(s, hash), owner) ? 0 : entry_make(s, now, CLASS_LEARNED);
	if (i) {
		s->entries[i].owner = *owner;
		link_tld(s, i, name, LIST_LEARNED);
		count_in(s, i);
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
			learn_owned(a, now, who, &target, false);
			hash = dns_name_hash(&target);
		}
	}
}

/* ---- who asks, and who is answered ---- */

void attrib_client_query(struct attrib *a, uint32_t now, const struct dns_message *query,
			 struct attrib_owner *who, struct attrib_turn *turn)
{
	uint64_t key = client_key(a, query, who);
	struct shard *s = enter(a, shard_of(&query->name, 0), now);

	who->id = query->id;
	who->asked = now;
	who->ref = who->tld = (struct attrib_ref){0};
	bool again = refresh_query(a, s, now, key, who);
	if (!again && enter_query(a, s, now, query, key, CLASS_WAITING, who))
		atomic_store_explicit(&a->newest, pack(who->ref), memory_order_relaxed);
	shard_unlock(s);
	if (query->name.labels >= 2 && who->ref.index) {
		s = enter(a, shard_of_tld(&query->name), now);
		enter_query_tld(a, s, now, &query->name, key, who, again);
		shard_unlock(s);
	}
	if (!again && who->ref.index)
		follow_aliases(a, now, &query->name, who);
	attrib_turn_add(turn, who);
}

/* Its second entry, likewise. */
static void enter_past_tld(struct shard *s, uint32_t now, const struct dns_name *name, uint64_t key,
			   const struct attrib_owner *who)
{
	uint32_t i = key_find(s, ~key);

	if (i)
		entry_drop(s, i);
	i = fits_past(s) ? entry_make(s, now, CLASS_ANSWERED) : 0;
	if (!i)
		return;
	s->entries[i].owner = *who;
	key_insert(s, i, ~key);
	link_tld(s, i, name, LIST_ANSWERED);
}

void attrib_client_past(struct attrib *a, uint32_t now, const struct dns_message *query,
			struct attrib_owner *who)
{
	uint64_t key = client_key(a, query, who);
	struct shard *s = enter(a, shard_of(&query->name, 0), now);
	uint32_t i = key_find(s, key);
	bool waits_again = i && s->entries[i].class == CLASS_WAITING;

	who->id = query->id;
	who->asked = now;
	who->ref = who->tld = (struct attrib_ref){0};
	if (i && !waits_again)
		entry_drop(s, i);
	if (!waits_again && fits_past(s))
		enter_query(a, s, now, query, key, CLASS_ANSWERED, who);
	shard_unlock(s);
	if (query->name.labels >= 2 && who->ref.index) {
		s = enter(a, shard_of_tld(&query->name), now);
		enter_past_tld(s, now, &query->name, key, who);
		shard_unlock(s);
	}
	if (who->ref.index)
		follow_aliases(a, now, &query->name, who);
}

/* Has upstream had the last word on its question since it came? */
static bool has_final(const struct node *question, const struct entry *e)
{
	return question->final && (int32_t)(question->final - e->born) > 0;
}

/*
 * What its answer makes of it (enum TAG_). Whose answer came from upstream, or may have, is settled; and done with, where
 * no more is to come: no answer is outstanding, and the resolver does not go from server to server itself, looking for the
 * addresses of some at leisure.
 */
static uint32_t state_after(const struct shard *s, const struct entry *e)
{
	const struct node *question = &s->nodes[node_find(s, e->question)];

	if (e->fed || has_final(question, e))
		return e->pending || servers_any(&s->whole->servers) ? TAG_SETTLED : TAG_FREE;
	return e->pending || question->outstanding ? TAG_SETTLED : TAG_ANSWERED;
}

static void answer_entry(struct shard *s, uint32_t i, uint32_t now, uint32_t state)
{
	struct entry *e = &s->entries[i];

	if (state == TAG_FREE) {
		entry_drop(s, i);
		return;
	}
	if (is_query(e))
		waits(s->whole, e, false);
	e->stamp = now;
	holders_remove(&s->holders, i);
	age_remove(s, i);
	age_append(s, i, CLASS_ANSWERED);
	set_state(e, state);
	links_move(s, e, LIST_ANSWERED);
	if (s->count[CLASS_ANSWERED] > answered_most(s))
		entry_drop(s, s->age[CLASS_ANSWERED].oldest);
}

static uint32_t find_waiting(const struct shard *s, uint64_t key)
{
	uint32_t i = key_find(s, key);

	return i && s->entries[i].class == CLASS_WAITING ? i : 0;
}

void attrib_client_answer(struct attrib *a, uint32_t now, const struct dns_message *answer,
			  const struct attrib_owner *who)
{
	uint64_t key = client_key(a, answer, who);
	struct shard *s = enter(a, shard_of(&answer->name, 0), now);
	uint32_t i = find_waiting(s, key), state = i ? state_after(s, &s->entries[i]) : TAG_FREE;

	if (i)
		answer_entry(s, i, now, state);
	shard_unlock(s);
	if (answer->name.labels >= 2) {
		s = enter(a, shard_of_tld(&answer->name), now);
		i = find_waiting(s, ~key);
		if (i)
			answer_entry(s, i, now, state);
		shard_unlock(s);
	}
}

/* ---- decisions ---- */

struct choice {
	struct attrib *a;
	uint32_t now;
	struct shard *s;
	const struct dns_message *query;
	const struct attrib_turn *turn;
	unsigned from; /* labels left away in front */
	bool wary;     /* somebody waits for whom nothing has left yet */
	struct attrib_decision *decision;
};

static bool choose_entry(struct choice *c, uint32_t i, enum attrib_evidence evidence)
{
	c->decision->evidence = evidence;
	c->decision->owner = c->s->entries[i].owner;
	return true;
}

static bool choose_link(struct choice *c, uint32_t link, enum attrib_evidence evidence)
{
	return link && choose_entry(c, c->s->links[link].entry, evidence);
}

/* A reference's link to a node of this shard, where it waits and has one. */
static uint32_t link_of(const struct choice *c, struct attrib_ref ref, uint32_t node)
{
	uint32_t entry = ref_in(c->a, c->s, ref);

	if (!entry || c->s->entries[entry].class != CLASS_WAITING)
		return 0;
	for (uint32_t i = c->s->entries[entry].links; i; i = c->s->links[i].next)
		if (c->s->links[i].node == node)
			return i;
	return 0;
}

/* The same of what this thread received last: is its owner among those that hang there? */
static uint32_t own_link(const struct choice *c, uint32_t node)
{
	if (!c->turn || !c->turn->owned || !c->turn->messages)
		return 0;
	uint32_t link = link_of(c, c->turn->owner.ref, node);

	return link ? link : link_of(c, c->turn->owner.tld, node);
}

/* Moves a client query behind those that have not been charged yet, for its own question and name
 * only. */
static void charge(struct choice *c, uint32_t i)
{
	struct shard *s = c->s;
	uint64_t name = node_hash(c->from < c->query->name.labels ? c->query->name.suffix[c->from]
								  : dns_name_hash(&c->query->name),
				  NODE_NAME);

	for (uint32_t k = s->entries[i].links; k; k = s->links[k].next) {
		uint64_t hash = s->nodes[s->links[k].node].hash;

		if (s->links[k].list == LIST_FRESH &&
		    (hash == s->entries[i].question || hash == name)) {
			list_remove(s, k);
			list_insert(s, k, LIST_CHARGED);
		}
	}
}

static bool choose_question(struct choice *c, uint64_t name)
{
	struct shard *s = c->s;
	uint32_t node = node_find(s, question_hash(name, c->query->qtype));

	if (!node)
		return false;
	uint32_t own = own_link(c, node);
	uint32_t link = own && s->links[own].list == LIST_FRESH
				? own
				: s->nodes[node].list[LIST_FRESH].oldest;

	if (link)
		charge(c, s->links[link].entry);
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
			list_remove(s, i);
			list_append(s, i, LIST_LEARNED_BEFORE);
		} else {
			entry_drop(s, entry);
		}
		i = older;
	}
	return false;
}

static bool is_recent(const struct choice *c, uint32_t then)
{
	return (int32_t)(c->now - then) < ATTRIB_REFRESH_MS;
}

/*
 * Does who learned this name stand for it, having had its answer? With who waits unexplained, only for what comes then as
 * a rule: the refresh of what the cache gave just now, and name servers' addresses, looked up at leisure, with what is
 * asked on the way to them.
 */
static bool stands_for(const struct choice *c, const struct entry *learned, bool beneath)
{
	uint32_t state = owner_state(c->a, &learned->owner, c->now);

	if (state != TAG_ANSWERED && state != TAG_SETTLED)
		return false;
	if (!c->wary)
		return true;
	if (learned->server)
		return !beneath || is_recent(c, learned->stamp);
	return !beneath && state == TAG_ANSWERED && is_recent(c, learned->owner.asked);
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

static bool choose_beneath(struct choice *c, uint32_t node)
{
	struct ends *list = c->s->nodes[node].list;
	uint32_t own = own_link(c, node);

	if (own && c->s->links[own].list <= LIST_CHARGED)
		return choose_link(c, own, ATTRIB_ANCESTOR);
	return choose_link(c, list[LIST_FRESH].newest, ATTRIB_ANCESTOR);
}

/* With who waits unexplained: none of who asked for names there. */
static bool choose_answered(struct choice *c, uint32_t node, bool beneath)
{
	uint32_t link = c->wary ? 0 : c->s->nodes[node].list[LIST_ANSWERED].newest;

	return choose_link(c, link, ATTRIB_ANSWERED) || choose_learned_before(c, node, beneath);
}

/* The same of a zone that a name server serves: who asked for names there stands for it, for a while. */
static bool choose_answered_in(struct choice *c, uint32_t node, bool beneath)
{
	uint32_t link = c->s->nodes[node].list[LIST_ANSWERED].newest;

	if (c->wary && !is_recent(c, c->s->entries[c->s->links[link].entry].stamp))
		link = 0;
	return choose_link(c, link, ATTRIB_ANSWERED) || choose_learned_before(c, node, beneath);
}

static uint64_t asked_name(const struct choice *c)
{
	const struct dns_name *name = &c->query->name;

	return c->from < name->labels ? name->suffix[c->from] : dns_name_hash(name);
}

/* Who waits, by the names themselves. */
static bool choose_waiting(struct choice *c)
{
	uint64_t hash = asked_name(c);
	uint32_t named = node_find(c->s, node_hash(hash, NODE_NAME));
	uint32_t beneath = c->query->name.labels ? node_find(c->s, node_hash(hash, NODE_BENEATH))
						 : 0;

	return choose_question(c, hash) || (named && choose_name(c, named)) ||
	       (named && choose_learned(c, named, ATTRIB_LEARNED)) ||
	       (beneath && choose_beneath(c, beneath)) ||
	       (beneath && choose_learned(c, beneath, ATTRIB_ANCESTOR));
}

/* Who was answered from the cache just now, with what may have to be asked for anew. */
static bool choose_refreshed(struct choice *c)
{
	uint32_t node = node_find(c->s, question_hash(asked_name(c), c->query->qtype));
	uint32_t link = c->s->nodes[node].list[LIST_ANSWERED].newest;
	const struct entry *e = &c->s->entries[c->s->links[link].entry];
	uint32_t state = atomic_load_explicit(&e->tag, memory_order_relaxed) % TAG_STATES;

	return link && state == TAG_ANSWERED && !has_final(&c->s->nodes[node], e) &&
	       is_recent(c, e->stamp) && choose_link(c, link, ATTRIB_ANSWERED);
}

/*
 * Who waited until a moment ago. Little of it where somebody waits for whom nothing has left yet: it is more likely
 * theirs, in a way that the names do not show, such as an alias that is not known as one.
 */
static bool choose_past(struct choice *c)
{
	uint64_t hash = asked_name(c);

	return choose_refreshed(c) ||
	       choose_answered(c, node_find(c->s, node_hash(hash, NODE_NAME)), false) ||
	       (c->query->name.labels &&
		choose_answered(c, node_find(c->s, node_hash(hash, NODE_BENEATH)), true));
}

static bool choose_in_zone(struct choice *c, uint64_t zone, bool past)
{
	uint32_t named = node_find(c->s, node_hash(zone, NODE_NAME));
	uint32_t beneath = node_find(c->s, node_hash(zone, NODE_BENEATH));

	if (past)
		return choose_answered_in(c, beneath, true) || choose_answered_in(c, named, false);
	return (beneath && choose_beneath(c, beneath)) ||
	       (named &&
		choose_link(c, c->s->nodes[named].list[LIST_FRESH].newest, ATTRIB_ANCESTOR)) ||
	       (named &&
		choose_link(c, c->s->nodes[named].list[LIST_CHARGED].newest, ATTRIB_ANCESTOR)) ||
	       (beneath && choose_learned(c, beneath, ATTRIB_ANCESTOR));
}

/* Is it a name server, or does it lead to one: who waits beneath a zone that it serves? No lock is held. */
static bool choose_served(struct choice *c, bool past)
{
	struct served_zone zones[SERVERS_ZONES];
	bool found = false;

	if (!servers_find(&c->a->servers, asked_name(c), zones))
		return false;
	for (int i = 0; !found && i < SERVERS_ZONES && zones[i].zone; i++) {
		if (zones[i].zone == DNS_ROOT_HASH)
			continue;
		c->s = enter(c->a, zones[i].shard, c->now);
		found = choose_in_zone(c, zones[i].zone, past);
		shard_unlock(c->s);
	}
	return found;
}

/* The same question with the same ID on the same socket, not answered yet, and its owner still
 * there. */
static bool choose_repeat(struct choice *c, uint64_t key)
{
	uint32_t i = key_find(c->s, key);

	return i && owner_state(c->a, &c->s->entries[i].owner, c->now) == TAG_WAITING &&
	       choose_entry(c, i, ATTRIB_REPEAT);
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
	if (!turn_speaks(c->turn) || c->decision->evidence != ATTRIB_EXACT)
		return;
	bool right = same_ref(c->turn->owner.ref, c->decision->owner.ref);

	atomic_fetch_add_explicit(right ? &c->a->turn_right : &c->a->turn_wrong, 1,
				  memory_order_relaxed);
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

void attrib_upstream_query(struct attrib *a, uint32_t now, const struct dns_message *query,
			   struct attrib_socket socket, const struct attrib_turn *turn,
			   struct attrib_decision *decision)
{
	struct choice c = {.a = a,
			   .now = now,
			   .query = query,
			   .turn = turn,
			   .from = query->name.underscore && query->name.labels > 1,
			   .wary = somebody_unexplained(a),
			   .decision = decision};
	unsigned whole = shard_of(&query->name, 0), seat = shard_of(&query->name, c.from);

	decision->evidence = ATTRIB_NONE;
	decision->key = upstream_key(a, query, socket);
	c.s = enter(a, whole, now);
	bool found = choose_repeat(&c, decision->key) ||
		     (c.from && choose_question(&c, dns_name_hash(&query->name)));
	if (!found && seat != whole) {
		shard_unlock(c.s);
		c.s = enter(a, seat, now);
	}
	found = found || choose_waiting(&c);
	shard_unlock(c.s);
	if (!found && !choose_served(&c, false)) {
		c.s = enter(a, seat, now);
		found = choose_past(&c);
		shard_unlock(c.s);
		if (!found)
			choose_served(&c, true);
	}
	if (decision->evidence == ATTRIB_NONE)
		choose_root_key(&c);
	found = decision->evidence != ATTRIB_NONE;
	if (found)
		judge_turn(&c);
	else
		choose_turn(&c);
}

/* ---- what an answer teaches ---- */

struct learning {
	struct attrib *a;
	uint32_t now;
	const struct dns_name *question;
	bool owned;
	struct attrib_owner owner;
	struct alias alias; /* what the question's name turns out to be */
	uint64_t chain_end;
};

/* Where who waits beneath a zone is found. */
static struct served_zone zone_of(const struct dns_name *zone)
{
	struct served_zone served = {.zone = dns_name_hash(zone)};

	if (zone->labels)
		served.shard =
			(uint8_t)(zone->labels == 1 ? shard_of_tld(zone) : shard_of(zone, 0));
	return served;
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

	if (type == DNS_TYPE_NS && lies_in(l->question, from))
		servers_learn(&l->a->servers, name, zone_of(from));
	if (!l->owned)
		return;
	learn_owned(l->a, l->now, &l->owner, name, type == DNS_TYPE_NS);
	if (type == DNS_TYPE_CNAME && dns_name_hash(from) == l->chain_end) {
		aliases_add(&l->alias, name);
		l->chain_end = dns_name_hash(name);
	}
}

/* Is the question's name an alias? Of its own the answer is to be believed; of other names it may say what it likes. */
static void learn_alias(const struct learning *l, const uint8_t *msg)
{
	bool has_answers = msg[6] || msg[7];

	if (l->alias.targets || has_answers)
		aliases_keep(&l->a->aliases, dns_name_hash(l->question), &l->alias);
}

/* For all who wait for this question. */
static void question_answered(struct shard *s, const struct dns_message *answer, bool final)
{
	uint32_t node = node_find(s, question_hash(dns_name_hash(&answer->name), answer->qtype));

	if (!node)
		return;
	s->nodes[node].outstanding = false;
	if (final) {
		s->finals = (s->finals | 1) + 2;
		s->nodes[node].final = s->finals;
	}
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

void attrib_upstream_answer(struct attrib *a, uint32_t now, const struct dns_message *answer,
			    const uint8_t *msg, size_t len, struct attrib_socket socket,
			    struct attrib_turn *turn)
{
	struct learning l = {.a = a,
			     .now = now,
			     .question = &answer->name,
			     .owner = {.fd = -1},
			     .chain_end = dns_name_hash(&answer->name)};
	struct shard *s = enter(a, shard_of(&answer->name, 0), now);
	uint32_t i = key_find(s, upstream_key(a, answer, socket));

	l.owned = i;
	if (i) {
		l.owner = s->entries[i].owner;
		entry_drop(s, i);
		bool final = dns_is_final(answer, msg);

		question_answered(s, answer, final);
		s = owner_fed(a, s, l.owner.ref, final);
	}
	shard_unlock(s);
	attrib_turn_add(turn, i ? &l.owner : NULL);
	if (turn && answer->truncated) { /* one that nobody owns is a rival all the same */
		turn->truncated++;
		turn->truncated_owner = l.owner;
	}
	/* of what nobody asked for, only priming says something that we want to know */
	if (i || !answer->name.labels)
		dns_learned_names(&a->key, msg, len, answer, learn, &l);
	if (i)
		learn_alias(&l, msg);
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
	uint32_t i = key_find(s, key);
	bool again = i && same_ref(s->entries[i].owner.ref, owner->ref);

	if (!i) {
		i = entry_make(s, now, CLASS_UPSTREAM);
		if (!i)
			return false;
		key_insert(s, i, key);
	}
	holders_remove(&s->holders, i); /* another's so far, perhaps */
	s->entries[i].owner = *owner;
	count_in(s, i);
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
		learn_owned(a, now, &decision->owner, &query->name, false);
}

/* ---- figures ---- */

uint64_t attrib_lost(const struct attrib *a)
{
	return atomic_load_explicit(&a->lost, memory_order_relaxed);
}

void attrib_usage(struct attrib *a, struct attrib_usage *usage)
{
	memset(usage, 0, sizeof(*usage));
	usage->evicted = atomic_load(&a->evicted);
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
