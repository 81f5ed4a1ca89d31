// SPDX-License-Identifier: GPL-2.0-or-later
#include "harness.h"
#include "wire.h"

#include "dns.h"

#include <strings.h>

static const struct sip_key key = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};

/* Parses a copy that ends where its memory ends. */
static bool parse_bytes(const uint8_t *bytes, size_t len, struct dns_message *out)
{
	uint8_t *copy = exact_copy(bytes, len);
	bool ok = dns_parse(&key, copy, len, out);

	/* the quick look says the same */
	assert_int_equal(dns_question_end(copy, len), ok ? out->question_end : 0);
	free(copy);
	return ok;
}

static struct dns_message parse(const struct wire *w)
{
	struct dns_message out;

	if (!parse_bytes(w->bytes, w->len, &out))
		fail_msg("a good message is refused");
	return out;
}

static struct dns_message parse_question(const char *name, unsigned type)
{
	static struct wire w;

	wire_message(&w, 4711, WIRE_RD, name, type);
	return parse(&w);
}

static bool same_name(const struct dns_name *x, const struct dns_name *y)
{
	return x->labels == y->labels && dns_name_hash(x) == dns_name_hash(y) &&
	       memcmp(x->suffix, y->suffix, x->labels * sizeof(x->suffix[0])) == 0;
}

static void header_and_question(void **state)
{
	static struct wire w;
	struct dns_message m;

	(void)state;
	wire_message(&w, 0xbeef, WIRE_RD, "www.example.com", 28);
	m = parse(&w);
	assert_int_equal(m.id, 0xbeef);
	assert_int_equal(m.qtype, 28);
	assert_int_equal(m.question_end, w.len);
	assert_int_equal(m.name.labels, 3);
	assert_false(m.answer);
	assert_false(m.truncated);
	assert_false(m.name.underscore);
	wire_message(&w, 1, WIRE_QR | WIRE_TC | 3, "www.example.com", 0xfffe);
	m = parse(&w);
	assert_true(m.answer);
	assert_true(m.truncated);
	assert_int_equal(m.qtype, 0xfffe);
}

static void case_is_folded(void **state)
{
	static const char *const same[] = {"WwW.eXaMpLe.CoM", "WWW.EXAMPLE.COM", "www.example.coM"};
	/* only letters fold: '@' and '`', '[' and '{' differ by the same bit (RFC 4343) */
	static const char *const different[][2] = {
		{"a@.example", "a`.example"},	       {"a[.example", "a{.example"},
		{"a].example", "a}.example"},	       {"a_.example", "a\x7f.example"},
		{"a\xc1.example", "a\xe1.example"},    {"a0.example", "a\x10.example"},
		{"www.example.com", "www.example.co"}, {"ab.c", "a.bc"},
	};
	struct dns_message plain = parse_question("www.example.com", 1);

	(void)state;
	for (size_t i = 0; i < COUNT(same); i++) {
		struct dns_message m = parse_question(same[i], 1);

		assert_true(same_name(&plain.name, &m.name));
	}
	for (size_t i = 0; i < COUNT(different); i++) {
		struct dns_message x = parse_question(different[i][0], 1);
		struct dns_message y = parse_question(different[i][1], 1);

		if (dns_name_hash(&x.name) == dns_name_hash(&y.name))
			fail_msg("%s and %s are the same", different[i][0], different[i][1]);
	}
}

static uint64_t hash_with(const struct sip_key *k, const char *name, unsigned type)
{
	static struct wire w;

	wire_message(&w, 4711, WIRE_RD, name, type);
	return dns_question_hash(k, w.bytes + DNS_HEADER_LEN, w.len - DNS_HEADER_LEN);
}

static uint64_t question_hash(const char *name, unsigned type)
{
	return hash_with(&key, name, type);
}

