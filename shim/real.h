/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real functions behind the interposed ones. real.c is the only file that calls dlsym. */
#ifndef SHIM_REAL_H
#define SHIM_REAL_H

#include "compat.h"

#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#define SHIM_EXPORT __attribute__((visibility("default")))

/* NOLINTBEGIN(bugprone-macro-parentheses) */
struct real_calls {
#define SHIM_CALL(ret, name, params) ret(*name) params;
#include "calls.h"
};

enum real_id {
#define SHIM_CALL(ret, name, params) REAL_##name,
#include "calls.h"
	REAL_COUNT
};
/* NOLINTEND(bugprone-macro-parentheses) */

extern struct real_calls real;

/**
 * Finds all real functions; called once, from the constructor. Functions that other constructors
 * use before are found one by one on their first use.
 */
void real_resolve_all(void);

/** Finds one real function now and keeps it; NULL where the C library has none. Never allocates on
 * success. */
void *real_resolve(enum real_id id);

/** Is the real function there? Only calls marked SHIM_CALL_OPTIONAL may lack it. */
#define REAL_EXISTS(name) (real.name || real_resolve(REAL_##name))

/** The real function of that name, found at the latest now. */
#define REAL(name) (real.name ? real.name : (__typeof__(real.name))real_resolve(REAL_##name))

/**
 * Finds a real function for a caller that lives in a library loaded later and for itself alone (dlopen without
 * RTLD_GLOBAL): what its own dependencies say. Keeps it in the table.
 *
 * @param caller  an address in the calling code
 */
void *real_resolve_for(enum real_id id, void *caller);

/** Any other function that goes with one of the table's, as real_resolve_for would find it; NULL: there is none. */
void *real_beside(const char *name, void *caller);

/**
 * A system call without the C library, so without dlsym and errno: for the syscall() wrapper before
 * the constructor has run (jemalloc calls it while it holds its own initialisation lock).
 *
 * @return what the kernel returned: a negative errno on failure
 */
long real_raw_syscall(long number, const long arg[6]);

#endif
