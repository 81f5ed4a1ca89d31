/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From an upstream query to the mark it must bear: attribution, then the client's mark, looked up
 * when first needed. */
#ifndef SHIM_DECIDE_H
#define SHIM_DECIDE_H

#include "fdtab.h"
#include "thread.h"

#include <stdint.h>

/* What was decided about an upstream query. */
struct decision {
	bool made; /* false: this is none, or it was told apart by nobody; the rest is not set then */
	struct attrib_decision why;
	uint32_t mark; /* that it is to bear */
};

/** A client caused it, whose mark could not be found out. */
static inline bool decision_unknown(const struct decision *d)
{
	return d->why.evidence != ATTRIB_NONE && d->why.owner.state != MARK_KNOWN;
}

/* By what an upstream query leaves. */
enum carrier {
	BY_NEW_SOCKET, /* a datagram, the first of its socket */
	BY_SOCKET,     /* ... or another */
	BY_CONNECTION,
};

/**
 * The mark of an upstream query (only the bits of the mask count), CONNMARK_DEFAULT where nobody's
 * or unknown. What becomes of it is for sent.h.
 *
 * @param msg, end  its bytes, up to the end of the question (dns_question_end)
 * @param out       the same with its reasons
 */
uint32_t decide_query(struct thread *t, struct attrib_socket socket, enum carrier by,
		      const uint8_t *msg, size_t end, struct decision *out);

/**
 * The mark of a connection, or of bytes on one, whose question is not known (yet): the thread's turn alone can tell.
 *
 * @param shared  the connection is for all who wait at once (DNS over TLS): where the turn says nothing, the mark of
 *                one of them
 * @param out     the same with its reasons; NULL: nobody wants to know
 */
uint32_t decide_connection(struct thread *t, bool shared, struct decision *out);

#endif