/* Types 65 and 97 differ as letters of either case do. */
static void questions_in_one_go(void **state)
{
	const struct sip_key other_key = {1, 2};

	(void)state;
	assert_int_equal(question_hash("www.example.com", 1), question_hash("wWw.EXAMPLE.com", 1));
	assert_int_not_equal(question_hash("www.example.com", 65),
			     question_hash("www.example.com", 97));
	assert_int_not_equal(question_hash("www.example.com", 1),
			     question_hash("www.example.net", 1));
	assert_int_not_equal(question_hash("ab.c", 1), question_hash("a.bc", 1));
	assert_int_not_equal(question_hash("", 1), question_hash("", 2));
	assert_int_not_equal(question_hash("www.example.com", 65),
			     hash_with(&other_key, "www.example.com", 65));
}

/* A name's ancestors have the hashes that they have when they are asked for themselves. */
static void suffixes(void **state)
{
	struct dns_message m = parse_question("a.bb.ccc.example.co.uk", 1);
	const char *name = "a.bb.ccc.example.co.uk";

	(void)state;
	assert_int_equal(m.name.labels, 6);
	for (unsigned i = 0; i < m.name.labels; i++) {
		struct dns_message parent = parse_question(name, 1);

		assert_int_equal(parent.name.labels, 6 - i);
		assert_true(m.name.suffix[i] == dns_name_hash(&parent.name));
		for (unsigned j = 0; j < i; j++)
			assert_true(m.name.suffix[i] != m.name.suffix[j]);
		if (i < 5)
			name = strchr(name, '.') + 1;
	}
}

static void hashes_need_the_key(void **state)
{
	static struct wire w;
	struct sip_key other = {key.k0 ^ 1, key.k1};
	struct dns_message x, y;

	(void)state;
	wire_message(&w, 1, 0, "example.com", 1);
	assert_true(dns_parse(&key, w.bytes, w.len, &x));
	assert_true(dns_parse(&other, w.bytes, w.len, &y));
	assert_true(dns_name_hash(&x.name) != dns_name_hash(&y.name));
}

#define LONG_LABEL "a-label-of-sixty-three-octets-the-longest-which-a-name-may-have"

static struct dns_message parse_afresh(const char *name)
{
	parse_question("another.name.that.is.remembered", 1);
	return parse_question(name, 1);
}

/* A name that was read last is not hashed again; nothing must come of it but that. */
static void the_same_name_again(void **state)
{
	static const char *const names[] = {
		"example.com",
		"EXAMPLE.com",
		"www.example.com",
		"example.co",
		".",
		"_.example.com",
		"a.b.c.d.e.f.g.h", /* as deep as is remembered */
		"0.a.b.c.d.e.f.g.h",
		LONG_LABEL "." LONG_LABEL,
	};
	struct sip_key other = {key.k0, key.k1 ^ 1};

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		static struct wire w;
		struct dns_message first = parse_afresh(names[i]), m;

		for (size_t j = 0; j < COUNT(names); j++) {
			m = parse_question(names[i], 28);
			assert_int_equal(m.qtype, 28);
			assert_true(same_name(&m.name, &first.name));
			assert_int_equal(m.name.underscore, first.name.underscore);
			assert_int_equal(m.question_end, first.question_end);
			struct dns_message between = parse_question(names[j], 1);

			assert_int_equal(same_name(&between.name, &first.name),
					 strcasecmp(names[i], names[j]) == 0);
		}
		wire_message(&w, 1, 0, names[i], 1);
		assert_true(dns_parse(&key, w.bytes, w.len, &m));
		for (size_t len = 0; len < w.len; len++)
			assert_false(parse_bytes(w.bytes, len, &m));
		assert_true(dns_parse(&other, w.bytes, w.len, &m));
		assert_true(!m.name.labels || !same_name(&m.name, &first.name));
	}
}

static void root(void **state)
{
	struct dns_message m = parse_question(".", 2);

	(void)state;
	assert_int_equal(m.name.labels, 0);
	assert_false(m.name.underscore);
	assert_int_equal(m.question_end, DNS_HEADER_LEN + 1 + 4);
	struct dns_message again = parse_question(".", 1);

	assert_true(dns_name_hash(&m.name) == dns_name_hash(&again.name));
}

