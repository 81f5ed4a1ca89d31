/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the shim needs to know of a DNS message (RFC 1035, section 4): its direction, its question,
 * and the names that an answer leads to. Pure: bytes in, facts out. Every byte is a stranger's;
 * nothing here loops, allocates or reads past the end, whatever they are.
 */
#ifndef SHIM_DNS_H
#define SHIM_DNS_H

#include "siphash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DNS_HEADER_LEN = 12,
	DNS_NAME_MAX = 255,   /* RFC 1035, section 3.1: a name's octets, with lengths and root */
	DNS_LABELS_MAX = 127, /* what fits in them */
	DNS_HEAD_MAX = 12 + 255 + 4, /* header and question at their longest */
	DNS_LEARNED_MAX = 16, /* names taken from one answer: bounds the work of a hostile one */

	DNS_NOERROR = 0,
	DNS_NXDOMAIN = 3,

	DNS_TYPE_A = 1,
	DNS_TYPE_NS = 2,
	DNS_TYPE_CNAME = 5,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_DNAME = 39,
	DNS_TYPE_DS = 43,
	DNS_TYPE_DNSKEY = 48,
};

/*
 * A name as the keyed hashes of itself and of all its ancestors: suffix[0] is the whole name,
 * suffix[labels - 1] its top-level domain. Case is folded (RFC 4343), since resolvers randomise it
 * (0x20). The root has no labels.
 */
struct dns_name {
	unsigned labels;
	bool underscore; /* the first label is "_": BIND's way of asking for an ancestor */
	uint64_t suffix[DNS_LABELS_MAX];
};

#define DNS_ROOT_HASH 0x726f6f74ULL /* of the root, which has no label to hash */

struct dns_message {
	uint16_t id;
	uint16_t qtype;
	bool answer;	     /* QR */
	bool truncated;	     /* TC */
	const uint8_t *wire; /* the question's name, as long as the message's bytes last */
	size_t question_end; /* offset of the first byte behind the question */
	struct dns_name name;
};

/** Its ID (RFC 1035, section 4.1.1), of a message that has as much. */
static inline uint16_t dns_id(const uint8_t *msg)
{
	return (uint16_t)(msg[0] << 8 | msg[1]);
}

/** Its QR bit, of a message that has three bytes: does it say that it is an answer? */
static inline bool dns_says_answer(const uint8_t *msg)
{
	return msg[2] & 0x80;
}

/**
 * Does the answer only say whom else to ask (RFC 1034, section 4.3.2)? It has no records of its own, no authority (AA),
 * and is of a server that does not recurse for others (RA).
 *
 * @param msg  a header at least
 */
static inline bool dns_is_referral(const uint8_t *msg)
{
	bool has_records = msg[6] || msg[7], authoritative = msg[2] & 0x04,
	     recursion = msg[3] & 0x80;

	return !has_records && !authoritative && !recursion;
}

/** RFC 4343: only ASCII letters fold. */
static inline uint8_t dns_fold(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* A question, shorter than this, whose name is too short for dns_name_key. */
enum { DNS_NAME_KEY_LEAST = 12 };

/**
 * A number for the name of a question, whatever its case: by how it begins, what is in its middle, and its length. No
 * secret, and no hash: names that are alike may share one. Of a question of less than DNS_NAME_KEY_LEAST bytes it depends
 * on the type as well.
 *
 * @param length  name, type and class: the shortest one, the root's, has five bytes
 */
static inline uint32_t dns_name_key(const uint8_t *question, size_t length)
{
	uint32_t head, middle, lower_case = 0x20202020;

	memcpy(&head, question, sizeof(head));
	memcpy(&middle, question + length / 2 - 2, sizeof(middle));
	return (head | lower_case) * 0x9e3779b1U ^ (middle | lower_case) * 0x85ebca6bU ^
	       (uint32_t)length << 8;
}

/** The same of the whole question: its name, and its type. */
static inline uint32_t dns_question_key(const uint8_t *question, size_t length)
{
	return dns_name_key(question, length) ^ question[length - 3];
}

/**
 * A keyed hash of a question as it is in a message, whatever the case of its name (RFC 4343). Where all that matters is
 * whether two are the same it is much less work than dns_parse, whose hashes tell of names and what they lie beneath.
 *
 * @param length  name, type and class
 */
uint64_t dns_question_hash(const struct sip_key *key, const uint8_t *question, size_t length);

/** How long the question is that was read. */
static inline size_t dns_question_length(const struct dns_message *m)
{
	return m->question_end - DNS_HEADER_LEN;
}

/** Hash of the whole name; of the root, a fixed one. */
static inline uint64_t dns_name_hash(const struct dns_name *name)
{
	return name->labels ? name->suffix[0] : DNS_ROOT_HASH;
}

/** Is it of opcode QUERY, with one question? */
static inline bool dns_is_standard(const uint8_t *msg, size_t len)
{
	return len >= DNS_HEADER_LEN && (msg[2] & 0x78) == 0 && msg[4] == 0 && msg[5] == 1;
}

/**
 * Reads header and question of a standard query or its answer. Not to be called in a signal handler that may have
 * interrupted it: each thread remembers the name that it read last.
 *
 * @return false where it is anything else: too short, another opcode than QUERY, not exactly one
 * question, a name that is compressed, too long or cut off
 */
bool dns_parse(const struct sip_key *key, const uint8_t *msg, size_t len, struct dns_message *out);

/**
 * Where the question of a standard query or its answer ends, without looking at what it says.
 *
 * @return 0 where dns_parse would refuse the message
 */
size_t dns_question_end(const uint8_t *msg, size_t len);

/**
 * Does the answer leave nothing to ask for its question? It is neither cut off nor a failure nor a referral (RFC 1034,
 * section 4.3.2).
 *
 * @param msg  a header at least
 */
bool dns_is_final(const uint8_t *msg);

/**
 * Does the answer lead the resolver nowhere else? It was read whole, and dns_learned_names would find nothing in it.
 *
 * @param question_end  where its records begin
 */
bool dns_leads_nowhere(const uint8_t *msg, size_t len, size_t question_end);

/** Could these bytes be the start of a DNS message of any opcode? For streams: what is not is left
 * alone for good. */
bool dns_plausible(const uint8_t *msg, size_t len);

/** A record of that type leads from its owner to the name: from an alias to its target, from a zone to its server. */
typedef void dns_learn_fn(void *ctx, uint16_t type, const struct dns_name *from,
			  const struct dns_name *name);

/**
 * Calls learn for each name that the answer leads the resolver to: targets of CNAME and DNAME (RFC
 * 6672), and name servers. At most DNS_LEARNED_MAX; stops without a word where the message is
 * malformed.
 *
 * @param parsed  what dns_parse said of the same bytes
 */
void dns_learned_names(const struct sip_key *key, const uint8_t *msg, size_t len,
		       const struct dns_message *parsed, dns_learn_fn *learn, void *ctx);

#endif
