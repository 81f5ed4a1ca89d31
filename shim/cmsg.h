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

/* Messages about a datagram's destination, by family. */
enum { CMSG_HIDE_LOCAL4 = 1, CMSG_HIDE_LOCAL6 = 2 };

/**
 * Takes the shim's own messages (IP_ORIGDSTADDR, IPV6_ORIGDSTADDR) out of what the kernel
 * delivered, and leaves the rest in out as the kernel's put_cmsg (net/core/scm.c) would have:
 * truncated where out is too small.
 *
 * @param out    may be control itself
 * @param size   of out; what the program offered
 * @param hide   which of them to take out: CMSG_HIDE_LOCAL4, CMSG_HIDE_LOCAL6
 * @param local  out: the datagram's destination, where a message tells it; family 0 where none does
 * @param flags  MSG_CTRUNC is set here where the program's buffer was too small
 * @return bytes of out used: the program's msg_controllen
 */
size_t cmsg_hide_local(void *out, size_t size, const void *control, size_t len, unsigned hide,
		       struct endpoint *local, int *flags);

#endif
