// SPDX-License-Identifier: GPL-2.0-or-later
#include "mark.h"

#include "log.h"
#include "real.h"
#include "thread.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

/* Linux 5.4: SO_MARK as a control message (c6af0c227a22); 5.16: its route is honoured for IPv6
 * (42dcfd850e51). */
enum { KERNEL_MARK_CMSG = 0x0504, KERNEL_MARK_CMSG_ROUTE6 = 0x0510 };

static uint32_t base_of(int fd, struct fd_state *st)
{
	if (!(fd_flags(st) & FD_BASE)) {
		uint32_t now = 0;
		socklen_t len = sizeof(now);

		if (getsockopt(fd, SOL_SOCKET, SO_MARK, &now, &len) != 0)
			now = 0;
		mark_set_by_program(st, now);
	}
	return atomic_load_explicit(&st->base_mark, memory_order_relaxed);
}

uint32_t mark_for(int fd, struct fd_state *st, uint32_t mark)
{
	uint32_t mask = shim.config.mask;

	return mask == UINT32_MAX ? mark : (base_of(fd, st) & ~mask) | (mark & mask);
}

bool mark_needs_socket(const struct fd_state *st)
{
	uint32_t flags = fd_flags(st);

	if (shim.kernel < KERNEL_MARK_CMSG)
		return true;
	if (!(flags & FD_INET6))
		return false;
	/* A connected IPv6 socket sends by its cached route, whatever the message says (measured
	 * on 6.18). */
	return (flags & FD_CONNECTED && flags & FD_PEER6) || shim.kernel < KERNEL_MARK_CMSG_ROUTE6;
}

bool mark_socket(int fd, struct fd_state *st, uint32_t whole)
{
	if (mark_is_current(st, whole))
		return true;
	if (REAL(setsockopt)(fd, SOL_SOCKET, SO_MARK, &whole, sizeof(whole)) != 0) {
		log_cause(errno == EPERM ? LOG_mark_not_permitted : LOG_mark_failed, errno);
		return false;
	}
	atomic_store_explicit(&st->current_mark, whole, memory_order_relaxed);
	fd_set_flags(st, FD_MARKED);
	return true;
}

/*
 * Bytes written but not sent yet, since the connection is still being made or its window is full.
 * Nagle's algorithm (RFC 1122, section 4.2.3.4) is turned off for connections that change hands: it
 * would keep a query back until the one before is acknowledged, and by then the mark may be
 * another's.
 */
static bool has_unsent(int fd, struct fd_state *st)
{
	int one = 1, unsent = 0;

	if (!(fd_flags(st) & FD_NODELAY)) {
		REAL(setsockopt)(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		fd_set_flags(st, FD_NODELAY);
	}
	return ioctl(fd, SIOCOUTQNSD, &unsent) == 0 && unsent > 0;
}

bool mark_connection(int fd, struct fd_state *st, uint32_t whole)
{
	bool live = fd_flags(st) & FD_LIVE;

	fd_set_flags(st, FD_LIVE);
	if (mark_is_current(st, whole))
		return true;
	if (live && has_unsent(fd, st)) {
		log_count(LOG_stream_conflicts);
		whole = mark_for(fd, st, shim.config.default_mark);
	}
	return mark_socket(fd, st, whole);
}

void mark_set_by_program(struct fd_state *st, uint32_t whole)
{
	atomic_store_explicit(&st->base_mark, whole, memory_order_relaxed);
	atomic_store_explicit(&st->current_mark, whole, memory_order_relaxed);
	fd_set_flags(st, FD_BASE);
}
