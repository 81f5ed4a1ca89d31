/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rewriting control messages (cmsg(3)): adding a mark to what a program sends, and hiding what only
 * the shim asked for from what it receives, so that the program finds its buffer exactly as the
 * kernel would have left it. Pure.
 */
#ifndef SHIM_CMSG_H
#define SHIM_CMSG_H

#include "flow.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* What SO_MARK adds, at most. */
#define CMSG_MARK_SPACE CMSG_SPACE(sizeof(uint32_t))

/**
 * Copies control messages and puts SO_MARK = mark in behind the others; where the program sends an
 * SO_MARK of its own, only the mask's bits of that are changed.
 *
 * @return bytes of out used, or 0 where out is too small
 */
size_t cmsg_add_mark(void *out, size_t size, const void *control, size_t len, uint32_t mark,
		     uint32_t mask);

/* The messages that the shim may have asked for: a datagram's destination, by family, and its mark. */
enum { CMSG_HIDE_LOCAL4 = 1, CMSG_HIDE_LOCAL6 = 2, CMSG_HIDE_MARK = 4 };

/* What they told. */
struct cmsg_told {
	struct endpoint local; /* the datagram's destination; family 0: not told */
	uint32_t mark;	       /* the packet's (SO_RCVMARK) */
	bool marked;	       /* ... is known */
};

/**
 * Takes the shim's own messages (IP_ORIGDSTADDR, IPV6_ORIGDSTADDR, and SO_MARK of SO_RCVMARK) out of what the kernel
 * delivered, and leaves the rest in out as the kernel's put_cmsg (net/core/scm.c) would have: truncated where out is
 * too small.
 *
 * @param out    may be control itself
 * @param size   of out; what the program offered
 * @param hide   which of them to take out: CMSG_HIDE_ bits
 * @param told   out: what they said, hidden or not
 * @param flags  MSG_CTRUNC is set here where the program's buffer was too small
 * @return bytes of out used: the program's msg_controllen
 */
size_t cmsg_hide(void *out, size_t size, const void *control, size_t len, unsigned hide,
		 struct cmsg_told *told, int *flags);

#endif
