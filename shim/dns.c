// SPDX-License-Identifier: GPL-2.0-or-later
#include "dns.h"

enum {
	POINTERS_MAX = 64, /* jumps in one name */
	RECORDS_MAX = 64,  /* records looked at in one answer */

	/* of a name that is remembered */
	MEMO_OCTETS = 96,
	MEMO_LABELS = 8,
};

/*
 * The question's name that a thread has hashed last. Most names come twice in a row: a client's query and the upstream's
 * that it causes, an upstream's answer and the client's.
 */
struct memo {
	struct sip_key key;
	size_t octets; /* 0: nothing */
	unsigned labels;
	bool underscore;
	uint8_t wire[MEMO_OCTETS];
	uint64_t suffix[MEMO_LABELS];
};

static _Thread_local struct memo memo __attribute__((tls_model("initial-exec")));

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* The labels of a name in a message, by the offsets of their length bytes. */
struct label_list {
	unsigned count;
	uint16_t at[DNS_LABELS_MAX];
};

/*
 * Walks the name at *pos and leaves *pos behind it. Compression pointers are followed where
 * allowed, and only backwards from the lowest place seen so far, so that a loop cannot be.
 */
static bool walk_name(const uint8_t *msg, size_t len, size_t *pos, bool compressed,
		      struct label_list *labels)
{
	size_t at = *pos, lowest = at, octets = 1;
	bool jumped = false;
	unsigned jumps = 0;

	labels->count = 0;
	for (;;) {
		if (at >= len || at > 0x3fff + (size_t)DNS_NAME_MAX)
			return false;
		uint8_t n = msg[at];
		if (n == 0) {
			if (!jumped)
				*pos = at + 1;
			return true;
		}
		if ((n & 0xc0) == 0xc0) {
			if (!compressed || at + 1 >= len || ++jumps > POINTERS_MAX)
				return false;
			size_t to = (size_t)(n & 0x3f) << 8 | msg[at + 1];
			if (!jumped)
				*pos = at + 2;
			if (to >= lowest)
				return false;
			jumped = true;
			lowest = at = to;
			continue;
		}
		if (n & 0xc0)
			return false;
		octets += 1U + n;
		if (octets > DNS_NAME_MAX || at + 1 + n > len)
			return false;
		labels->at[labels->count++] = (uint16_t)at;
		at += 1U + n;
	}
}

/* dns_fold on eight bytes at once: bit 7 of each becomes whether it is a capital letter, and moves to bit 5. */
static uint64_t fold8(uint64_t word)
{
	const uint64_t ones = 0x0101010101010101ULL, high = 0x80 * ones;
	uint64_t low = word & ~high;
	uint64_t from_a = low + (0x80 - 'A') * ones, beyond_z = low + (0x7f - 'Z') * ones;

	return word | ((from_a ^ beyond_z) & ~word & high) >> 2;
}

/* siphash13 of the folded label, or of several with their lengths. */
static uint64_t hash_label(const struct sip_key *key, uint64_t seed, const uint8_t *label, size_t n)
{
	struct sip_state s = sip_start(key);
	size_t left = n;

	sip_word(&s, seed);
	for (; left >= 8; left -= 8, label += 8)
		sip_word(&s, fold8(sip_load(label)));
	sip_word(&s, fold8(sip_tail(label, left)) | (uint64_t)n << 56);
	return sip_end(&s);
}

uint64_t dns_question_hash(const struct sip_key *key, const uint8_t *question, size_t length)
{
	size_t name = length - 4;
	uint64_t type_and_class = (uint64_t)be16(question + name) << 16 | be16(question + name + 2);

	/* no label is so long that its length would be taken for a letter */
	return hash_label(key, type_and_class, question, name);
}

/* From the top-level domain down, each hash seeded with its parent's: linear in the name's length.
 */
static void hash_labels(const struct sip_key *key, const uint8_t *msg,
			const struct label_list *labels, struct dns_name *out)
{
	uint64_t seed = 0;

	out->labels = labels->count;
	out->underscore = labels->count && msg[labels->at[0]] == 1 && msg[labels->at[0] + 1] == '_';
	for (unsigned i = labels->count; i-- > 0;) {
		const uint8_t *label = msg + labels->at[i];

		seed = hash_label(key, seed, label + 1, label[0]);
		out->suffix[i] = seed;
	}
}

static bool is_truncated(const uint8_t *msg)
{
	return msg[2] & 0x02;
}

static uint8_t rcode_of(const uint8_t *msg)
{
	return msg[3] & 0x0f;
}

bool dns_is_final(const uint8_t *msg)
{
	return !is_truncated(msg) && ((rcode_of(msg) == DNS_NOERROR && !dns_is_referral(msg)) ||
				      rcode_of(msg) == DNS_NXDOMAIN);
}

/*
 * Opcodes 0 to 6 without 3 (IANA), and at most one question. A query of opcode QUERY answers nothing (an IXFR query,
 * RFC 1995, has its SOA in the authority section): a TLS ClientHello could else pass, whose first bytes read as one.
 */
bool dns_plausible(const uint8_t *msg, size_t len)
{
	if (len < DNS_HEADER_LEN)
		return false;
	unsigned opcode = msg[2] >> 3 & 0xf;

	if (opcode > 6 || opcode == 3 || be16(msg + 4) > 1)
		return false;
	bool query = !dns_says_answer(msg) && opcode == 0;

	return !query || ((msg[3] & 0x0f) == 0 && be16(msg + 6) == 0 && be16(msg + 8) <= 1);
}

