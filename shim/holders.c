// SPDX-License-Identifier: GPL-2.0-or-later
#include "holders.h"

#include "carve.h"

#include <stdbool.h>
#include <string.h>

enum {
	HOLDERS_PER = 2, /* of an entry: an address and a network */
	/* what an identity is of, besides an address family */
	OF_SOCKET = 0,
	OF_SESSION = 1,
};

/* What tells one from another. */
struct identity {
	uint64_t high, low;
	uint8_t of; /* an address family, or one of the above */
	uint8_t kind;
	bool network;
};

/* A client, or a network of clients, with what it holds of one kind. */
struct holder {
	struct identity is;
	uint32_t next; /* in its bucket, or the next free one */
	uint32_t weight;
	uint32_t oldest, newest; /* of a client's entries; of a network's clients */
	uint32_t below, above;	 /* in the list of its step */
	uint32_t network;	 /* a client's; 0: none */
	uint32_t before, after;	 /* in its network */
};

/* ---- memory ---- */

static uint32_t buckets_for(unsigned entries)
{
	uint32_t n = 1024;

	while (n < entries)
		n *= 2;
	return n;
}

static uint32_t steps_for(unsigned weight)
{
	return (weight + HOLDERS_WEIGHT_MAX) / HOLDERS_STEP + 1;
}

size_t holders_size(unsigned entries, unsigned weight)
{
	size_t n = entries;

	return carve_size((n + 1) * sizeof(struct holding)) +
	       carve_size((n * HOLDERS_PER + 1) * sizeof(struct holder)) +
	       carve_size(buckets_for(entries) * sizeof(uint32_t)) +
	       (size_t)2 * HOLDERS_KINDS * carve_size(steps_for(weight) * sizeof(uint32_t));
}

void holders_init(struct holders *h, void *zeroed, unsigned entries, unsigned weight,
		  const struct sip_key *key)
{
	char *at = zeroed;

	h->size = entries * HOLDERS_PER;
	h->mask = buckets_for(entries) - 1;
	h->steps = steps_for(weight);
	h->secret[0] = key->k0 | 1;
	h->secret[1] = key->k1 | 1;
	h->holding = carve(&at, ((size_t)entries + 1) * sizeof(struct holding));
	h->holder = carve(&at, ((size_t)h->size + 1) * sizeof(struct holder));
	h->bucket = carve(&at, ((size_t)h->mask + 1) * sizeof(uint32_t));
	for (int kind = 0; kind < HOLDERS_KINDS; kind++) {
		h->host[kind].step = carve(&at, h->steps * sizeof(uint32_t));
		h->network[kind].step = carve(&at, h->steps * sizeof(uint32_t));
	}
}

void holders_empty(struct holders *h, uint32_t entries)
{
	for (int kind = 0; kind < HOLDERS_KINDS; kind++) {
		memset(h->host[kind].step, 0, h->steps * sizeof(uint32_t));
		memset(h->network[kind].step, 0, h->steps * sizeof(uint32_t));
		h->host[kind].top = h->network[kind].top = 0;
	}
	memset(h->bucket, 0, ((size_t)h->mask + 1) * sizeof(uint32_t));
	memset(h->holding, 0, ((size_t)entries + 1) * sizeof(struct holding));
	h->fresh = h->free = 0;
}

/* ---- identities ---- */

static struct identity identity_of(const struct attrib_owner *who, unsigned kind)
{
	const struct endpoint *client = &who->flow.client;
	struct identity is = {.of = client->family, .kind = (uint8_t)kind};

	if (client->family) {
		memcpy(&is.high, client->addr, 8);
		memcpy(&is.low, client->addr + 8, 8);
	} else if (who->session) {
		is.of = OF_SESSION;
		is.low = who->session;
	} else {
		is.of = OF_SOCKET;
		is.high = who->fd_gen;
		is.low = (uint32_t)who->fd;
	}
	return is;
}

static bool same_identity(const struct identity *x, const struct identity *y)
{
	return x->high == y->high && x->low == y->low && x->of == y->of && x->kind == y->kind &&
	       x->network == y->network;
}

/* Addresses come from strangers: without the secret nobody can tell which share a bucket. */
static uint32_t *bucket_of(struct holders *h, const struct identity *is)
{
	uint64_t n = (is->high + h->secret[1]) * h->secret[0];

	n = (n ^ n >> 32 ^ is->low) * h->secret[1] + (uint64_t)(is->kind * 2 + is->network);
	n = (n ^ n >> 29) * h->secret[0];
	return &h->bucket[(n >> 32) & h->mask];
}

static uint32_t find(struct holders *h, const struct identity *is)
{
	uint32_t i = *bucket_of(h, is);

	while (i && !same_identity(&h->holder[i].is, is))
		i = h->holder[i].next;
	return i;
}

static uint32_t make(struct holders *h, const struct identity *is)
{
	uint32_t *bucket = bucket_of(h, is), i = h->free;

	if (i)
		h->free = h->holder[i].next;
	else if (h->fresh < h->size)
		i = ++h->fresh;
	if (!i)
		return 0;
	h->holder[i] = (struct holder){.is = *is, .next = *bucket};
	*bucket = i;
	return i;
}

static void drop(struct holders *h, uint32_t i)
{
	uint32_t *at = bucket_of(h, &h->holder[i].is);

	while (*at != i)
		at = &h->holder[*at].next;
	*at = h->holder[i].next;
	h->holder[i].next = h->free;
	h->free = i;
}

