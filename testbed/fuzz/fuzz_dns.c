// SPDX-License-Identifier: GPL-2.0-or-later
/* Question and learned names of any bytes: no byte behind them is read, and what is said holds
 * together. */
#include "dns.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sip_key key = {0x0123456789abcdefULL, 0xfedcba9876543210ULL};

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* A copy that ends where its memory ends. */
static uint8_t *exact_copy(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	return copy;
}

static void check_name(const struct dns_name *name)
{
	require(name->labels <= DNS_LABELS_MAX);
	require(!name->underscore || name->labels > 0);
}

static bool same_name(const struct dns_name *x, const struct dns_name *y)
{
	return x->labels == y->labels &&
	       memcmp(x->suffix, y->suffix, x->labels * sizeof(x->suffix[0])) == 0;
}

/* The question with the case of its letters turned, and with its first label cut away. */
static void check_question(const uint8_t *msg, const struct dns_message *parsed)
{
	size_t end = parsed->question_end;
	uint8_t *other = exact_copy(msg, end);
	struct dns_message again;

	require(end <= DNS_HEAD_MAX);
	require(!dns_parse(&key, other, end - 1, &again));
	for (size_t at = DNS_HEADER_LEN; other[at]; at += 1U + other[at])
		for (size_t i = at + 1; i <= at + other[at]; i++)
			if ((other[i] | 0x20) >= 'a' && (other[i] | 0x20) <= 'z')
				other[i] ^= 0x20;
	require(dns_parse(&key, other, end, &again) && same_name(&parsed->name, &again.name));
	require(again.qtype == parsed->qtype && again.id == parsed->id);
	if (parsed->name.labels) {
		size_t first = 1U + other[DNS_HEADER_LEN];

		memmove(other + DNS_HEADER_LEN, other + DNS_HEADER_LEN + first,
			end - DNS_HEADER_LEN - first);
		require(dns_parse(&key, other, end - first, &again));
		require(again.name.labels == parsed->name.labels - 1);
		require(memcmp(again.name.suffix, parsed->name.suffix + 1,
			       again.name.labels * sizeof(again.name.suffix[0])) == 0);
	}
	free(other);
}

static void count_name(void *ctx, uint16_t type, const struct dns_name *from,
		       const struct dns_name *name)
{
	require(type == DNS_TYPE_CNAME || type == DNS_TYPE_DNAME || type == DNS_TYPE_NS);
	check_name(from);
	check_name(name);
	++*(unsigned *)ctx;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *msg = exact_copy(data, size);
	struct dns_message parsed;
	unsigned learned = 0;

	size_t end = dns_question_end(msg, size);

	if (!dns_parse(&key, msg, size, &parsed)) {
		require(end == 0);
	} else {
		require(end == parsed.question_end);
		require(!parsed.answer || dns_plausible(msg, size));
		require(parsed.question_end <= size);
		check_name(&parsed.name);
		check_question(msg, &parsed);
		dns_learned_names(&key, msg, size, &parsed, count_name, &learned);
		require(learned <= DNS_LEARNED_MAX);
	}
	free(msg);
	return 0;
}