size_t dns_question_end(const uint8_t *msg, size_t len)
{
	size_t at = DNS_HEADER_LEN;

	if (!dns_is_standard(msg, len))
		return 0;
	while (at < len && msg[at] && !(msg[at] & 0xc0))
		at += 1U + msg[at];
	if (at >= len || msg[at] || at + 1 - DNS_HEADER_LEN > DNS_NAME_MAX || at + 5 > len)
		return 0;
	return at + 5;
}

static bool remembered(const struct sip_key *key, const uint8_t *msg, size_t len)
{
	return memo.octets && len >= DNS_HEADER_LEN + memo.octets + 4 &&
	       memcmp(msg + DNS_HEADER_LEN, memo.wire, memo.octets) == 0 &&
	       memo.key.k0 == key->k0 && memo.key.k1 == key->k1;
}

static void recall(struct dns_name *out)
{
	out->labels = memo.labels;
	out->underscore = memo.underscore;
	for (unsigned i = 0; i < memo.labels; i++)
		out->suffix[i] = memo.suffix[i];
}

static void remember(const struct sip_key *key, const uint8_t *wire, size_t octets,
		     const struct dns_name *name)
{
	if (octets > MEMO_OCTETS || name->labels > MEMO_LABELS)
		return;
	memo.key = *key;
	memo.octets = octets;
	memo.labels = name->labels;
	memo.underscore = name->underscore;
	memcpy(memo.wire, wire, octets);
	for (unsigned i = 0; i < name->labels; i++)
		memo.suffix[i] = name->suffix[i];
}

/* The question's name; *pos goes behind it, and there is room for type and class. */
static bool read_question(const struct sip_key *key, const uint8_t *msg, size_t len, size_t *pos,
			  struct dns_name *out)
{
	struct label_list labels;

	if (remembered(key, msg, len)) {
		recall(out);
		*pos += memo.octets;
		return true;
	}
	if (!walk_name(msg, len, pos, false, &labels) || *pos + 4 > len)
		return false;
	hash_labels(key, msg, &labels, out);
	remember(key, msg + DNS_HEADER_LEN, *pos - DNS_HEADER_LEN, out);
	return true;
}

bool dns_parse(const struct sip_key *key, const uint8_t *msg, size_t len, struct dns_message *out)
{
	size_t pos = DNS_HEADER_LEN;

	if (!dns_is_standard(msg, len) || !read_question(key, msg, len, &pos, &out->name))
		return false;
	out->wire = msg + DNS_HEADER_LEN;
	out->id = be16(msg);
	out->answer = dns_says_answer(msg);
	out->truncated = is_truncated(msg);
	out->qtype = be16(msg + pos);
	out->question_end = pos + 4;
	return true;
}

/* Skips a name without looking at its labels. */
static bool skip_name(const uint8_t *msg, size_t len, size_t *pos)
{
	size_t at = *pos;

	while (at < len) {
		uint8_t n = msg[at];
		if (n == 0) {
			*pos = at + 1;
			return true;
		}
		if ((n & 0xc0) == 0xc0) {
			*pos = at + 2;
			return at + 2 <= len;
		}
		if (n & 0xc0)
			return false;
		at += 1U + n;
	}
	return false;
}

/* One resource record (RFC 1035, section 3.2.1): its type, and where its data lie; *pos goes behind
 * it. */
static bool next_record(const uint8_t *msg, size_t len, size_t *pos, uint16_t *type, size_t *data)
{
	if (!skip_name(msg, len, pos) || *pos + 10 > len)
		return false;
	*type = be16(msg + *pos);
	*data = *pos + 10;
	*pos = *data + be16(msg + *pos + 8);
	return *pos <= len;
}

static bool leads_on(uint16_t type)
{
	return type == DNS_TYPE_CNAME || type == DNS_TYPE_DNAME || type == DNS_TYPE_NS;
}

/* Of answer and authority; in what is additional nothing leads on. */
static unsigned count_records(const uint8_t *msg)
{
	return (unsigned)be16(msg + 6) + be16(msg + 8);
}

bool dns_leads_nowhere(const uint8_t *msg, size_t len, size_t question_end)
{
	unsigned records = count_records(msg);
	size_t pos = question_end, data;
	uint16_t type;

	if (records > RECORDS_MAX)
		return false;
	while (records--)
		if (!next_record(msg, len, &pos, &type, &data) || leads_on(type))
			return false;
	return true;
}

static bool read_name(const struct sip_key *key, const uint8_t *msg, size_t len, size_t *pos,
		      struct dns_name *out)
{
	struct label_list labels;

	if (!walk_name(msg, len, pos, true, &labels))
		return false;
	hash_labels(key, msg, &labels, out);
	return true;
}

void dns_learned_names(const struct sip_key *key, const uint8_t *msg, size_t len,
		       const struct dns_message *parsed, dns_learn_fn *learn, void *ctx)
{
	unsigned records = count_records(msg), learned = 0;
	size_t pos = parsed->question_end;

	if (records > RECORDS_MAX)
		records = RECORDS_MAX;
	while (records-- && learned < DNS_LEARNED_MAX) {
		struct dns_name name, from;
		size_t owner = pos, data;
		uint16_t type;

		if (!next_record(msg, len, &pos, &type, &data))
			return;
		if (!leads_on(type))
			continue;
		if (!read_name(key, msg, len, &data, &name) || data != pos ||
		    !read_name(key, msg, len, &owner, &from))
			return;
		learn(ctx, type, &from, &name);
		learned++;
	}
}