static void underscore(void **state)
{
	static const struct {
		const char *name;
		bool expected;
	} names[] = {
		{"_.example.com", true},   {"_.com", true},	      {"_", true},
		{"_a.example.com", false}, {"__.example.com", false}, {"a._.example.com", false},
		{"example._", false}};

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		struct dns_message m = parse_question(names[i].name, 1);

		if (m.name.underscore != names[i].expected)
			fail_msg("%s: %d", names[i].name, m.name.underscore);
	}
}

/* Writes a question of labels of that length, as many as there are, and a last one of another
 * length. */
static void question_of_labels(struct wire *w, unsigned count, unsigned length, unsigned last)
{
	static uint8_t label[256];

	memset(label, 'x', sizeof(label));
	wire_header(w, 1, 0, 1);
	for (unsigned i = 0; i < count; i++) {
		wire_8(w, length);
		wire_bytes(w, label, length);
	}
	if (last) {
		wire_8(w, last);
		wire_bytes(w, label, last);
	}
	wire_8(w, 0);
	wire_16(w, 1);
	wire_16(w, 1);
}

static void longest_names(void **state)
{
	static struct wire w;
	struct dns_message m;

	(void)state;
	question_of_labels(&w, 127, 1, 0);
	m = parse(&w);
	assert_int_equal(m.name.labels, 127);
	assert_int_equal(m.question_end, DNS_HEAD_MAX);
	question_of_labels(&w, 128, 1, 0);
	assert_false(parse_bytes(w.bytes, w.len, &m));
	question_of_labels(&w, 3, 63, 61); /* 3 * 64 + 62 + 1 = 255 octets */
	m = parse(&w);
	assert_int_equal(m.name.labels, 4);
	question_of_labels(&w, 3, 63, 62);
	assert_false(parse_bytes(w.bytes, w.len, &m));
	question_of_labels(&w, 126, 1, 2); /* 126 * 2 + 3 + 1 = 256 octets */
	assert_false(parse_bytes(w.bytes, w.len, &m));
	question_of_labels(&w, 1, 63, 0);
	assert_true(parse_bytes(w.bytes, w.len, &m));
}

/* The two high bits of a length: RFC 1035 has 00, and 11 for compression, which a question cannot
 * have. */
static void kinds_of_labels(void **state)
{
	static struct wire w;
	struct dns_message m;

	(void)state;
	for (unsigned length = 64; length < 256; length++) {
		wire_header(&w, 1, 0, 1);
		wire_labels(&w, "www.example");
		wire_8(&w, length);
		wire_8(&w, 4); /* where a root is, if it were a pointer: the count of questions */
		memset(w.bytes + w.len, 0, 300);
		w.len += 300;
		if (parse_bytes(w.bytes, w.len, &m))
			fail_msg("a length of 0x%02x is taken", length);
	}
}

static void truncated_everywhere(void **state)
{
	static struct wire w;
	struct dns_message m;

	(void)state;
	wire_message(&w, 1, 0, "www.example.com", 1);
	for (size_t len = 0; len < w.len; len++)
		if (parse_bytes(w.bytes, len, &m))
			fail_msg("%zu of %zu bytes are taken", len, w.len);
	assert_true(parse_bytes(w.bytes, w.len, &m));
	wire_8(&w, 0xff); /* what follows is none of the question's business */
	assert_true(parse_bytes(w.bytes, w.len, &m));
	assert_int_equal(m.question_end, w.len - 1);
}

static void question_counts(void **state)
{
	static struct wire w;
	static const unsigned counts[] = {0, 2, 255, 256, 257, 65535};
	struct dns_message m;

	(void)state;
	for (size_t i = 0; i < COUNT(counts); i++) {
		wire_header(&w, 1, 0, counts[i]);
		wire_question(&w, "www.example.com", 1);
		wire_question(&w, "www.example.com", 1);
		if (parse_bytes(w.bytes, w.len, &m))
			fail_msg("%u questions are taken", counts[i]);
	}
}

