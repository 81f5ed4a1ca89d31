// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who gives way, against a model of it: a list of entries, each with its client, kind and weight, which is searched from
 * end to end for every question. Whoever is asked to go must be of a client that nobody is heavier than by a step; of a
 * network only where no address holds a part of it.
 *
 * Input: events of two bytes: what and which kind, and which client or entry.
 */
#include "holders.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ENTRIES = 256, EVENTS_MAX = 2000, CLIENTS = 16, WEIGHT_MAX = 38 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct entry {
	bool counted;
	int client;
	unsigned kind, weight;
	long age; /* less: older */
};

static struct entry entry[ENTRIES + 1];
static struct holders holders;
static long newest, oldest;

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* ---- clients ---- */

/* 0 to 3: IPv4; 4, 5: connections; 6, 7: TLS sessions; 8 to 11 in one IPv6 network, 12 to 15 in another. */
static int network_of(int client)
{
	return client < 8 ? -1 : client / 4;
}

static struct attrib_owner owner(int client)
{
	struct attrib_owner o;

	memset(&o, 0, sizeof(o));
	o.flow.client.port = (uint16_t)newest; /* matters to nobody */
	if (client < 4) {
		o.flow.client.family = AF_INET;
		o.flow.client.addr[client] = 1;
	} else if (client < 6) {
		o.fd = 3;
		o.fd_gen = (uint32_t)client;
	} else if (client < 8) {
		o.session = (uint32_t)client;
	} else {
		o.flow.client.family = AF_INET6;
		o.flow.client.addr[7] = (uint8_t)network_of(client);
		o.flow.client.addr[15] = (uint8_t)client;
	}
	return o;
}

/* ---- the model ---- */

static unsigned held(int client, unsigned kind)
{
	unsigned sum = 0;

	for (int i = 1; i <= ENTRIES; i++)
		if (entry[i].counted && entry[i].client == client && entry[i].kind == kind)
			sum += entry[i].weight;
	return sum;
}

static unsigned held_by_network(int network, unsigned kind)
{
	unsigned sum = 0;

	for (int client = 0; client < CLIENTS; client++)
		sum += network_of(client) == network ? held(client, kind) : 0;
	return sum;
}

static unsigned most_of_clients(unsigned kind)
{
	unsigned most = 0;

	for (int client = 0; client < CLIENTS; client++)
		most = held(client, kind) > most ? held(client, kind) : most;
	return most;
}

static unsigned most_of_networks(unsigned kind)
{
	unsigned most = 0;

	for (int client = 8; client < CLIENTS; client += 4) {
		unsigned sum = held_by_network(network_of(client), kind);

		most = sum > most ? sum : most;
	}
	return most;
}

static bool is_oldest(uint32_t i)
{
	for (int other = 1; other <= ENTRIES; other++)
		if (entry[other].counted && entry[other].client == entry[i].client &&
		    entry[other].kind == entry[i].kind && entry[other].age < entry[i].age)
			return false;
	return true;
}

/* Of the same step as the heaviest, or the heaviest. */
static bool heavy_as(unsigned weight, unsigned most)
{
	return weight / HOLDERS_STEP == most / HOLDERS_STEP;
}

static void check(unsigned kind)
{
	unsigned client = most_of_clients(kind), network = most_of_networks(kind);
	unsigned most = holders_most(&holders, kind), seen = client > network ? client : network;
	uint32_t i = holders_yielding(&holders, kind);

	require(seen < HOLDERS_STEP ? !most : heavy_as(most, seen) && most <= seen);
	if (seen < HOLDERS_STEP) {
		require(!i);
		return;
	}
	require(i && i <= ENTRIES && entry[i].counted && entry[i].kind == kind && is_oldest(i));
	bool of_heaviest = client >= HOLDERS_STEP && heavy_as(held(entry[i].client, kind), client);
	bool of_network = network_of(entry[i].client) >= 0 &&
			  client / HOLDERS_STEP * HOLDERS_STEP < network / HOLDERS_PART + 1 &&
			  heavy_as(held_by_network(network_of(entry[i].client), kind), network);

	require(of_heaviest || of_network);
	if (client >= network / HOLDERS_PART + HOLDERS_STEP)
		require(of_heaviest);
}

/* ---- events ---- */

static void add(int client, unsigned kind, unsigned weight, enum holders_end end)
{
	struct attrib_owner o = owner(client);
	uint32_t i = 1;

	while (i <= ENTRIES && entry[i].counted)
		i++;
	if (i > ENTRIES)
		return;
	holders_add(&holders, i, &o, kind, weight, end);
	holders_add(&holders, i, &o, kind, weight, end); /* counted already: nothing happens */
	entry[i] = (struct entry){true, client, kind, weight,
				  end == HOLDERS_NEWEST ? ++newest : --oldest};
}

static void take_away(uint32_t i)
{
	holders_remove(&holders, i);
	entry[i].counted = false;
}

static void step(uint8_t what, uint8_t which)
{
	unsigned kind = what >> 2 & 3;

	kind = kind < HOLDERS_KINDS ? kind : 0;
	switch (what & 3) {
	case 0:
		add(which % CLIENTS, kind,
		    1U + (unsigned)(what >> 4 | (which >> 2 & 32)) % WEIGHT_MAX, HOLDERS_NEWEST);
		break;
	case 1:
		add(which % CLIENTS, kind, 1 + (which >> 4), HOLDERS_OLDEST);
		break;
	case 2:
		take_away(1 + which);
		break;
	default:
		if (what == 0xff && which == 0xff) {
			holders_empty(&holders, ENTRIES);
			memset(entry, 0, sizeof(entry));
		} else {
			uint32_t i =
				holders_yielding(&holders, kind); /* as when the table is full */

			if (i)
				take_away(i);
		}
	}
	for (kind = 0; kind < HOLDERS_KINDS; kind++)
		check(kind);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct sip_key key = {1, 2};
	size_t bytes = holders_size(ENTRIES, ENTRIES * WEIGHT_MAX);

	if (size > (size_t)2 * EVENTS_MAX)
		return 0;
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	memset(&holders, 0, sizeof(holders));
	memset(entry, 0, sizeof(entry));
	newest = oldest = 0;
	holders_init(&holders, memory, ENTRIES, ENTRIES * WEIGHT_MAX, &key);
	for (size_t at = 0; at + 2 <= size; at += 2)
		step(data[at], data[at + 1]);
	munmap(memory, bytes);
	return 0;
}
