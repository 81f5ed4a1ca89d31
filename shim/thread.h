/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What belongs to one thread: whether it is inside the shim, its turn, and its netlink socket. */
#ifndef SHIM_THREAD_H
#define SHIM_THREAD_H

#include "attrib.h"
#include "config.h"
#include "intake.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct thread {
	/*
	 * Inside the shim's own work. Calls that come in meanwhile (from an allocator, from a
	 * signal handler) go straight through. Never set across a real call on the program's
	 * behalf.
	 */
	volatile sig_atomic_t busy;
	struct attrib_turn turn;
	/* the turn's newest message is this query of that intake, the thread's own or one that lent it; 0: it is not */
	uint32_t turn_query;
	struct intake *turn_intake;
	struct intake *intake; /* its own */
	/*
	 * A question seen in the clear, whose encrypted bytes are yet to be written: the mark they must bear. While the TLS
	 * library is at work (plain_held) all that it writes bears it; after that the next bytes that are written.
	 */
	bool plain, plain_held, plain_used;
	bool plain_withheld; /* ... or that they must not leave */
	uint32_t plain_mark;
	/* how they left: by which connection, with which mark, and as what where it is not theirs (enum sent_as) */
	int plain_fd;
	uint32_t plain_borne;
	uint8_t plain_instead;
	uint32_t writer;	 /* as which this thread claims connections to write on: writer.c */
	struct fd_state *writes; /* ... and the one that it has claimed */
	int tcp_fd;		 /* the connection read last: what is decrypted next came by it */
	unsigned intake_index;
	/* the netlink socket of conntrack.c: valid while the number is still ours and no fork came
	 * between */
	int netlink;
	uint32_t netlink_gen;
	pid_t netlink_pid;
	bool netlink_made;
	uint32_t netlink_seq;
};

extern _Thread_local struct thread thread_self __attribute__((tls_model("initial-exec")));

/* What the constructor made; nothing of it changes afterwards. */
struct shim {
	struct config config;
	struct attrib *attrib;
	uint32_t kernel; /* version << 8 | patchlevel, as in 0x0506 for 5.6 */
};

extern struct shim shim;

/* The constructor is through and the configuration is good: before and otherwise, everything goes
 * straight through. */
extern _Atomic bool shim_ready;

/** May work of the shim's own begin now? */
static inline bool thread_may_enter(void)
{
	return atomic_load_explicit(&shim_ready, memory_order_acquire) && !thread_self.busy;
}

/** Begins work of the shim's own; NULL where there must be none now. */
static inline struct thread *thread_enter(void)
{
	struct thread *t = &thread_self;

	if (!thread_may_enter())
		return NULL;
	t->busy = 1;
	return t;
}

static inline void thread_leave(struct thread *t)
{
	t->busy = 0;
}

/** An event wait: the thread's turn is over. */
static inline void thread_turn_ends(void)
{
	thread_self.turn.messages = 0;
	thread_self.plain = false;
}

/** Milliseconds of the coarse monotonic clock: for ages, not for durations. */
uint32_t thread_now_ms(void);

/** Called once, from the constructor: handlers for fork and for a thread's end. */
void thread_init(void);

/** A thread that has a netlink socket, an intake or a claim to write wants to give it back when it ends. */
void thread_wants_end(void);

#endif