static void opcodes(void **state)
{
	static struct wire w;
	struct dns_message m;

	(void)state;
	for (unsigned opcode = 0; opcode < 16; opcode++) {
		for (unsigned qr = 0; qr < 2; qr++) {
			wire_message(&w, 1, qr << 15 | opcode << 11, "example.com", 6);
			assert_int_equal(parse_bytes(w.bytes, w.len, &m), opcode == 0);
			/* IANA: 0 QUERY, 1 IQUERY, 2 STATUS, 4 NOTIFY, 5 UPDATE, 6 DSO */
			assert_int_equal(dns_plausible(w.bytes, w.len), opcode <= 6 && opcode != 3);
		}
	}
}

static void plausible(void **state)
{
	static const uint8_t tls[] = {0x16, 0x03, 0x01, 0x00, 0xf8, 0x01, 0x00,
				      0x00, 0xf4, 0x03, 0x03, 0x55, 0xaa};
	static const uint8_t http[] = "GET / HTTP/1.1\r\nHost: x\r\n";
	static struct wire w;

	(void)state;
	wire_header(&w, 1, 0, 0);
	assert_true(dns_plausible(w.bytes, w.len));
	for (size_t len = 0; len < DNS_HEADER_LEN; len++) {
		uint8_t *copy = exact_copy(w.bytes, len);

		assert_false(dns_plausible(copy, len));
		free(copy);
	}
	wire_header(&w, 1, 0, 2);
	assert_false(dns_plausible(w.bytes, w.len));
	wire_header(&w, 1, 3, 1); /* an error in a query */
	assert_false(dns_plausible(w.bytes, w.len));
	wire_header(&w, 1, WIRE_QR | 3, 1);
	assert_true(dns_plausible(w.bytes, w.len));
	wire_message(&w, 1, 0, "example.com", 251); /* IXFR has a SOA in its authority section */
	wire_count(&w, true);
	assert_true(dns_plausible(w.bytes, w.len));
	wire_count(&w, true);
	assert_false(dns_plausible(w.bytes, w.len));
	wire_message(&w, 1, 0, "example.com", 1); /* an answer in a query */
	wire_count(&w, false);
	assert_false(dns_plausible(w.bytes, w.len));
	w.bytes[2] |= 0x80;
	assert_true(dns_plausible(w.bytes, w.len));
	assert_false(dns_plausible(tls, sizeof(tls)));
	assert_false(dns_plausible(http, sizeof(http)));
}

/* ---- learned names ---- */

enum { LEARNED = 32 };

struct learned {
	unsigned count;
	uint64_t hash[LEARNED];
	unsigned labels[LEARNED];
	bool zoned[LEARNED];
	struct dns_name zone[LEARNED];
};

static void note(void *ctx, uint16_t type, const struct dns_name *from, const struct dns_name *name)
{
	struct learned *l = ctx;
	const struct dns_name *zone = type == DNS_TYPE_NS ? from : NULL;

	assert_true(l->count < LEARNED);
	l->zoned[l->count] = zone;
	if (zone)
		l->zone[l->count] = *zone;
	l->hash[l->count] = dns_name_hash(name);
	l->labels[l->count++] = name->labels;
}

static struct learned learn_from_bytes(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = exact_copy(bytes, len);
	struct learned l = {0};
	struct dns_message m;

	assert_true(dns_parse(&key, copy, len, &m));
	dns_learned_names(&key, copy, len, &m, note, &l);
	free(copy);
	return l;
}

static struct learned learn_from(const struct wire *w)
{
	return learn_from_bytes(w->bytes, w->len);
}

/* Exactly these names, in this order. */
static void learns(const struct wire *w, unsigned count, ...)
{
	struct learned l = learn_from(w);
	va_list names;

	assert_int_equal(l.count, count);
	va_start(names, count);
	for (unsigned i = 0; i < count; i++) {
		const char *name = va_arg(names, const char *);
		struct dns_message m = parse_question(name, 1);

		if (l.hash[i] != dns_name_hash(&m.name) || l.labels[i] != m.name.labels)
			fail_msg("name %u is not %s", i, name);
	}
	va_end(names);
}

