/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of each descriptor. Two levels of pages, made on demand, so that any descriptor up
 * to FD_LIMIT has a place and an untouched range costs nothing. The state is set back where a
 * descriptor is born (socket, accept, dup) as well as where it is seen to end, since libraries
 * close descriptors past us and numbers are reused at once.
 */
#ifndef SHIM_FDTAB_H
#define SHIM_FDTAB_H

#include "flow.h"
#include "stream.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { FD_LIMIT = 1 << 20 }; /* the kernel's default fs.nr_open */

/* Bits of fd_state.flags. The kind is in the lowest. */
/* clang-format off */
enum {
	FD_UNKNOWN = 0,
	FD_OTHER = 1,          /* no internet socket: files, pipes, eventfds, UNIX sockets, netlink */
	FD_UDP = 2,
	FD_TCP = 3,
	FD_OURS = 4,           /* a descriptor of the shim's own */
	FD_KIND = 7,

	FD_INET6 = 1 << 3,
	FD_CONNECTED = 1 << 4, /* UDP: has a peer */
	FD_PEER6 = 1 << 5,     /* ... and it is IPv6, not v4-mapped */
	FD_SENT = 1 << 6,      /* an upstream query has left by it, or it was connected as a TCP client */
	FD_SERVER = 1 << 7,    /* UDP, receiving: its local address is known, or ... */
	FD_CONTROL = 1 << 8,   /* ... each datagram's destination or mark comes with it; hidden, unless the program ... */
	FD_ASKED4 = 1 << 9,    /* ... asked for it too: IP_RECVORIGDSTADDR */
	FD_ASKED6 = 1 << 10,   /* ... or IPV6_RECVORIGDSTADDR */
	FD_ASKED_MARK = 1 << 23, /* ... or SO_RCVMARK */
	FD_BLOCKING = 1 << 11, /* receiving waits: each receive starts a new turn */
	FD_BASE = 1 << 12,     /* base_mark is known */
	FD_CURRENT = 1 << 13,  /* current_mark is known */
	FD_MARKED = 1 << 14,   /* ... and was set by us */
	FD_SHARED = 1 << 15,   /* another number means the same socket: its mark can change behind our back */
	FD_ENDS = 1 << 16,     /* self and peer are known */
	FD_NOTING = 1 << 25,   /* ... or are being noted, by the thread that set this */
	FD_ANSWERED = 1 << 17, /* UDP: a client's answer has left by it */
	FD_LIVE = 1 << 18,     /* TCP: a query's bytes have been handed to the kernel */
	FD_PROMPT = 1 << 19,   /* TCP: what is written is sent at once */
	FD_ACCEPTED = 1 << 21, /* TCP: a client made it, as far as we know */
	FD_TLS = 1 << 22,      /* TCP: to the port of DNS over TLS */
	FD_FIRST = 1 << 20,    /* CONNMARK_STREAM=first: the connection has its mark for good */
	FD_ROOTED = 1 << 24,   /* TCP: its source address is the program's choice (bind) and stays */
};
/* clang-format on */

struct fd_state {
	_Atomic uint32_t flags;
	_Atomic uint32_t
		gen; /* counts births and ends: tells the sockets apart that bear one number */
	/* the socket's SO_MARK: as the program set it, and as it is now */
	_Atomic uint32_t base_mark, current_mark;
	_Atomic uint32_t
		reader; /* who received a client's query by it: an intake's number plus one (intakes.c) */
	_Atomic uint32_t writer; /* TCP: the thread that writes on it: writer.c */
	/* the mark of the client at the other end, once looked up (TCP): see decide.c */
	_Atomic uint64_t client_mark;
	/* the mark that a query left with last, and whose socket's it was: see sent.c */
	_Atomic uint64_t sent_mark;
	union {
		_Atomic uint64_t cookie; /* of a socket of our own (conntrack.c) */
		_Atomic uint64_t lent;	 /* of one that sends queries upstream (intakes.c) */
	};
	struct stream rx, tx;	    /* under fd_lock_streams */
	struct endpoint local;	    /* where it is bound; written before FD_SERVER is set */
	struct endpoint self, peer; /* the ends of a connection; written before FD_ENDS is set */
	uint32_t unanswered;	    /* queries that left on the connection, less the answers */
	uint32_t tx_withheld; /* bytes yet to come of a message that does not leave (withhold.h) */
	uint32_t stream_gen;  /* the descriptor that they belong to */
};

enum { FD_PAGE_BITS = 9, FD_PAGE_SIZE = 1 << FD_PAGE_BITS, FD_PAGES = FD_LIMIT >> FD_PAGE_BITS };

extern _Atomic(struct fd_state *) fd_pages[FD_PAGES];

/** The state of a descriptor; NULL where there is none and cannot be one. */
struct fd_state *fd_get(int fd);

/** The same, but only where the page exists already: for the question "is this anything we know?". Inline: each read
 * and write of the program, of files and pipes too, asks it. */
static inline struct fd_state *fd_find(int fd)
{
	if ((unsigned)fd >= FD_LIMIT)
		return NULL;
	struct fd_state *page =
		atomic_load_explicit(&fd_pages[(unsigned)fd >> FD_PAGE_BITS], memory_order_acquire);

	return page ? page + ((unsigned)fd & (FD_PAGE_SIZE - 1)) : NULL;
}

/** A descriptor begins or ends: all that was known of its number is forgotten. Safe in a signal
 * handler. */
void fd_forget(int fd);

/** The same for a range, both ends included. */
void fd_forget_range(unsigned first, unsigned last);

/** dup: the new number means the same socket. */
void fd_copy(int from, int to);

static inline uint32_t fd_flags(const struct fd_state *st)
{
	return atomic_load_explicit(&st->flags, memory_order_acquire);
}

static inline uint32_t fd_set_flags(struct fd_state *st, uint32_t flags)
{
	return atomic_fetch_or_explicit(&st->flags, flags, memory_order_acq_rel);
}

static inline uint32_t fd_gen(const struct fd_state *st)
{
	return atomic_load_explicit(&st->gen, memory_order_acquire);
}

/** Guards rx and tx, and makes sure that they are this descriptor's. Never held across a call that
 * may block. */
void fd_lock_streams(struct fd_state *st, int fd);
void fd_unlock_streams(int fd);

/** Called once, from the constructor. */
void fd_init(void);

/** In a child after fork: the locks are free again. */
void fd_after_fork(void);

/** Where streams keep messages that come in pieces. */
extern const struct stream_store fd_store;

#endif
