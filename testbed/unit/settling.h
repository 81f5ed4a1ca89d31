/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What comes into an intake and leaves it, and what the table says of it then. */
#ifndef TEST_SETTLING_H
#define TEST_SETTLING_H

#include "intakes.h"

static const struct attrib_socket up = {.fd = 20, .gen = 3}, other = {.fd = 21, .gen = 3},
				  reused = {.fd = 20, .gen = 4};
static uint32_t now = 1000; /* goes on from test to test */

static uint32_t asks(unsigned n, unsigned id, const char *name)
{
	struct attrib_owner o = client(n);
	struct wire w;

	wire_message(&w, id, WIRE_RD, name, 1);
	return intake_query(&intake, a, now, w.bytes, w.len, &o);
}

/* As the library does it. */
static bool is_answered(unsigned n, unsigned id, const char *name)
{
	struct attrib_owner o = client(n);
	struct wire w;

	wire_message(&w, id, WIRE_QR, name, 1);
	struct intake_found answered = intake_answer(&intake, a, w.bytes, w.len, &o);

	assert_false(answered.moving);
	return answered.pending || attrib_answered(a, now, answered.entered);
}

/* The table's decision on it, with all that is known. */
static struct attrib_decision decide(unsigned id, struct attrib_socket socket, const char *name)
{
	struct attrib_decision d;
	struct dns_message m;
	struct wire w;

	intake_empty(&intake, a, now);
	wire_message(&w, id, WIRE_RD, name, 1);
	assert_true(dns_parse(&key, w.bytes, w.len, &m));
	attrib_upstream_query(a, now, &m, socket, NULL, &d);
	attrib_commit(a, now, &m, &d);
	return d;
}

static void assert_decides(unsigned id, struct attrib_socket socket, const char *name,
			   enum attrib_evidence evidence, unsigned n)
{
	struct attrib_decision d = decide(id, socket, name);

	assert_int_equal(d.evidence, evidence);
	if (evidence != ATTRIB_NONE)
		assert_int_equal(d.owner.mark, n);
}

static void table_hears(unsigned id, struct attrib_socket socket, const char *name, unsigned flags,
			unsigned type, const char *data)
{
	struct dns_message m;
	struct wire w;

	wire_message(&w, id, WIRE_QR | WIRE_RA | flags, name, 1);
	wire_record(&w, false, name, (uint16_t)type, data);
	assert_true(dns_parse(&key, w.bytes, w.len, &m));
	attrib_upstream_answer(a, now, &m, w.bytes, w.len, socket, NULL);
}

static void assert_table_empty(void)
{
	struct attrib_usage usage = used();

	assert_int_equal(usage.waiting + usage.answered + usage.learned + usage.upstream, 0);
}

#endif