static void learned_types(void **state)
{
	static struct wire w;
	static const uint8_t address[4] = {127, 0, 0, 1};

	(void)state;
	wire_message(&w, 1, WIRE_QR, "www.example.com", 1);
	learns(&w, 0);
	wire_record(&w, false, "www.example.com", DNS_TYPE_CNAME, "Host.Example.NET");
	wire_record_raw(&w, false, "host.example.net", 1, address, 4, 4);
	wire_record(&w, false, "example.com", DNS_TYPE_DNAME, "example.org");
	wire_record(&w, true, "example.net", DNS_TYPE_NS, "ns1.example.net");
	wire_record(&w, true, "example.net", DNS_TYPE_NS, "ns2.elsewhere.test");
	wire_record(&w, true, "example.net", 6 /* SOA */, "ns3.example.net");
	learns(&w, 4, "host.example.net", "example.org", "ns1.example.net", "ns2.elsewhere.test");
}

/* What zones were told with the names; NULL: none. */
static void zones(const struct wire *w, unsigned count, ...)
{
	struct learned l = learn_from(w);
	va_list expected;

	assert_int_equal(l.count, count);
	va_start(expected, count);
	for (unsigned i = 0; i < count; i++) {
		const char *zone = va_arg(expected, const char *);

		if (l.zoned[i] != (zone != NULL))
			fail_msg("name %u has %s zone", i, zone ? "no" : "a");
		if (!zone)
			continue;
		struct dns_message m = parse_question(zone, 1);

		if (!same_name(&l.zone[i], &m.name))
			fail_msg("the zone of name %u is not %s", i, zone);
	}
	va_end(expected);
}

/* A record whose owner is given in bytes, and whose data are a name. */
static void record_owned(struct wire *w, const void *owner, size_t n, unsigned type,
			 const char *target)
{
	struct wire data;

	data.len = 0;
	wire_name(&data, target);
	wire_bytes(w, owner, n);
	wire_16(w, type);
	wire_16(w, 1);
	wire_16(w, 0);
	wire_16(w, 60);
	wire_16(w, (unsigned)data.len);
	wire_bytes(w, data.bytes, data.len);
	wire_count(w, true);
}

/* Of name servers the owner of the record; of others none, whatever was before them. */
static void zones_of_servers(void **state)
{
	static struct wire w;

	(void)state;
	wire_message(&w, 1, WIRE_QR, "www.example.com", 1);
	wire_record(&w, false, "www.example.com", DNS_TYPE_CNAME, "www.example.net");
	wire_record(&w, false, "Example.COM", DNS_TYPE_NS, "ns1.example.com");
	wire_record(&w, false, "example.com", DNS_TYPE_DNAME, "example.org");
	wire_record(&w, true, "com", DNS_TYPE_NS, "ns2.example.com");
	wire_record(&w, true, ".", DNS_TYPE_NS, "ns3.example.com");
	wire_record(&w, true, "sub.www.example.com", DNS_TYPE_NS, ".");
	wire_record(&w, true, "www.example.com", DNS_TYPE_CNAME, "x");
	learns(&w, 7, "www.example.net", "ns1.example.com", "example.org", "ns2.example.com",
	       "ns3.example.com", ".", "x");
	zones(&w, 7, NULL, "example.com", NULL, "com", ".", "sub.www.example.com", NULL);
}

static void zones_compressed(void **state)
{
	static const uint8_t whole[] = {0xc0, DNS_HEADER_LEN};
	static const uint8_t parent[] = {0xc0, DNS_HEADER_LEN + 4};
	static const uint8_t prefixed[] = {3, 'S', 'u', 'b', 0xc0, DNS_HEADER_LEN + 4};
	static const uint8_t end[] = {0xc0, DNS_HEADER_LEN + 16}; /* the question's root */
	static struct wire w;

	(void)state;
	wire_message(&w, 1, WIRE_QR, "www.example.com", 1);
	record_owned(&w, whole, sizeof(whole), DNS_TYPE_NS, "a.test");
	record_owned(&w, parent, sizeof(parent), DNS_TYPE_NS, "b.test");
	size_t sub = w.len;

	record_owned(&w, prefixed, sizeof(prefixed), DNS_TYPE_NS, "c.test");
	record_owned(&w, end, sizeof(end), DNS_TYPE_NS, "d.test");
	const uint8_t twice[] = {1, 'x', 0xc0, (uint8_t)sub}; /* a pointer to a pointer */

	record_owned(&w, twice, sizeof(twice), DNS_TYPE_NS, "e.test");
	record_owned(&w, twice, sizeof(twice), DNS_TYPE_CNAME, "f.test");
	learns(&w, 6, "a.test", "b.test", "c.test", "d.test", "e.test", "f.test");
	zones(&w, 6, "www.example.com", "example.com", "sub.example.com", ".", "x.sub.example.com",
	      NULL);
	/* the server's name compressed as well: neither is taken for the other */
	wire_message(&w, 1, WIRE_QR, "www.example.com", 1);
	wire_bytes(&w, parent, sizeof(parent));
	wire_16(&w, DNS_TYPE_NS);
	wire_16(&w, 1);
	wire_16(&w, 0);
	wire_16(&w, 60);
	wire_16(&w, sizeof(prefixed));
	wire_bytes(&w, prefixed, sizeof(prefixed));
	wire_count(&w, true);
	learns(&w, 1, "sub.example.com");
	zones(&w, 1, "example.com");
}

