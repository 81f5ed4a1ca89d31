// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A stream in pieces that the input chooses says the same as the stream at once, in both
 * directions.
 *
 * Input: how many cuts, that many bytes with the length of a piece each, and the stream.
 */
#include "dns.h"
#include "stream.h"

#include <stdlib.h>
#include <string.h>

enum { CUTS_MAX = 32, MESSAGES_MAX = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int held;

static void require(bool holds)
{
	if (!holds)
		abort();
}

static uint8_t *take(void)
{
	held++;
	return malloc(STREAM_HELD_MAX);
}

static void give(uint8_t *p)
{
	held--;
	free(p);
}

static const struct stream_store store = {take, give};

/* What was delivered; bytes: as many as must be there however the message came. */
struct message {
	size_t have, length;
	uint64_t hash;
};

struct delivered {
	size_t count;
	struct message message[MESSAGES_MAX];
};

static const struct sip_key key = {1, 2};

static void deliver(void *ctx, const uint8_t *msg, size_t have, size_t length)
{
	struct delivered *d = ctx;
	size_t least = length < STREAM_HELD_MAX ? length : STREAM_HELD_MAX;

	require(length > 0 && have <= length && have >= least);
	if (d->count < MESSAGES_MAX)
		d->message[d->count] =
			(struct message){least, length, siphash13(&key, 0, msg, least)};
	d->count++;
}

static bool same(const struct delivered *x, const struct delivered *y)
{
	size_t n = x->count < MESSAGES_MAX ? x->count : MESSAGES_MAX;

	return x->count == y->count &&
	       memcmp(x->message, y->message, n * sizeof(x->message[0])) == 0;
}

static void check_feed(const uint8_t *stream, size_t size, const uint8_t *cut, size_t cuts)
{
	static struct delivered whole, pieces;
	struct stream s = {0};
	size_t at = 0;

	whole.count = pieces.count = 0;
	stream_feed(&s, &store, stream, size, deliver, &whole);
	bool alien = s.alien;

	stream_reset(&s, &store);
	require(held == 0);
	for (size_t i = 0; i < cuts && at < size; i++) {
		size_t n = cut[i] < size - at ? cut[i] : size - at;
		uint8_t *piece = malloc(n ? n : 1);

		if (!piece)
			abort();
		memcpy(piece, stream + at, n);
		stream_feed(&s, &store, piece, n, deliver, &pieces);
		free(piece);
		at += n;
	}
	stream_feed(&s, &store, stream + at, size - at, deliver, &pieces);
	require(s.alien == alien && same(&whole, &pieces));
	stream_reset(&s, &store);
	require(held == 0);
}

struct start {
	size_t have, offset;
	uint64_t hash;
};

struct started {
	size_t count, limit;
	struct start start[MESSAGES_MAX];
};

static bool started(void *ctx, const uint8_t *head, size_t have, size_t offset)
{
	struct started *d = ctx;

	require(have > 0 && have <= DNS_HEAD_MAX && offset < d->limit);
	if (d->count < MESSAGES_MAX)
		d->start[d->count] = (struct start){have, offset, siphash13(&key, 0, head, have)};
	d->count++;
	return true;
}

/* One write of a vector of pieces is the same as one write of one piece. */
static void check_walk(const uint8_t *stream, size_t size, const uint8_t *cut, size_t cuts)
{
	static struct started whole, pieces;
	struct iovec one = {(void *)(uintptr_t)stream, size}, iov[CUTS_MAX + 1];
	struct stream s = {0}, t = {0};
	size_t at = 0, count = 0;

	whole = (struct started){.limit = size};
	pieces = (struct started){.limit = size};
	stream_walk(&s, &one, 1, size, started, &whole);
	for (size_t i = 0; i < cuts; i++) {
		size_t n = cut[i] < size - at ? cut[i] : size - at;

		iov[count++] = (struct iovec){(void *)(uintptr_t)(stream + at), n};
		at += n;
	}
	iov[count++] = (struct iovec){(void *)(uintptr_t)(stream + at), size - at};
	stream_walk(&t, iov, count, size, started, &pieces);
	size_t n = whole.count < MESSAGES_MAX ? whole.count : MESSAGES_MAX;

	require(s.alien == t.alien && s.seen == t.seen && s.length == t.length);
	require(whole.count == pieces.count &&
		memcmp(whole.start, pieces.start, n * sizeof(whole.start[0])) == 0);
}

/*
 * Two writes leave the same state as one, wherever the second begins behind the first header: but within a later
 * message's header. What is cut there is not judged, for a walk keeps no bytes; the message behind it is.
 */
static void check_walk_again(const uint8_t *stream, size_t size, size_t first)
{
	static struct started ignored;
	struct iovec one = {(void *)(uintptr_t)stream, size};
	struct iovec rest = {(void *)(uintptr_t)(stream + first), size - first};
	struct stream s = {0}, t = {0};

	ignored = (struct started){.limit = SIZE_MAX};
	stream_walk(&s, &one, 1, size, NULL, NULL);
	stream_walk(&t, &one, 1, first, started, &ignored);
	if (!t.alien && t.seen && t.seen < DNS_HEADER_LEN)
		return;
	stream_walk(&t, &rest, 1, size - first, started, &ignored);
	require(s.alien == t.alien && s.seen == t.seen && s.length == t.length &&
		s.length_bytes == t.length_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cuts = size ? data[0] % CUTS_MAX : 0;

	if (size < 1 + cuts)
		return 0;
	const uint8_t *cut = data + 1, *stream = cut + cuts;

	size -= 1 + cuts;
	check_feed(stream, size, cut, cuts);
	check_walk(stream, size, cut, cuts);
	if (cuts && size >= 2U + DNS_HEADER_LEN) {
		size_t first = 2U + DNS_HEADER_LEN + cut[0];

		check_walk_again(stream, size, first < size ? first : size);
	}
	return 0;
}
