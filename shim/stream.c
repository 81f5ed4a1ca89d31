// SPDX-License-Identifier: GPL-2.0-or-later
#include "stream.h"

#include "dns.h"
#include "iov.h"

#include <string.h>

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

void stream_reset(struct stream *s, const struct stream_store *store)
{
	if (s->held)
		store->give(s->held);
	*s = (struct stream){0};
}

/* A TLS record of a handshake: type 22, version 3.x (RFC 8446, section 5.1), read as a length and an ID. */
static bool is_tls(uint16_t length, const uint8_t *head)
{
	return length == (TLS_HANDSHAKE << 8 | 3) && head[0] <= 4;
}

/*
 * Is this still DNS? Each message whose header is all there must look like one: what was mistaken for DNS at first, or
 * has become something else, is left alone from there on.
 */
static void judge(struct stream *s, const uint8_t *head, size_t have)
{
	if (s->alien || (have < DNS_HEADER_LEN && have < s->length))
		return;
	if (!dns_plausible(head, have) || (!s->synced && is_tls(s->length, head)))
		s->alien = true;
	else
		s->synced = true;
}

static void next_message(struct stream *s, const struct stream_store *store)
{
	if (s->held)
		store->give(s->held);
	s->held = NULL;
	s->length_bytes = 0;
	s->length = s->seen = 0;
}

static void feed_length(struct stream *s, uint8_t byte)
{
	s->length = (uint16_t)(s->length << 8 | byte);
	s->length_bytes++;
}

/* Keeps a piece of a message, as far as there is room. */
static void hold(struct stream *s, const struct stream_store *store, const uint8_t *data, size_t n)
{
	if (!s->seen)
		s->held = store->take();
	if (s->held && s->seen < STREAM_HELD_MAX)
		memcpy(s->held + s->seen, data, least(n, (size_t)STREAM_HELD_MAX - s->seen));
}

static void deliver(struct stream *s, const uint8_t *msg, size_t have, stream_message_fn *fn,
		    void *ctx)
{
	judge(s, msg, have);
	if (!s->alien)
		fn(ctx, msg, have, s->length);
}

/* One piece of the message under way, of n bytes; it may be the whole. */
static void feed_piece(struct stream *s, const struct stream_store *store, const uint8_t *data,
		       size_t n, stream_message_fn *fn, void *ctx)
{
	bool whole = n == s->length, last = s->seen + n == s->length;

	if (!whole)
		hold(s, store, data, n);
	s->seen = (uint16_t)(s->seen + n);
	if (!last)
		return;
	if (whole)
		deliver(s, data, n, fn, ctx);
	else if (s->held)
		deliver(s, s->held, least(s->length, STREAM_HELD_MAX), fn, ctx);
	next_message(s, store);
}

void stream_feed(struct stream *s, const struct stream_store *store, const uint8_t *data,
		 size_t len, stream_message_fn *fn, void *ctx)
{
	while (len && !s->alien) {
		if (s->length_bytes < 2) {
			feed_length(s, *data++);
			len--;
		} else {
			size_t n = least(len, (size_t)s->length - s->seen);

			feed_piece(s, store, data, n, fn, ctx);
			data += n;
			len -= n;
		}
		if (s->length_bytes == 2 && !s->length)
			s->alien = true; /* no DNS message is empty */
	}
}

void stream_walk(struct stream *s, const struct iovec *iov, size_t count, size_t limit,
		 stream_start_fn *fn, void *ctx)
{
	size_t pos = 0, start = 0;

	while (pos < limit && !s->alien) {
		if (s->length_bytes < 2) {
			uint8_t byte;

			if (!s->length_bytes)
				start = pos;
			if (!iov_gather(iov, count, pos, &byte, 1))
				return;
			feed_length(s, byte);
			pos++;
			if (s->length_bytes == 2 && !s->length)
				s->alien = true;
			continue;
		}
		if (!s->seen) {
			uint8_t head[DNS_HEAD_MAX];
			size_t have = least(least(s->length, sizeof(head)), limit - pos);

			have = iov_gather(iov, count, pos, head, have);
			judge(s, head, have);
			if (s->alien || (fn && !fn(ctx, head, have, start)))
				return;
		}
		size_t n = least(limit - pos, (size_t)s->length - s->seen);

		s->seen = (uint16_t)(s->seen + n);
		pos += n;
		if (s->seen == s->length) {
			s->length_bytes = 0;
			s->length = s->seen = 0;
			start = pos;
		}
	}
}

/* ---- TLS ---- */

enum { RECORD_HEAD = 5 }; /* type, version in two bytes, length in two */

bool stream_is_tls(const struct stream *s, const struct iovec *iov, size_t count)
{
	uint8_t head[3];

	if (s->tls || s->alien || s->synced || s->length_bytes)
		return s->tls;
	return iov_gather(iov, count, 0, head, sizeof(head)) == sizeof(head) &&
	       is_tls((uint16_t)(head[0] << 8 | head[1]), head + 2);
}

/* One byte of a record's header. What does not look like one ends the following. */
static void feed_record_head(struct stream *s, uint8_t byte)
{
	bool good = true;

	if (s->length_bytes == 0) {
		good = byte >= TLS_CHANGE_CIPHER && byte < TLS_TYPES_END;
		s->synced = s->tls == TLS_CHANGE_CIPHER;
		s->tls = byte;
	} else if (s->length_bytes == 1) {
		good = byte == 3;
	} else if (s->length_bytes > 2) {
		s->length = (uint16_t)(s->length << 8 | byte);
	}
	s->length_bytes++;
	if (!good)
		s->tls = 0;
}

static void next_record(struct stream *s)
{
	s->length_bytes = 0;
	s->length = s->seen = 0;
}

void stream_records(struct stream *s, const struct iovec *iov, size_t count, size_t limit,
		    stream_record_fn *fn, void *ctx)
{
	size_t start = 0;

	if (!s->alien)
		s->tls = TLS_HANDSHAKE;
	s->alien = true;
	for (size_t pos = 0; pos < limit && s->tls;) {
		uint8_t byte;

		if (s->length_bytes == RECORD_HEAD) {
			size_t n = least(limit - pos, (size_t)s->length - s->seen);

			s->seen = (uint16_t)(s->seen + n);
			pos += n;
			if (s->seen == s->length)
				next_record(s);
			continue;
		}
		if (!s->length_bytes)
			start = pos;
		if (!iov_gather(iov, count, pos++, &byte, 1))
			return;
		feed_record_head(s, byte);
		if (s->length_bytes == RECORD_HEAD && fn &&
		    !fn(ctx, s->synced ? TLS_HANDSHAKE : s->tls, s->length, start))
			return;
	}
}