/* A name server whose zone cannot be read is not learned, nor what follows it. */
static void bad_zones(void **state)
{
	static struct wire w;

	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		wire_message(&w, 1, WIRE_QR, "www.example.com", 1);
		record_owned(&w, "\0", 1, DNS_TYPE_NS, "good.test");
		size_t at = w.len;
		const uint8_t self[] = {0xc0 | (uint8_t)(at >> 8), (uint8_t)at};
		const uint8_t forward[] = {0xc0 | (uint8_t)((at + 12) >> 8), (uint8_t)(at + 12)};
		const uint8_t beyond[] = {0xff, 0xff};
		const uint8_t loop[] = {1, 'a', 0xc0 | (uint8_t)(at >> 8), (uint8_t)at};
		const struct {
			const uint8_t *owner;
			size_t n;
		} bad[] = {{self, 2}, {forward, 2}, {beyond, 2}, {loop, 4}};

		record_owned(&w, bad[kind].owner, bad[kind].n, DNS_TYPE_NS, "bad.test");
		record_owned(&w, "\0", 1, DNS_TYPE_NS, "behind.test");
		learns(&w, 1, "good.test");
		zones(&w, 1, ".");
	}
	/* nor does an alias without a name lead anywhere */
	wire_message(&w, 1, WIRE_QR, "www.example.com", 1);
	record_owned(&w, "\xff\xff", 2, DNS_TYPE_CNAME, "alias.test");
	learns(&w, 0);
	/* too long once the pointer is followed */
	for (unsigned last = 59; last < 62; last++) {
		question_of_labels(&w, 3, 63, last);
		record_owned(&w, "\1a\xc0\x0c", 4, DNS_TYPE_NS, "ns.test");
		assert_int_equal(learn_from(&w).count, last == 59);
	}
}

/* Additional records are not looked at: their owners are those of the names before. */
static void additional_is_ignored(void **state)
{
	static struct wire w;

	(void)state;
	wire_message(&w, 1, WIRE_QR, "example.com", 1);
	wire_record(&w, false, "example.com", DNS_TYPE_NS, "ns.example.com");
	w.bytes[7] = 0;
	w.bytes[11] = 1; /* ARCOUNT instead of ANCOUNT */
	learns(&w, 0);
}

static void compressed_names(void **state)
{
	static struct wire w;
	static const uint8_t to_question[] = {0xc0, DNS_HEADER_LEN};
	static const uint8_t prefixed[] = {3, 'c', 'd', 'n', 0xc0, DNS_HEADER_LEN + 4};

	(void)state;
	wire_message(&w, 1, WIRE_QR, "www.example.com", 1);
	wire_record_raw(&w, false, "www.example.com", DNS_TYPE_CNAME, to_question, 2, 2);
	wire_record_raw(&w, false, "www.example.com", DNS_TYPE_CNAME, prefixed, 6, 6);
	size_t cdn = w.len - sizeof(prefixed);
	const uint8_t twice[] = {1, 'x', 0xc0, (uint8_t)cdn}; /* a pointer to a pointer */

	wire_record_raw(&w, true, "a", DNS_TYPE_NS, twice, 4, 4);
	learns(&w, 3, "www.example.com", "cdn.example.com", "x.cdn.example.com");
}

