// SPDX-License-Identifier: GPL-2.0-or-later
#include "harness.h"
#include "wire.h"

#include "stream.h"

/* ---- a store that counts what is out ---- */

static int held, refused;
static bool store_is_empty;

static uint8_t *take(void)
{
	if (store_is_empty) {
		refused++;
		return NULL;
	}
	held++;
	return malloc(STREAM_HELD_MAX);
}

static void give(uint8_t *p)
{
	assert_non_null(p);
	held--;
	free(p);
}

static const struct stream_store store = {take, give};

static int reset(void **state)
{
	(void)state;
	assert_int_equal(held, 0);
	store_is_empty = false;
	refused = 0;
	return 0;
}

/* ---- messages and streams ---- */

struct bytes {
	size_t len;
	uint8_t at[40000];
};

static void append(struct bytes *b, const void *data, size_t n)
{
	assert_true(n <= sizeof(b->at) - b->len);
	memcpy(b->at + b->len, data, n);
	b->len += n;
}

static void append_message(struct bytes *b, const void *msg, size_t n)
{
	const uint8_t prefix[2] = {(uint8_t)(n >> 8), (uint8_t)n};

	append(b, prefix, 2);
	append(b, msg, n);
}

static void append_query(struct bytes *b, unsigned id, const char *name)
{
	static struct wire w;

	wire_message(&w, id, WIRE_RD, name, 1);
	append_message(b, w.bytes, w.len);
}

/* A message of that length: a query with bytes behind it that tell places apart. */
static void append_long_query(struct bytes *b, unsigned id, size_t length)
{
	static uint8_t msg[40000];
	static struct wire w;

	for (size_t i = 0; i < length; i++)
		msg[i] = (uint8_t)(i * 31 >> 3);
	wire_message(&w, id, WIRE_RD, "long.example", 1);
	memcpy(msg, w.bytes, w.len);
	append_message(b, msg, length);
}

enum { DELIVERED = 16 };

struct delivered {
	unsigned count;
	struct {
		size_t have, length;
		uint8_t bytes[STREAM_HELD_MAX];
	} message[DELIVERED];
};

static void deliver(void *ctx, const uint8_t *msg, size_t have, size_t length)
{
	struct delivered *d = ctx;

	assert_true(d->count < DELIVERED);
	assert_true(have <= length);
	d->message[d->count].have = have;
	d->message[d->count].length = length;
	memcpy(d->message[d->count].bytes, msg, have < STREAM_HELD_MAX ? have : STREAM_HELD_MAX);
	d->count++;
}

/* Feeds from memory that ends where the piece ends. */
static void feed(struct stream *s, const uint8_t *data, size_t n, struct delivered *d)
{
	uint8_t *piece = exact_copy(data, n);

	stream_feed(s, &store, piece, n, deliver, d);
	free(piece);
}

static void assert_delivered(const struct delivered *x, const struct delivered *y)
{
	assert_int_equal(x->count, y->count);
	for (unsigned i = 0; i < x->count; i++) {
		assert_int_equal(x->message[i].have, y->message[i].have);
		assert_int_equal(x->message[i].length, y->message[i].length);
		assert_memory_equal(x->message[i].bytes, y->message[i].bytes, x->message[i].have);
	}
}

struct started {
	unsigned count, stop_at; /* 0: never */
	struct {
		size_t have, offset;
		uint8_t head[DNS_HEAD_MAX];
	} start[DELIVERED];
};

static bool start(void *ctx, const uint8_t *head, size_t have, size_t offset)
{
	struct started *d = ctx;

	assert_true(d->count < DELIVERED && have <= DNS_HEAD_MAX);
	d->start[d->count].have = have;
	d->start[d->count].offset = offset;
	memcpy(d->start[d->count].head, head, have);
	return ++d->count != d->stop_at;
}

static void walk(struct stream *s, uint8_t *data, size_t n, struct started *d)
{
	uint8_t *copy = exact_copy(data, n);
	struct iovec one = {copy, n};

	stream_walk(s, &one, 1, n, start, d);
	free(copy);
}

/* ---- reading ---- */

