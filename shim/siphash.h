/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): the keyed hash of
 * everything that strangers choose, so that nobody outside can aim at a bucket or make two names
 * look alike.
 */
#ifndef SHIM_SIPHASH_H
#define SHIM_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sip_key {
	uint64_t k0, k1;
};

static inline uint64_t sip_rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

struct sip_state {
	uint64_t v0, v1, v2, v3;
};

static inline void sip_round(struct sip_state *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = sip_rotl(s->v1, 13) ^ s->v0;
	s->v3 = sip_rotl(s->v3, 16) ^ s->v2;
	s->v0 = sip_rotl(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = sip_rotl(s->v1, 17) ^ s->v2;
	s->v3 = sip_rotl(s->v3, 21) ^ s->v0;
	s->v2 = sip_rotl(s->v2, 32);
}

static inline void sip_word(struct sip_state *s, uint64_t m)
{
	s->v3 ^= m;
	sip_round(s);
	s->v0 ^= m;
}

static inline struct sip_state sip_start(const struct sip_key *key)
{
	return (struct sip_state){
		key->k0 ^ 0x736f6d6570736575ULL,
		key->k1 ^ 0x646f72616e646f6dULL,
		key->k0 ^ 0x6c7967656e657261ULL,
		key->k1 ^ 0x7465646279746573ULL,
	};
}

static inline uint64_t sip_end(struct sip_state *s)
{
	s->v2 ^= 0xff;
	sip_round(s);
	sip_round(s);
	sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static inline uint64_t sip_load(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* Up to seven bytes as one word, without a byte read beyond them. */
static inline uint64_t sip_tail(const uint8_t *p, size_t n)
{
	uint32_t low, high;

	if (n < 4)
		return !n ? 0
			  : p[0] | (uint64_t)p[n / 2] << n / 2 * 8 |
				       (uint64_t)p[n - 1] << (n - 1) * 8;
	memcpy(&low, p, sizeof(low));
	memcpy(&high, p + n - 4, sizeof(high));
	return low | (uint64_t)high << (n - 4) * 8;
}

/**
 * Hashes len bytes at data, with seed as a first word before them: hashes chain through the seed.
 */
static inline uint64_t siphash13(const struct sip_key *key, uint64_t seed, const void *data,
				 size_t len)
{
	struct sip_state s = sip_start(key);
	const uint8_t *p = data;
	size_t left = len;

	sip_word(&s, seed);
	for (; left >= 8; left -= 8, p += 8)
		sip_word(&s, sip_load(p));
	sip_word(&s, sip_tail(p, left) | ((uint64_t)len << 56));
	return sip_end(&s);
}

/**
 * Hashes whole words behind a seed. Inputs of different lengths must differ in a word that all have: there is no length
 * in the hash.
 */
static inline uint64_t siphash13_words(const struct sip_key *key, uint64_t seed,
				       const uint64_t *words, size_t count)
{
	struct sip_state s = sip_start(key);

	sip_word(&s, seed);
	for (size_t i = 0; i < count; i++)
		sip_word(&s, words[i]);
	return sip_end(&s);
}

#endif
