/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeping the one capability that marks need across every way in which resolvers drop their privileges
 * (capabilities(7)), and nothing beside it: the program ends with the set that it would have had, and that one bit.
 * It is CAP_NET_ADMIN, or CAP_NET_RAW where clients' packets bring their marks.
 *
 * Capabilities are each thread's own: a program that has threads before it changes its user keeps the bit only in the
 * thread that does so (the C library has the others follow past us). None of the resolvers tried does that.
 */
#ifndef SHIM_CAPS_H
#define SHIM_CAPS_H

#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Between the two halves of a change of user. */
struct caps_change {
	uint32_t bit;	   /* the capability to keep; 0: nothing to do */
	bool keepcaps_set; /* by us, for the time of the call */
	bool was_root;	   /* one of the three user ids was 0 */
};

/** Before the real call. */
void caps_before(struct caps_change *change);

/** After it; done: whether it succeeded. errno is kept. */
void caps_after(struct caps_change *change, bool done);

/** May this thread set marks? For telling a firewall's EPERM from a missing capability. errno is kept. */
bool caps_can_mark(void);

enum { CAPS_WORDS = _LINUX_CAPABILITY_U32S_3 };

/**
 * Adds the bit to what the program is about to set, where it is there to be kept.
 *
 * @param changed  room for the changed sets
 * @return what to hand to the real capset: data itself where nothing is to be added
 */
cap_user_data_t caps_added(cap_user_header_t header, const cap_user_data_t data,
			   struct __user_cap_data_struct changed[CAPS_WORDS]);

#endif