static void several_in_one(void **state)
{
	static struct bytes b;
	static struct delivered d;
	struct stream s = {0};

	(void)state;
	b.len = d.count = 0;
	for (unsigned id = 0; id < 5; id++)
		append_query(&b, id, "www.example.com");
	feed(&s, b.at, b.len, &d);
	assert_int_equal(d.count, 5);
	for (unsigned id = 0; id < 5; id++) {
		assert_int_equal(d.message[id].length, b.len / 5 - 2);
		assert_int_equal(d.message[id].bytes[1], id);
	}
	assert_true(s.synced);
	assert_null(s.held); /* nothing was in pieces */
}

/* Cut into three at every two places: always the same two messages. */
static void every_split(void **state)
{
	static struct bytes b;
	static struct delivered whole, pieces;

	(void)state;
	b.len = whole.count = 0;
	append_query(&b, 1, "www.example.com");
	append_query(&b, 2, "a");
	struct stream s = {0};

	feed(&s, b.at, b.len, &whole);
	assert_int_equal(whole.count, 2);
	for (size_t i = 0; i <= b.len; i++) {
		for (size_t j = i; j <= b.len; j++) {
			pieces.count = 0;
			s = (struct stream){0};
			feed(&s, b.at, i, &pieces);
			feed(&s, b.at + i, j - i, &pieces);
			feed(&s, b.at + j, b.len - j, &pieces);
			assert_delivered(&whole, &pieces);
			assert_int_equal(held, 0); /* before the reset: nothing is under way */
			stream_reset(&s, &store);
		}
	}
}

static void byte_by_byte(void **state)
{
	static struct bytes b;
	static struct delivered whole, pieces;
	struct stream s = {0};

	(void)state;
	b.len = whole.count = pieces.count = 0;
	for (unsigned id = 0; id < 4; id++)
		append_query(&b, id, "www.example.com");
	feed(&s, b.at, b.len, &whole);
	s = (struct stream){0};
	for (size_t i = 0; i < b.len; i++) {
		feed(&s, b.at + i, 1, &pieces);
		assert_true(held == (s.seen > 0));
	}
	assert_delivered(&whole, &pieces);
}

/* Whole, a message is given as it lies; in pieces, as much as is kept. */
static void longer_than_held(void **state)
{
	static const size_t lengths[] = {STREAM_HELD_MAX - 1, STREAM_HELD_MAX, STREAM_HELD_MAX + 1,
					 9000, 32767};
	static struct bytes b;
	static struct delivered d;

	(void)state;
	for (size_t i = 0; i < COUNT(lengths); i++) {
		struct stream s = {0};

		b.len = d.count = 0;
		append_long_query(&b, 7, lengths[i]);
		append_query(&b, 8, "next.example");
		feed(&s, b.at, b.len, &d);
		assert_int_equal(d.count, 2);
		assert_int_equal(d.message[0].have, lengths[i]);
		for (size_t piece = 1; piece < lengths[i]; piece = piece * 3 + 1) {
			d.count = 0;
			for (size_t at = 0; at < b.len; at += piece)
				feed(&s, b.at + at, piece < b.len - at ? piece : b.len - at, &d);
			assert_int_equal(d.count, 2);
			size_t kept = lengths[i] < STREAM_HELD_MAX ? lengths[i] : STREAM_HELD_MAX;

			assert_int_equal(d.message[0].length, lengths[i]);
			assert_int_equal(d.message[0].have, kept);
			assert_memory_equal(d.message[0].bytes, b.at + 2, kept);
			assert_int_equal(d.message[1].bytes[1], 8);
			assert_int_equal(held, 0);
		}
	}
}

static void longest(void **state)
{
	static uint8_t msg[2 + 65535];
	static struct delivered d;
	static struct wire w;
	struct stream s = {0};

	(void)state;
	d.count = 0;
	msg[0] = msg[1] = 0xff;
	wire_message(&w, 9, 0, "longest.example", 1);
	memcpy(msg + 2, w.bytes, w.len);
	for (int round = 0; round < 2; round++) {
		feed(&s, msg, 40000, &d);
		feed(&s, msg + 40000, sizeof(msg) - 40000, &d);
	}
	assert_int_equal(d.count, 2);
	assert_int_equal(d.message[1].length, 65535);
	assert_int_equal(d.message[1].have, STREAM_HELD_MAX);
}

