/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three of attribution's four events as a thread meets them, on sockets or in a TLS library's cleartext: to its intake, or
 * to the table. The fourth asks for a decision (decide.h).
 */
#ifndef SHIM_EVENTS_H
#define SHIM_EVENTS_H

#include "thread.h"

/**
 * A client's query came in.
 *
 * @param msg, end  up to the end of its question (dns_question_end)
 */
void event_client_query(struct thread *t, struct attrib_owner *who, const uint8_t *msg, size_t end);

/** An upstream's answer came in. have: so much of it is there. */
void event_upstream_answer(struct thread *t, struct attrib_socket socket, const uint8_t *msg,
			   size_t have);

/**
 * A client's answer is about to leave: it waits no longer. Noted before it leaves: whatever another thread sends from then
 * on is not this client's any more, though this thread be set aside behind its send for a while. One that cannot leave is
 * there all the same: nothing more is asked for it.
 *
 * @param who        the client, by what tells clients apart: session, flow.client, flow.proto, fd, fd_gen
 * @param msg, have  at least a header
 */
void event_client_answer(struct thread *t, const struct attrib_owner *who, const uint8_t *msg,
			 size_t have);

#endif