/* ---- a network's clients ---- */

static void network_append(struct holders *h, uint32_t i)
{
	struct holder *client = &h->holder[i], *network = &h->holder[client->network];

	client->after = 0;
	client->before = network->newest;
	*(network->newest ? &h->holder[network->newest].after : &network->oldest) = i;
	network->newest = i;
}

static void network_remove(struct holders *h, uint32_t i)
{
	struct holder *client = &h->holder[i], *network = &h->holder[client->network];

	*(client->before ? &h->holder[client->before].after : &network->oldest) = client->after;
	*(client->after ? &h->holder[client->after].before : &network->newest) = client->before;
}

static uint32_t find_or_make(struct holders *h, const struct identity *is)
{
	uint32_t i = find(h, is);

	if (i)
		return i;
	i = make(h, is);
	if (!i || is->of != AF_INET6)
		return i;
	struct identity network = {
		.high = is->high, .of = is->of, .kind = is->kind, .network = true};
	uint32_t n = find(h, &network);

	h->holder[i].network = n ? n : make(h, &network);
	if (h->holder[i].network)
		network_append(h, i);
	return i;
}

/* ---- by weight ---- */

static struct ranking *ranking_of(struct holders *h, const struct holder *o)
{
	return o->is.network ? &h->network[o->is.kind] : &h->host[o->is.kind];
}

static void rank(struct holders *h, uint32_t i)
{
	struct holder *o = &h->holder[i];
	struct ranking *r = ranking_of(h, o);
	uint32_t step = o->weight / HOLDERS_STEP;

	if (!step)
		return;
	o->below = 0;
	o->above = r->step[step];
	if (o->above)
		h->holder[o->above].below = i;
	r->step[step] = i;
	if (step > r->top)
		r->top = step;
}

static void unrank(struct holders *h, uint32_t i)
{
	struct holder *o = &h->holder[i];
	uint32_t step = o->weight / HOLDERS_STEP;

	if (!step)
		return;
	*(o->below ? &h->holder[o->below].above : &ranking_of(h, o)->step[step]) = o->above;
	if (o->above)
		h->holder[o->above].below = o->below;
}

static void weigh(struct holders *h, uint32_t i, uint32_t weight)
{
	struct holder *o = &h->holder[i];

	if (weight / HOLDERS_STEP == o->weight / HOLDERS_STEP) {
		o->weight = weight;
		return;
	}
	unrank(h, i);
	o->weight = weight;
	rank(h, i);
}

/* Each step down was a step up before. */
static uint32_t heaviest(struct ranking *r)
{
	while (r->top && !r->step[r->top])
		r->top--;
	return r->top ? r->step[r->top] : 0;
}

/* ---- entries ---- */

static void insert(struct holders *h, struct holder *o, uint32_t entry, enum holders_end end)
{
	struct holding *e = &h->holding[entry];

	e->older = end == HOLDERS_NEWEST ? o->newest : 0;
	e->newer = end == HOLDERS_NEWEST ? 0 : o->oldest;
	*(e->older ? &h->holding[e->older].newer : &o->oldest) = entry;
	*(e->newer ? &h->holding[e->newer].older : &o->newest) = entry;
}

void holders_add(struct holders *h, uint32_t entry, const struct attrib_owner *who, unsigned kind,
		 unsigned weight, enum holders_end end)
{
	struct holding *e = &h->holding[entry];

	if (e->holder)
		return;
	struct identity is = identity_of(who, kind);
	uint32_t i = find_or_make(h, &is);

	if (!i)
		return;
	struct holder *o = &h->holder[i];

	e->holder = i;
	e->weight = weight;
	insert(h, o, entry, end);
	weigh(h, i, o->weight + weight);
	if (o->network)
		weigh(h, o->network, h->holder[o->network].weight + weight);
}

static void lighten(struct holders *h, uint32_t i, uint32_t weight)
{
	struct holder *o = &h->holder[i];

	weigh(h, i, o->weight - weight);
	if (o->oldest)
		return;
	if (o->network)
		network_remove(h, i);
	drop(h, i);
}

void holders_take(struct holders *h, uint32_t entry)
{
	struct holding *e = &h->holding[entry];
	uint32_t i = e->holder;
	struct holder *o = &h->holder[i];
	uint32_t network = o->network;

	*(e->older ? &h->holding[e->older].newer : &o->oldest) = e->newer;
	*(e->newer ? &h->holding[e->newer].older : &o->newest) = e->older;
	e->holder = 0;
	lighten(h, i, e->weight);
	if (network)
		lighten(h, network, e->weight);
}

/* ---- who gives way ---- */

uint32_t holders_most(struct holders *h, unsigned kind)
{
	uint32_t host = h->holder[heaviest(&h->host[kind])].weight;
	uint32_t network = h->holder[heaviest(&h->network[kind])].weight;

	return host > network ? host : network;
}

/* In turn: the client that comes first goes behind the others. */
static uint32_t turn_of(struct holders *h, uint32_t network)
{
	uint32_t i = h->holder[network].oldest;

	network_remove(h, i);
	network_append(h, i);
	return i;
}

uint32_t holders_yielding(struct holders *h, unsigned kind)
{
	uint32_t host = heaviest(&h->host[kind]), network = heaviest(&h->network[kind]);

	if (network && h->holder[host].weight < h->holder[network].weight / HOLDERS_PART)
		host = turn_of(h, network);
	return h->holder[host].oldest;
}