/* Without memory a message in pieces is lost; those around it are not. */
static void store_gives_nothing(void **state)
{
	static struct bytes b;
	static struct delivered d;
	struct stream s = {0};

	(void)state;
	b.len = d.count = 0;
	append_query(&b, 1, "one.example");
	size_t first = b.len;

	append_query(&b, 2, "two.example");
	size_t second = b.len;

	append_query(&b, 3, "three.example");
	store_is_empty = true;
	feed(&s, b.at, first + 20, &d); /* the first, and a piece of the second */
	feed(&s, b.at + first + 20, 3, &d);
	feed(&s, b.at + first + 23, second - first - 23, &d);
	assert_int_equal(d.count, 1);
	assert_int_equal(refused, 1); /* asked once a message */
	feed(&s, b.at + second, b.len - second, &d);
	assert_int_equal(d.count, 2);
	assert_int_equal(d.message[1].bytes[1], 3);
	assert_false(s.alien);
	stream_reset(&s, &store);
}

static void given_back_on_reset(void **state)
{
	static struct bytes b;
	static struct delivered d;
	struct stream s = {0}, start = {0};

	(void)state;
	b.len = d.count = 0;
	append_query(&b, 1, "one.example");
	feed(&s, b.at, 10, &d);
	assert_int_equal(held, 1);
	stream_reset(&s, &store);
	assert_int_equal(held, 0);
	assert_memory_equal(&s, &start, sizeof(s));
	stream_reset(&s, &store); /* and once more does no harm */
	feed(&s, b.at, b.len, &d);
	assert_int_equal(d.count, 1);
}

static const uint8_t tls_hello[] = {0x16, 0x03, 0x01, 0x00, 0xf8, 0x01, 0x00, 0x00, 0xf4,
				    0x03, 0x03, 0x55, 0xaa, 0x01, 0x02, 0x03, 0x04, 0x05};

/* The first message decides. TLS looks like one of 5,635 bytes (0x1603), in whichever pieces it
 * comes. */
static void alien_protocols(void **state)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
	static struct bytes b;
	static struct delivered d;

	(void)state;
	for (size_t piece = 1; piece < 9000; piece = piece * 2 + 1) {
		struct stream s = {0};

		b.len = d.count = 0;
		append(&b, tls_hello, sizeof(tls_hello));
		memset(b.at + b.len, 0x17, 8000);
		b.len += 8000;
		for (size_t at = 0; at < b.len; at += piece)
			feed(&s, b.at + at, piece < b.len - at ? piece : b.len - at, &d);
		assert_true(s.alien);
		assert_int_equal(d.count, 0);
		assert_int_equal(held, 0);
	}
	struct stream s = {0};

	b.len = d.count = 0;
	append(&b, http, sizeof(http) - 1);
	for (int i = 0; i < 600; i++) /* 0x4745 bytes in all */
		append(&b, http, sizeof(http) - 1);
	feed(&s, b.at, b.len, &d);
	assert_true(s.alien);
	assert_int_equal(d.count, 0);
}

/*
 * A TLS record's length becomes ID and flags. Some lengths read as an answer or as another opcode,
 * none as a query.
 */
static void no_query(void *ctx, const uint8_t *msg, size_t have, size_t length)
{
	struct sip_key key = {0};
	struct dns_message m;

	(void)length;
	if (dns_parse(&key, msg, have, &m) && !m.answer)
		++*(unsigned *)ctx;
}

static void tls_of_any_length(void **state)
{
	static uint8_t hello[8192];

	(void)state;
	memcpy(hello, tls_hello, sizeof(tls_hello));
	for (unsigned length = 40; length < 16384; length++) {
		struct stream s = {0};
		unsigned body = length - 4, queries = 0;

		hello[3] = (uint8_t)(length >> 8);
		hello[4] = (uint8_t)length;
		hello[6] = 0;
		hello[7] = (uint8_t)(body >> 8);
		hello[8] = (uint8_t)body;
		stream_feed(&s, &store, hello, sizeof(hello), no_query, &queries);
		if (queries)
			fail_msg("a hello of %u bytes passes for a query", length);
		stream_reset(&s, &store);
	}
}

