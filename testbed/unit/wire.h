/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes DNS messages for the tests (RFC 1035, section 4.1), byte by byte and without compression.
 */
#ifndef TEST_WIRE_H
#define TEST_WIRE_H

#include "dns.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	WIRE_MAX = 8192,
	WIRE_QR = 0x8000,
	WIRE_TC = 0x0200,
	WIRE_RD = 0x0100,
	WIRE_RA = 0x0080,
	WIRE_AA = 0x0400
};

struct wire {
	size_t len;
	uint8_t bytes[WIRE_MAX];
};

static inline void wire_bytes(struct wire *w, const void *data, size_t n)
{
	if (n > WIRE_MAX - w->len)
		abort();
	memcpy(w->bytes + w->len, data, n);
	w->len += n;
}

static inline void wire_8(struct wire *w, unsigned n)
{
	wire_bytes(w, &(uint8_t){(uint8_t)n}, 1);
}

static inline void wire_16(struct wire *w, unsigned n)
{
	wire_8(w, n >> 8 & 0xff);
	wire_8(w, n & 0xff);
}

/* The labels of a name in text, without the root's: "www.example" */
static inline void wire_labels(struct wire *w, const char *text)
{
	while (*text && strcmp(text, ".") != 0) {
		size_t n = strcspn(text, ".");

		wire_8(w, (unsigned)n);
		wire_bytes(w, text, n);
		text += n + (text[n] == '.');
	}
}

/* The letters whose bit is set, of each eight, in the other case. */
static inline void wire_turn_case(char *text, uint8_t bits)
{
	for (unsigned i = 0; text[i]; i++)
		if (((text[i] | 0x20) >= 'a' && (text[i] | 0x20) <= 'z') && (bits >> i % 8 & 1))
			text[i] ^= 0x20;
}

static inline void wire_name(struct wire *w, const char *text)
{
	wire_labels(w, text);
	wire_8(w, 0);
}

/* A header with the counts of question, answer and authority. */
static inline void wire_header(struct wire *w, unsigned id, unsigned flags, unsigned questions)
{
	w->len = 0;
	wire_16(w, id);
	wire_16(w, flags);
	wire_16(w, questions);
	wire_16(w, 0);
	wire_16(w, 0);
	wire_16(w, 0);
}

static inline void wire_question(struct wire *w, const char *name, unsigned type)
{
	wire_name(w, name);
	wire_16(w, type);
	wire_16(w, 1);
}

static inline void wire_message(struct wire *w, unsigned id, unsigned flags, const char *name,
				unsigned type)
{
	wire_header(w, id, flags, 1);
	wire_question(w, name, type);
}

static inline void wire_count(struct wire *w, bool authority)
{
	uint8_t *at = w->bytes + (authority ? 8 : 6);
	unsigned n = (unsigned)(at[0] << 8 | at[1]) + 1;

	at[0] = (uint8_t)(n >> 8);
	at[1] = (uint8_t)n;
}

/* A record whose data are given; length: what its RDLENGTH says. */
static inline void wire_record_raw(struct wire *w, bool authority, const char *owner, unsigned type,
				   const void *data, size_t n, unsigned length)
{
	wire_name(w, owner);
	wire_16(w, type);
	wire_16(w, 1);
	wire_16(w, 0);
	wire_16(w, 300);
	wire_16(w, length);
	wire_bytes(w, data, n);
	wire_count(w, authority);
}

/* A record whose data are a name. */
static inline void wire_record(struct wire *w, bool authority, const char *owner, unsigned type,
			       const char *target)
{
	struct wire data;

	data.len = 0;
	wire_name(&data, target);
	wire_record_raw(w, authority, owner, type, data.bytes, data.len, (unsigned)data.len);
}

/* The type of that name, as far as the tests use them; 0: unknown. */
static inline uint16_t wire_type(const char *name)
{
	static const struct {
		const char *name;
		uint16_t type;
	} types[] = {{"A", 1},	   {"NS", 2},	  {"CNAME", 5}, {"SOA", 6},	{"TXT", 16},
		     {"AAAA", 28}, {"DNAME", 39}, {"DS", 43},	{"DNSKEY", 48}, {"HTTPS", 65}};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcasecmp(name, types[i].name) == 0)
			return types[i].type;
	return 0;
}

#endif
