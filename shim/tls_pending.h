/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queries that the program has handed to its TLS library, until their encrypted bytes leave: then they are counted and
 * traced. A library may keep them for a while (a corked GnuTLS session), hand them over again (the program's retry),
 * or leave the bytes to the program (OpenSSL's memory BIOs). One list a thread.
 */
#ifndef SHIM_TLS_PENDING_H
#define SHIM_TLS_PENDING_H

#include "decide.h"
#include "thread.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The thread ends. */
void tls_pending_thread_ends(void);

/** A call begins. Whose bytes were not seen to leave since are taken to have left as was meant: by another thread. */
void tls_pending_begin(const struct thread *t);

/** A query of the call. One that is there already stays as it was decided first. */
void tls_pending_add(const struct thread *t, const void *session, const struct decision *d,
		     const uint8_t *msg, size_t end);

/** Nothing of the call goes to the library. */
void tls_pending_forget(void);

/** The call is over. taken: the library has its queries; else the program will hand them over again. */
void tls_pending_end(bool taken);

/** What was taken has left, by the connection and with the mark that the thread notes (plain_fd, plain_borne). */
void tls_pending_left(const struct thread *t);

#endif