/* A ClientHello as it is on the wire: a record, a handshake message in it, and bytes of anything. */
static void write_hello(uint8_t *at, size_t size, unsigned minor, unsigned record, unsigned body)
{
	memset(at, 0, size); /* what follows looks like a header of DNS as well as can be */
	at[0] = 0x16;
	at[1] = 0x03;
	at[2] = (uint8_t)minor;
	at[3] = (uint8_t)(record >> 8);
	at[4] = (uint8_t)record;
	at[5] = 0x01;
	at[6] = (uint8_t)(body >> 16);
	at[7] = (uint8_t)(body >> 8);
	at[8] = (uint8_t)body;
}

static bool count_start(void *ctx, const uint8_t *head, size_t have, size_t offset)
{
	(void)head;
	(void)have;
	(void)offset;
	++*(unsigned *)ctx;
	return true;
}

static void count_message(void *ctx, const uint8_t *msg, size_t have, size_t length)
{
	(void)msg;
	(void)have;
	(void)length;
	++*(unsigned *)ctx;
}

/* 16 03 0x | length | 01 00 ..: of each version and length, whichever way it goes, never DNS. */
static void tls_hello_is_never_dns(void **state)
{
	static uint8_t hello[6000];

	(void)state;
	for (unsigned minor = 0; minor <= 4; minor++) {
		for (unsigned record = 4; record <= 16384 + 256; record++) {
			struct iovec one = {hello, sizeof(hello)};
			struct stream in = {0}, out = {0};
			unsigned messages = 0;

			/* every other is a hello in several records */
			write_hello(hello, sizeof(hello), minor, record,
				    record % 2 ? record - 4 : record + 1000);
			stream_feed(&in, &store, hello, sizeof(hello), count_message, &messages);
			stream_walk(&out, &one, 1, sizeof(hello), count_start, &messages);
			if (!in.alien || !out.alien || messages)
				fail_msg("a hello of version 3.%u with %u bytes passes", minor,
					 record);
		}
	}
}

/* What reads as DNS but for the first three bytes; cut at every place of its start. */
static void tls_hello_in_pieces(void **state)
{
	static uint8_t hello[6000];
	static struct delivered d;
	static struct wire w;

	(void)state;
	write_hello(hello, sizeof(hello), 1, 200, 196);
	for (size_t cut = 0; cut < 40; cut++) {
		struct stream s = {0};

		d.count = 0;
		feed(&s, hello, cut, &d);
		feed(&s, hello + cut, sizeof(hello) - cut, &d);
		assert_true(s.alien);
		assert_int_equal(d.count, 0);
		assert_int_equal(held, 0);
	}
	for (unsigned minor = 0; minor <= 4; minor++) {
		struct stream s = {0};

		wire_message(&w, minor << 8 | 0x11, WIRE_RD, "www.example.com", 1);
		memset(hello, 0, sizeof(hello));
		hello[0] = 0x16;
		hello[1] = 0x03;
		memcpy(hello + 2, w.bytes, w.len);
		d.count = 0;
		feed(&s, hello, sizeof(hello), &d);
		assert_true(s.alien);
		assert_int_equal(d.count, 0);
	}
}

/* Neither is every message of 0x1603 bytes: with other IDs, or behind a message that is DNS. */
static void dns_as_long_as_a_hello(void **state)
{
	static struct bytes b;
	static struct delivered d;
	static struct started started;

	(void)state;
	for (int behind = 0; behind < 2; behind++) {
		struct stream s = {0}, out = {0};
		struct iovec one = {b.at, 0};

		b.len = d.count = 0;
		if (behind)
			append_query(&b, 1, "www.example.com");
		append_long_query(&b, behind ? 0x0101 : 0x0501, 0x1603);
		feed(&s, b.at, b.len, &d);
		assert_false(s.alien);
		assert_int_equal(d.count, behind + 1);
		assert_int_equal(d.message[behind].length, 0x1603);
		started = (struct started){0};
		one.iov_len = b.len;
		stream_walk(&out, &one, 1, b.len, start, &started);
		assert_false(out.alien);
		assert_int_equal(started.count, behind + 1);
	}
}

