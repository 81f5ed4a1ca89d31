/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of an intake begin with: one intake, an empty table, and clients that are known by their marks. */
#ifndef TEST_INTAKES_H
#define TEST_INTAKES_H

#include "clients.h"
#include "harness.h"
#include "wire.h"

#include "intake.h"

#include <sys/mman.h>

static const struct sip_key key = {7, 8};
static struct intake intake;
static struct attrib *a;

static int setup(void **state)
{
	(void)state;
	void *memory = mmap(NULL, attrib_size(ATTRIB_CAPACITY_MIN), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -1;
	a = attrib_init(memory, ATTRIB_CAPACITY_MIN, &key);
	memset(&intake, 0, sizeof(intake));
	intake_init(&intake);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return munmap(a, attrib_size(ATTRIB_CAPACITY_MIN));
}

static struct attrib_owner client(unsigned n)
{
	return client_at(n, IPPROTO_UDP);
}

static struct attrib_usage used(void)
{
	struct attrib_usage usage;

	attrib_usage(a, &usage);
	return usage;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