/* An owner that is compressed is skipped like any other. */
static void compressed_owners(void **state)
{
	static struct wire w;

	(void)state;
	wire_message(&w, 1, WIRE_QR, "www.example.com", 1);
	for (int i = 0; i < 2; i++) {
		if (i)
			wire_labels(&w, "a");
		wire_16(&w, 0xc000 | DNS_HEADER_LEN);
		wire_16(&w, DNS_TYPE_CNAME);
		wire_16(&w, 1);
		wire_16(&w, 0);
		wire_16(&w, 60);
		wire_16(&w, 4);
		wire_name(&w, i ? "bc" : "de");
		wire_count(&w, false);
	}
	learns(&w, 2, "de", "bc");
}

/* What is behind a bad record is not looked at; what was before it stays. */
static void bad_pointers(void **state)
{
	static struct wire w;
	size_t at;

	(void)state;
	for (int kind = 0; kind < 6; kind++) {
		wire_message(&w, 1, WIRE_QR, "www.example.com", 1);
		wire_record(&w, false, "www.example.com", DNS_TYPE_CNAME, "good.example");
		at = w.len + 1 + 10; /* where the next record's data are: its owner is the root */
		const uint8_t self[] = {0xc0 | (uint8_t)(at >> 8), (uint8_t)at};
		const uint8_t forward[] = {0xc0 | (uint8_t)((at + 2) >> 8), (uint8_t)(at + 2), 1,
					   'x', 0};
		const uint8_t loop[] = {1, 'a', 0xc0 | (uint8_t)(at >> 8), (uint8_t)at};
		const uint8_t beyond[] = {0xff, 0xff};
		const uint8_t into_header[] = {0xc0, 0x00}; /* ID 1: label lengths 0, so the root */
		const uint8_t reserved[] = {0x80, 0x00};
		const struct {
			const uint8_t *data;
			size_t n;
		} bad[] = {{self, 2},	{forward, 5},	  {loop, 4},
			   {beyond, 2}, {into_header, 2}, {reserved, 2}};

		wire_record_raw(&w, false, ".", DNS_TYPE_CNAME, bad[kind].data, bad[kind].n,
				(unsigned)bad[kind].n);
		wire_record(&w, false, ".", DNS_TYPE_CNAME, "behind.example");
		if (kind == 4) /* odd, but a name: nothing is read that is not there */
			learns(&w, 3, "good.example", ".", "behind.example");
		else
			learns(&w, 1, "good.example");
	}
}

/* Pointers that each go one step back, from one to the next: bounded, and no harm. */
static void chain_of_pointers(void **state)
{
	static struct wire w;
	uint8_t chain[400];
	size_t at;

	(void)state;
	for (unsigned steps = 1; steps <= 200; steps++) {
		wire_message(&w, 1, WIRE_QR, "x", 1);
		at = w.len + 1 + 10;
		wire_record_raw(&w, false, ".", 16, "", 0, 2 * 200);
		for (unsigned i = 0; i < 200; i++) {
			size_t to = i ? at + 2 * (i - 1) : DNS_HEADER_LEN;

			chain[2 * i] = 0xc0 | (uint8_t)(to >> 8);
			chain[2 * i + 1] = (uint8_t)to;
		}
		wire_bytes(&w, chain, 2 * 200);
		size_t last = at + 2 * (steps - 1);
		const uint8_t target[] = {0xc0 | (uint8_t)(last >> 8), (uint8_t)last};

		wire_record_raw(&w, false, ".", DNS_TYPE_CNAME, target, 2, 2);
		struct learned l = learn_from(&w);

		assert_true(l.count == 1 || (l.count == 0 && steps > 60));
	}
}