/* After that, nothing that looks like DNS is taken for it. */
static void alien_for_good(void **state)
{
	static const uint8_t little[] = {0, 3, 'a', 'b', 'c'};
	static struct bytes b;
	static struct delivered d;
	struct stream s = {0};

	(void)state;
	b.len = d.count = 0;
	append(&b, little, sizeof(little)); /* shorter than a header */
	append_query(&b, 1, "www.example.com");
	feed(&s, b.at, b.len, &d);
	assert_true(s.alien);
	assert_int_equal(d.count, 0);
	feed(&s, b.at + sizeof(little), b.len - sizeof(little), &d);
	assert_int_equal(d.count, 0);
}

/* What looks like no DNS message ends it: perhaps it never was DNS. */
static void odd_message_in_step(void **state)
{
	static struct bytes b;
	static struct delivered d;
	struct stream s = {0};

	(void)state;
	b.len = d.count = 0;
	append_query(&b, 1, "www.example.com");
	append_message(&b, "\x00\x01\x18\x00 an opcode of 3", 18);
	append_query(&b, 2, "www.example.com");
	feed(&s, b.at, b.len, &d);
	assert_int_equal(d.count, 1);
	assert_true(s.alien);
}

/* Each message is judged, not the first alone: what is odd in the middle ends it, in whichever pieces it comes. */
static void each_message_is_judged(void **state)
{
	static const char *const odd[] = {
		"\x00\x01\x18\x00\x00\x01\x00\x00\x00\x00\x00\x00", /* opcode 3 */
		"\x00\x01\x78\x00\x00\x01\x00\x00\x00\x00\x00\x00", /* opcode 15 */
		"\x00\x01\x01\x00\x00\x02\x00\x00\x00\x00\x00\x00", /* two questions */
		"\x00\x01\x01\x03\x00\x01\x00\x00\x00\x00\x00\x00", /* a query's error */
		"\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\x00\x00", /* a query's answer */
		"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00",	    /* 11 bytes */
		"\x00",
	};
	static const size_t lengths[] = {12, 12, 12, 12, 12, 11, 1};
	static struct bytes b;
	static struct delivered d;
	static struct started started;

	(void)state;
	for (size_t kind = 0; kind < COUNT(odd); kind++) {
		for (unsigned before = 0; before < 4; before++) {
			b.len = 0;
			for (unsigned id = 0; id < before; id++)
				append_query(&b, id, "www.example.com");
			size_t at = b.len;

			append_message(&b, odd[kind], lengths[kind]);
			append_query(&b, 9, "www.example.com");
			for (size_t cut = at; cut <= b.len; cut++) {
				struct stream s = {0};

				d.count = 0;
				feed(&s, b.at, cut, &d);
				feed(&s, b.at + cut, b.len - cut, &d);
				assert_true(s.alien);
				assert_int_equal(d.count, before);
				assert_int_equal(held, 0);
			}
			struct stream s = {0};

			started = (struct started){0};
			walk(&s, b.at, b.len, &started);
			assert_true(s.alien);
			assert_int_equal(started.count, before);
			walk(&s, b.at, b.len, &started); /* for good */
			assert_int_equal(started.count, before);
		}
	}
}

static void length_of_zero(void **state)
{
	static const uint8_t zero[2];
	static struct bytes b;
	static struct delivered d;

	(void)state;
	for (int in_step = 0; in_step < 2; in_step++) {
		for (size_t cut = 0; cut < 3; cut++) {
			struct stream s = {0};

			b.len = d.count = 0;
			if (in_step)
				append_query(&b, 1, "www.example.com");
			size_t at = b.len + cut;

			append(&b, zero, 2);
			append_query(&b, 2, "www.example.com");
			feed(&s, b.at, at, &d);
			feed(&s, b.at + at, b.len - at, &d);
			assert_true(s.alien);
			assert_int_equal(d.count, in_step);
			assert_int_equal(held, 0);
		}
	}
}

/* ---- writing ---- */

/* Three messages pipelined, and where each starts. */
static size_t pipelined(struct bytes *b, size_t offset[3])
{
	b->len = 0;
	for (unsigned id = 0; id < 3; id++) {
		static const char *const names[] = {"one.example", "b", "three.example.com"};

		offset[id] = b->len;
		append_query(b, id, names[id]);
	}
	return b->len;
}

