/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DNS over a stream: each message behind its length in two bytes (RFC 1035, section 4.2.2; RFC
 * 7766). Pure. The pieces come as the program reads or writes them: half a message, one byte of a
 * length, or several messages.
 */
#ifndef SHIM_STREAM_H
#define SHIM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { STREAM_HELD_MAX = 4096 }; /* of a message that comes in pieces, as much is kept */

/* One direction of one connection. All zero: at its start. */
struct stream {
	uint8_t length_bytes; /* of the length, how many have been seen */
	bool synced; /* a plausible message has been seen; TLS: the cipher has just changed */
	bool alien;  /* this is something else than DNS: left alone from here on */
	uint8_t tls; /* ... TLS, whose records are followed: the type of the latest; 0: it is not */
	uint16_t length, seen;
	uint8_t *held; /* the message so far, where it comes in pieces */
};

/* Where buffers of STREAM_HELD_MAX bytes come from and go to; take may return NULL. */
struct stream_store {
	uint8_t *(*take)(void);
	void (*give)(uint8_t *held);
};

/**
 * Receives a message.
 *
 * @param have    bytes at msg; less than length only where the message was longer than
 * STREAM_HELD_MAX
 */
typedef void stream_message_fn(void *ctx, const uint8_t *msg, size_t have, size_t length);

/** Takes in bytes that were read, and calls fn for each message that they complete. */
void stream_feed(struct stream *s, const struct stream_store *store, const uint8_t *data,
		 size_t len, stream_message_fn *fn, void *ctx);

/**
 * Receives a message's start in bytes that are about to be written.
 *
 * @param head    as much of header and question as these bytes hold
 * @param offset  where its length prefix begins in them; 0 where that was written before
 * @return false to stop
 */
typedef bool stream_start_fn(void *ctx, const uint8_t *head, size_t have, size_t offset);

/**
 * Goes along limit bytes that are written, and calls fn (may be NULL) for each message that starts
 * in them. To look ahead, use a copy of the state.
 */
void stream_walk(struct stream *s, const struct iovec *iov, size_t count, size_t limit,
		 stream_start_fn *fn, void *ctx);

/* Types of TLS records (RFC 8446, section 5.1). */
enum { TLS_CHANGE_CIPHER = 20, TLS_HANDSHAKE = 22, TLS_APPLICATION = 23, TLS_TYPES_END = 25 };

/** Is this TLS: has it begun so, or does it begin with these bytes? */
bool stream_is_tls(const struct stream *s, const struct iovec *iov, size_t count);

/**
 * Receives a TLS record's start in bytes that are about to be written.
 *
 * @param type    of handshakes also where it says that it is application data (TLS 1.3: what follows a change of cipher)
 * @param offset  where its header begins in them; 0 where that was written before
 * @return false to stop
 */
typedef bool stream_record_fn(void *ctx, uint8_t type, uint16_t length, size_t offset);

/** As stream_walk, along the records of a stream that is TLS. */
void stream_records(struct stream *s, const struct iovec *iov, size_t count, size_t limit,
		    stream_record_fn *fn, void *ctx);

/** Gives back what is held, and starts anew. */
void stream_reset(struct stream *s, const struct stream_store *store);

#endif