/* Names that are good uncompressed and too long once the pointers are followed. */
static void too_long_when_followed(void **state)
{
	static struct wire w;
	static const uint8_t target[] = {1, 'a', 0xc0, DNS_HEADER_LEN};
	struct learned l;

	(void)state;
	question_of_labels(&w, 3, 63, 61);
	wire_record_raw(&w, false, ".", DNS_TYPE_CNAME, target, 4, 4);
	assert_int_equal(learn_from(&w).count, 0);
	question_of_labels(&w, 3, 63, 59); /* two octets less */
	wire_record_raw(&w, false, ".", DNS_TYPE_CNAME, target, 4, 4);
	l = learn_from(&w);
	assert_int_equal(l.count, 1);
	assert_int_equal(l.labels[0], 5);
	question_of_labels(&w, 127, 1, 0);
	wire_record_raw(&w, false, ".", DNS_TYPE_CNAME, target, 4, 4);
	assert_int_equal(learn_from(&w).count, 0);
}

static void at_most_so_many(void **state)
{
	static struct wire w;

	(void)state;
	wire_message(&w, 1, WIRE_QR, "example.com", 1);
	for (char c = 'a'; c <= 'z'; c++)
		wire_record(&w, c > 'm', "example.com", DNS_TYPE_NS, (char[]){c, '\0'});
	assert_int_equal(learn_from(&w).count, DNS_LEARNED_MAX);
}

/* Cut off at any byte: what is whole before it is learned, and nothing is read behind it. */
static void answer_truncated_everywhere(void **state)
{
	static struct wire w;
	size_t first, second;

	(void)state;
	wire_message(&w, 1, WIRE_QR, "www.example.com", 1);
	size_t question = w.len;

	wire_record(&w, false, "www.example.com", DNS_TYPE_CNAME, "host.example.net");
	first = w.len;
	wire_record(&w, true, "example.net", DNS_TYPE_NS, "ns.example.net");
	second = w.len;
	for (size_t len = question; len <= second; len++) {
		unsigned count = learn_from_bytes(w.bytes, len).count;

		assert_int_equal(count, len < first ? 0 : len < second ? 1 : 2);
	}
}

/* A length that does not agree with the name: the message is malformed, and reading stops. */
static void malformed_rdlength(void **state)
{
	static struct wire w;
	static const unsigned lengths[] = {0, 1, 5, 15, 17, 19, 100, 65535};
	struct wire target = {0};

	(void)state;
	wire_name(&target, "ns.example.test");
	assert_int_equal(target.len, 17);
	for (size_t i = 0; i < COUNT(lengths); i++) {
		wire_message(&w, 1, WIRE_QR, "www.example.com", 1);
		wire_record_raw(&w, false, "www.example.com", DNS_TYPE_CNAME, target.bytes,
				target.len, lengths[i]);
		unsigned count = learn_from(&w).count;

		if (count != (lengths[i] == target.len))
			fail_msg("RDLENGTH %u where the name has %zu octets: %u learned",
				 lengths[i], target.len, count);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_and_question),
		cmocka_unit_test(case_is_folded),
		cmocka_unit_test(questions_in_one_go),
		cmocka_unit_test(suffixes),
		cmocka_unit_test(hashes_need_the_key),
		cmocka_unit_test(the_same_name_again),
		cmocka_unit_test(root),
		cmocka_unit_test(underscore),
		cmocka_unit_test(longest_names),
		cmocka_unit_test(kinds_of_labels),
		cmocka_unit_test(truncated_everywhere),
		cmocka_unit_test(question_counts),
		cmocka_unit_test(opcodes),
		cmocka_unit_test(plausible),
		cmocka_unit_test(learned_types),
		cmocka_unit_test(zones_of_servers),
		cmocka_unit_test(zones_compressed),
		cmocka_unit_test(bad_zones),
		cmocka_unit_test(additional_is_ignored),
		cmocka_unit_test(compressed_names),
		cmocka_unit_test(compressed_owners),
		cmocka_unit_test(bad_pointers),
		cmocka_unit_test(chain_of_pointers),
		cmocka_unit_test(too_long_when_followed),
		cmocka_unit_test(at_most_so_many),
		cmocka_unit_test(answer_truncated_everywhere),
		cmocka_unit_test(malformed_rdlength),
	};

	return cmocka_run_group_tests_name("dns", tests, NULL, NULL);
}