static void walk_pipelined(void **state)
{
	static struct bytes b;
	static struct started d;
	struct stream s = {0};
	size_t offset[3], total = pipelined(&b, offset);

	(void)state;
	d = (struct started){0};
	walk(&s, b.at, total, &d);
	assert_int_equal(d.count, 3);
	for (unsigned i = 0; i < 3; i++) {
		size_t next = i < 2 ? offset[i + 1] : total;

		assert_int_equal(d.start[i].offset, offset[i]);
		assert_int_equal(d.start[i].have, next - offset[i] - 2);
		assert_memory_equal(d.start[i].head, b.at + offset[i] + 2, d.start[i].have);
	}
	assert_int_equal(s.length_bytes, 0);
	assert_true(s.synced);
	assert_null(s.held);
}

/* A vector of three pieces, cut at every two places: always the same starts. */
static void walk_every_vector(void **state)
{
	static struct bytes b;
	static struct started whole, pieces;
	struct stream s = {0};
	size_t offset[3], total = pipelined(&b, offset);

	(void)state;
	whole = (struct started){0};
	walk(&s, b.at, total, &whole);
	for (size_t i = 0; i <= total; i++) {
		for (size_t j = i; j <= total; j++) {
			struct iovec iov[3] = {{exact_copy(b.at, i), i},
					       {exact_copy(b.at + i, j - i), j - i},
					       {exact_copy(b.at + j, total - j), total - j}};

			pieces = (struct started){0};
			s = (struct stream){0};
			stream_walk(&s, iov, 3, total, start, &pieces);
			assert_memory_equal(&whole, &pieces, sizeof(whole));
			for (int k = 0; k < 3; k++)
				free(iov[k].iov_base);
		}
	}
}

/* Two writes, the second from every place behind the first header: the same starts, each once. */
static void walk_every_two_writes(void **state)
{
	static struct bytes b;
	static struct started d;
	size_t offset[3], total = pipelined(&b, offset);

	(void)state;
	for (size_t i = 2 + DNS_HEADER_LEN; i <= total; i++) {
		struct stream s = {0};

		d = (struct started){0};
		walk(&s, b.at, i, &d);
		unsigned first = d.count;

		walk(&s, b.at + i, total - i, &d);
		assert_int_equal(d.count, 3);
		assert_false(s.alien);
		for (unsigned k = 0; k < 3; k++) {
			/* where the prefix is in this write; 0 where it, or half of it, was written
			 * before */
			size_t expected = k < first ? offset[k] : offset[k] < i ? 0 : offset[k] - i;

			if (d.start[k].offset != expected)
				fail_msg("cut at %zu: message %u starts at %zu", i, k,
					 d.start[k].offset);
		}
	}
}

/* The first message cut within its prefix or its header: still DNS, and known to have started. */
static void walk_first_header_in_pieces(void **state)
{
	static struct bytes b;
	static struct started d;
	size_t offset[3], total = pipelined(&b, offset);

	(void)state;
	for (size_t i = 0; i < 2 + DNS_HEADER_LEN; i++) {
		struct stream s = {0};

		d = (struct started){0};
		walk(&s, b.at, i, &d);
		walk(&s, b.at + i, total - i, &d);
		if (s.alien)
			fail_msg("%zu bytes written first: taken for alien", i);
		if (d.count != 3)
			fail_msg("%zu bytes written first: %u of 3 messages started", i, d.count);
	}
}

static void walk_prefix_alone(void **state)
{
	static struct bytes b;
	static struct started d;
	struct stream s = {0};

	(void)state;
	d = (struct started){0};
	b.len = 0;
	append_query(&b, 1, "www.example.com");
	for (unsigned i = 1; i <= 3; i++) {
		walk(&s, b.at, 2, &d);
		assert_int_equal(d.count, i - 1); /* no message yet */
		walk(&s, b.at + 2, b.len - 2, &d);
		assert_int_equal(d.count, i);
		assert_int_equal(d.start[i - 1].offset, 0);
		assert_int_equal(d.start[i - 1].have, b.len - 2);
	}
}

