/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From an upstream query to the mark it must bear: attribution, then the client's mark, looked up
 * when first needed. */
#ifndef SHIM_DECIDE_H
#define SHIM_DECIDE_H

#include "fdtab.h"
#include "thread.h"

#include <stdint.h>

/**
 * The mark of an upstream query (only the bits of the mask count), CONNMARK_DEFAULT where nobody's
 * or unknown. Counted and traced.
 */
uint32_t decide_query(struct thread *t, struct attrib_socket socket,
		      const struct dns_message *query);

/**
 * The mark of a connection, or of bytes on one, whose question is not known (yet): the thread's turn alone can tell.
 *
 * @param shared  the connection is for all who wait at once (DNS over TLS): where the turn says nothing, the mark of
 *                one of them
 */
uint32_t decide_connection(struct thread *t, bool shared);

#endif
