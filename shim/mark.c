// SPDX-License-Identifier: GPL-2.0-or-later
#include "mark.h"

#include "caps.h"
#include "log.h"
#include "real.h"
#include "thread.h"
#include "withhold.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

/* Linux 5.4: SO_MARK as a control message (c6af0c227a22); 5.16: its route is honoured for IPv6 (42dcfd850e51). */
enum { KERNEL_MARK_CMSG = 0x0504, KERNEL_MARK_CMSG_ROUTE6 = 0x0510 };

static uint32_t ask(int fd)
{
	uint32_t now = 0;
	socklen_t len = sizeof(now);

	return REAL(getsockopt)(fd, SOL_SOCKET, SO_MARK, &now, &len) == 0 ? now : 0;
}

static uint32_t current(int fd, struct fd_state *st)
{
	if (!(fd_flags(st) & FD_CURRENT)) {
		atomic_store_explicit(&st->current_mark, ask(fd), memory_order_relaxed);
		if (!(fd_flags(st) & FD_SHARED))
			fd_set_flags(st, FD_CURRENT);
	}
	return atomic_load_explicit(&st->current_mark, memory_order_relaxed);
}

uint32_t mark_now(int fd, struct fd_state *st)
{
	return current(fd, st);
}

bool mark_is(int fd, struct fd_state *st, uint32_t whole)
{
	return current(fd, st) == whole;
}

/* What the program set, or the socket was born with: known before we first change it. */
uint32_t mark_before(int fd, struct fd_state *st)
{
	if (!(fd_flags(st) & FD_BASE)) {
		atomic_store_explicit(&st->base_mark, current(fd, st), memory_order_relaxed);
		fd_set_flags(st, FD_BASE);
	}
	return atomic_load_explicit(&st->base_mark, memory_order_relaxed);
}

uint32_t mark_for(int fd, struct fd_state *st, uint32_t mark)
{
	uint32_t mask = shim.config.mask;

	return mask == UINT32_MAX ? mark : (mark_before(fd, st) & ~mask) | (mark & mask);
}

bool mark_needs_socket(const struct fd_state *st)
{
	uint32_t flags = fd_flags(st);

	if (shim.kernel < KERNEL_MARK_CMSG)
		return true;
	if (!(flags & FD_INET6))
		return false;
	/* A connected IPv6 socket sends by its cached route, whatever the message says (measured on 6.18). */
	return (flags & FD_CONNECTED && flags & FD_PEER6) || shim.kernel < KERNEL_MARK_CMSG_ROUTE6;
}

/* Several threads may mark one socket: what is noted must be what was set last. */
static int set(int fd, struct fd_state *st, uint32_t whole)
{
	int error = 0;

	fd_lock_streams(st, fd);
	if (REAL(setsockopt)(fd, SOL_SOCKET, SO_MARK, &whole, sizeof(whole)) != 0) {
		error = errno;
	} else {
		atomic_store_explicit(&st->current_mark, whole, memory_order_relaxed);
		fd_set_flags(st, FD_MARKED);
	}
	fd_unlock_streams(fd);
	return error;
}

void mark_say_failed(int error)
{
	log_cause(error != EPERM    ? LOG_mark_failed
		  : caps_can_mark() ? LOG_mark_forbidden
				    : LOG_mark_not_permitted,
		  error);
}

enum marking mark_socket(int fd, struct fd_state *st, uint32_t whole)
{
	if (mark_is(fd, st, whole))
		return MARK_DONE;
	mark_before(fd, st); /* while it can still be seen */
	bool marked = fd_flags(st) & FD_MARKED;
	int error = set(fd, st, whole);

	if (!error && marked && whole == mark_for(fd, st, shim.config.default_mark))
		log_count(LOG_cleared);
	if (!error)
		return MARK_DONE;
	if (error == ENOTSOCK) { /* closed past us, and something else by now */
		fd_forget(fd);
		return MARK_FAILED;
	}
	mark_say_failed(error);
	if (!(fd_flags(st) & (FD_MARKED | FD_SHARED)))
		return MARK_FAILED; /* never marked by us: it bears nobody's */
	return mark_is(fd, st, mark_for(fd, st, shim.config.default_mark)) ? MARK_FAILED
									   : MARK_STALE;
}

/*
 * For connections that change hands. Nagle's algorithm (RFC 1122, section 4.2.3.4) would keep a query back until the
 * one before is acknowledged, and by then the mark may be another's. TCP_NOTSENT_LOWAT (tcp(7), Linux 3.12): the
 * connection is writable only while nothing waits to be sent.
 */
static void send_at_once(int fd, struct fd_state *st)
{
	int one = 1;

	if (fd_flags(st) & FD_PROMPT)
		return;
	REAL(setsockopt)(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	REAL(setsockopt)(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &one, sizeof(one));
	fd_set_flags(st, FD_PROMPT);
}

static bool has_unsent(int fd)
{
	int unsent = 0;

	return ioctl(fd, SIOCOUTQNSD, &unsent) == 0 && unsent > 0;
}

int mark_ready(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return REAL(poll)(&p, 1, 0) > 0 ? p.revents : 0;
}

enum marking mark_connection(int fd, struct fd_state *st, uint32_t whole)
{
	bool live = fd_flags(st) & FD_LIVE;

	fd_set_flags(st, FD_LIVE);
	if (mark_is(fd, st, whole))
		return MARK_DONE;
	if (!live)
		return mark_socket(fd, st, whole);
	send_at_once(fd, st);

	int ready = mark_ready(fd);

	if (!ready) {
		log_count(LOG_stream_waits);
		return MARK_LATER;
	}
	if (ready & (POLLERR | POLLHUP))
		return MARK_DONE; /* nothing will leave any more; the write says why */
	if (has_unsent(fd)) {
		/* Writable all the same: shut down, or the limit is not ours. No mark, rather than another client's. */
		log_count(LOG_stream_conflicts);
		uint32_t nobodys = mark_for(fd, st, shim.config.default_mark);
		enum marking marking = mark_socket(fd, st, nobodys);

		return marking == MARK_DONE && nobodys != whole && withhold_applies() ? MARK_FAILED
										      : marking;
	}
	return mark_socket(fd, st, whole);
}

bool mark_hidden(int fd, struct fd_state *st, uint32_t *whole)
{
	if (!(fd_flags(st) & FD_MARKED))
		return false;
	*whole = mark_before(fd, st);
	return true;
}

void mark_set_by_program(struct fd_state *st, uint32_t whole)
{
	atomic_store_explicit(&st->base_mark, whole, memory_order_relaxed);
	atomic_store_explicit(&st->current_mark, whole, memory_order_relaxed);
	fd_set_flags(st, FD_BASE | (fd_flags(st) & FD_SHARED ? 0 : FD_CURRENT));
}