/* The kernel took only a part: what is behind it did not start. */
static void walk_limit(void **state)
{
	static struct bytes b;
	static struct started d;
	size_t offset[3], total = pipelined(&b, offset);
	struct iovec one = {b.at, total};

	(void)state;
	for (size_t limit = 2 + DNS_HEADER_LEN; limit <= total; limit++) {
		struct stream s = {0};
		unsigned expected = 0;

		for (unsigned k = 0; k < 3; k++)
			expected += limit > offset[k] + 2;
		d = (struct started){0};
		stream_walk(&s, &one, 1, limit, start, &d);
		assert_int_equal(d.count, expected);
		assert_true(d.start[expected - 1].have <= limit - offset[expected - 1] - 2);
	}
}

static void walk_stops(void **state)
{
	static struct bytes b;
	static struct started d;
	struct stream s = {0};
	size_t offset[3], total = pipelined(&b, offset);

	(void)state;
	d = (struct started){.stop_at = 2};
	walk(&s, b.at, total, &d);
	assert_int_equal(d.count, 2);
	struct stream t = {0};
	struct iovec one = {b.at, total};

	stream_walk(&t, &one, 1, total, NULL, NULL); /* only the state moves */
	assert_int_equal(t.length_bytes, 0);
	assert_true(t.synced);
}

static void walk_long_head(void **state)
{
	static struct bytes b;
	static struct started d;
	struct stream s = {0};

	(void)state;
	b.len = 0;
	d = (struct started){0};
	append_long_query(&b, 1, 30000);
	append_query(&b, 2, "next.example");
	walk(&s, b.at, b.len, &d);
	assert_int_equal(d.count, 2);
	assert_int_equal(d.start[0].have, DNS_HEAD_MAX);
	assert_int_equal(d.start[1].offset, 30002);
}

static void walk_alien(void **state)
{
	static struct bytes b;
	static struct started d;
	struct stream s = {0};

	(void)state;
	b.len = 0;
	d = (struct started){0};
	append(&b, tls_hello, sizeof(tls_hello));
	walk(&s, b.at, b.len, &d);
	assert_true(s.alien);
	assert_int_equal(d.count, 0);
	s = (struct stream){0};
	walk(&s, (uint8_t[]){0, 0, 0}, 3, &d);
	assert_true(s.alien);
	assert_int_equal(d.count, 0);
}

/* ---- TLS records ---- */

struct records {
	unsigned count, most; /* stops after that many */
	uint8_t type[8];
	uint16_t length[8];
	size_t offset[8];
};

static bool record(void *ctx, uint8_t type, uint16_t length, size_t offset)
{
	struct records *r = ctx;

	assert_true(r->count < 8);
	r->type[r->count] = type;
	r->length[r->count] = length;
	r->offset[r->count++] = offset;
	return !r->most || r->count < r->most;
}

static void append_record(struct bytes *b, uint8_t type, uint16_t length)
{
	const uint8_t head[5] = {type, 3, 3, (uint8_t)(length >> 8), (uint8_t)length};
	static const uint8_t body[300];

	append(b, head, sizeof(head));
	append(b, body, length);
}

/* A handshake of TLS 1.3, then two records of data. */
static void append_session(struct bytes *b)
{
	append_record(b, 22, 200);
	append_record(b, 20, 1);
	append_record(b, 23, 69); /* says that it is data, and finishes the handshake */
	append_record(b, 23, 147);
	append_record(b, 23, 60);
}

static const struct records whole = {
	.count = 5,
	.type = {22, 20, 22, 23, 23},
	.length = {200, 1, 69, 147, 60},
	.offset = {0, 205, 211, 285, 437},
};

static void records_in_one(void **state)
{
	static struct bytes b;
	struct stream s = {0};
	struct records r = {0};
	(void)state;

	b.len = 0;
	append_session(&b);
	const struct iovec one = {b.at, b.len};

	assert_true(stream_is_tls(&s, &one, 1));
	stream_records(&s, &one, 1, b.len, record, &r);
	assert_memory_equal(&r, &whole, sizeof(r));
	assert_true(s.alien); /* it is no DNS */
	assert_true(stream_is_tls(&s, &one, 1));
	assert_int_equal(s.length_bytes, 0);
}

