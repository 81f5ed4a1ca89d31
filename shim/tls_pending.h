/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queries that the program has handed to its TLS library, until their encrypted bytes leave: then they are counted and
 * traced. A library may keep them for a while (a corked GnuTLS session), hand them over again (the program's retry),
 * or leave the bytes to the program (OpenSSL's memory BIOs). One list a thread.
 */
#ifndef SHIM_TLS_PENDING_H
#define SHIM_TLS_PENDING_H

#include "decide.h"
#include "sent.h"
#include "thread.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The thread ends. */
void tls_pending_thread_ends(void);

/**
 * A call begins, with len bytes. Whose bytes were not seen to leave for long are taken to have left as was meant: by
 * another thread.
 */
void tls_pending_begin(const struct thread *t, const void *session, size_t len);

/** A query of the call. One that is there already stays as it was decided first. */
void tls_pending_add(const struct thread *t, const void *session, const struct decision *d,
		     const uint8_t *msg, size_t end);

/** Nothing of the call goes to the library. */
void tls_pending_forget(void);

/** The call is over. taken: the library has its queries; else the program will hand them over again. */
void tls_pending_end(bool taken);

/** What the call took, or all that was taken for no known connection, has left: see plain_fd and plain_borne. */
void tls_pending_left(const struct thread *t, bool of_call);

/*
 * Records that are written after the call, perhaps in a later turn: they come in the order in which their cleartext was
 * handed over, one for each call or several calls' in one, each longer by what its cipher adds. Where that does not come
 * out, the connection's records cannot be told apart any more.
 */

/* A walk along records that are about to be written, or have been. All zero: at its start. */
struct tls_walk {
	unsigned queries; /* that it has passed */
};

/** The session of the call writes by this connection. */
void tls_pending_writes_by(int fd, uint32_t gen);

/*
 * A record that could not be written stays with the TLS library and comes again, perhaps in a call that hands over
 * another query. It is known by its first bytes.
 */
enum { TLS_RECORD_START = 16 };

/** A write failed for now, whose bytes were to bear this mark. */
void tls_pending_refused(int fd, uint32_t gen, const uint8_t start[TLS_RECORD_START],
			 uint32_t mark);

/** Is this what failed last? */
bool tls_pending_again(int fd, uint32_t gen, const uint8_t start[TLS_RECORD_START], uint32_t *mark);

/**
 * Which mark must the next record bear?
 *
 * @param length  of the record
 * @return false where nothing is known of it
 */
bool tls_pending_whose(struct tls_walk *walk, int fd, uint32_t gen, size_t length, uint32_t *mark);

/** Records that the walk has passed have left. */
void tls_pending_records_left(const struct tls_walk *walk, int fd, uint32_t gen, uint32_t borne,
			      enum sent_as instead);

#endif