/* However it is cut, each record is seen once, where its header is complete. */
static void records_in_two_writes(void **state)
{
	static struct bytes b;
	(void)state;

	b.len = 0;
	append_session(&b);
	for (size_t cut = 3; cut < b.len; cut++) {
		const struct iovec first = {b.at, cut}, rest = {b.at + cut, b.len - cut};
		struct stream s = {0};
		struct records r = {0};

		assert_true(stream_is_tls(&s, &first, 1));
		stream_records(&s, &first, 1, cut, record, &r);
		unsigned before = r.count;

		stream_records(&s, &rest, 1, rest.iov_len, record, &r);
		assert_int_equal(r.count, 5);
		assert_memory_equal(r.type, whole.type, 5);
		for (unsigned i = 0; i < 5; i++) {
			size_t at = whole.offset[i];

			assert_int_equal(r.length[i], whole.length[i]);
			if (i < before)
				assert_int_equal(r.offset[i], at);
			else
				assert_int_equal(r.offset[i], at < cut ? 0 : at - cut);
		}
	}
}

static void records_stop_and_go_on(void **state)
{
	static struct bytes b;
	struct stream s = {0}, ahead;
	struct records r = {.most = 4};
	(void)state;

	b.len = 0;
	append_session(&b);
	const struct iovec one = {b.at, b.len};

	ahead = s;
	stream_records(&ahead, &one, 1, b.len, record, &r);
	assert_int_equal(r.count, 4);
	stream_records(&s, &one, 1, whole.offset[3], NULL, NULL); /* only the state moves */
	r = (struct records){0};
	const struct iovec rest = {b.at + whole.offset[3], b.len - whole.offset[3]};

	stream_records(&s, &rest, 1, rest.iov_len, record, &r);
	assert_int_equal(r.count, 2);
	assert_int_equal(r.type[0], 23);
}

/* What is no record any more is not taken for one later either. */
static void records_end(void **state)
{
	static struct bytes b;
	(void)state;

	for (int kind = 0; kind < 2; kind++) {
		struct stream s = {0};
		struct records r = {0};

		b.len = 0;
		append_record(&b, 22, 10);
		append_record(&b, kind ? 23 : 25, 10);
		b.at[16] = kind ? 2 : 3; /* its version */
		append_record(&b, 23, 10);
		const struct iovec one = {b.at, b.len};

		stream_records(&s, &one, 1, b.len, record, &r);
		assert_int_equal(r.count, 1);
		assert_false(stream_is_tls(&s, &one, 1));
	}
}

static void dns_has_no_records(void **state)
{
	static const uint8_t frame[] = {0, 30, 22, 3, 1, 0};
	const struct iovec one = {(void *)frame, sizeof(frame)}, hello = {(void *)(frame + 2), 4};
	struct stream s = {0};
	(void)state;

	assert_false(stream_is_tls(&s, &one, 1));
	assert_true(stream_is_tls(&s, &hello, 1));
	s.synced = true; /* a message has been seen */
	assert_false(stream_is_tls(&s, &hello, 1));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, reset, reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(several_in_one),
		TEST(every_split),
		TEST(byte_by_byte),
		TEST(longer_than_held),
		TEST(longest),
		TEST(store_gives_nothing),
		TEST(given_back_on_reset),
		TEST(alien_protocols),
		TEST(tls_of_any_length),
		TEST(tls_hello_is_never_dns),
		TEST(tls_hello_in_pieces),
		TEST(dns_as_long_as_a_hello),
		TEST(alien_for_good),
		TEST(odd_message_in_step),
		TEST(each_message_is_judged),
		TEST(length_of_zero),
		TEST(walk_pipelined),
		TEST(walk_every_vector),
		TEST(walk_every_two_writes),
		TEST(walk_first_header_in_pieces),
		TEST(walk_prefix_alone),
		TEST(walk_limit),
		TEST(walk_stops),
		TEST(walk_long_head),
		TEST(walk_alien),
		TEST(records_in_one),
		TEST(records_in_two_writes),
		TEST(records_stop_and_go_on),
		TEST(records_end),
		TEST(dns_has_no_records),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
