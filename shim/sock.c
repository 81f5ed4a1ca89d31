// SPDX-License-Identifier: GPL-2.0-or-later
#include "sock.h"

#include "real.h"
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/in6.h>
#include <netinet/in.h>

#ifndef SO_RCVMARK /* Linux 5.19, include/uapi/asm-generic/socket.h */
#define SO_RCVMARK 75
#endif

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static uint32_t kind_of(int domain, int type, int protocol)
{
	uint32_t family = domain == AF_INET6 ? FD_INET6 : 0;

	if (domain != AF_INET && domain != AF_INET6)
		return FD_OTHER;
	if (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP))
		return FD_UDP | family;
	if (type == SOCK_STREAM &&
	    (protocol == 0 || protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP))
		return FD_TCP | family;
	return FD_OTHER;
}

void sock_born(int fd, int domain, int type, int protocol)
{
	struct fd_state *st;

	fd_forget(fd);
	st = fd_get(fd);
	if (st)
		fd_set_flags(st, kind_of(domain, type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC), protocol) |
					 FD_CURRENT); /* a new socket has no mark */
}

void sock_accepted(int listener, int fd)
{
	struct fd_state *parent = sock_known(listener), *st;

	fd_forget(fd);
	st = fd_get(fd);
	if (parent && st)
		fd_set_flags(st, (fd_flags(parent) & (FD_KIND | FD_INET6)) | FD_ACCEPTED);
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return REAL(getsockopt)(fd, level, name, &value, &len) == 0 ? value : -1;
}

/* One that was there before us, or came past us: inherited, or received over a UNIX socket. */
static void classify(int fd, struct fd_state *st)
{
	struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(peer);
	uint32_t kind = kind_of(option(fd, SOL_SOCKET, SO_DOMAIN), option(fd, SOL_SOCKET, SO_TYPE),
				option(fd, SOL_SOCKET, SO_PROTOCOL));

	if ((kind & FD_KIND) == FD_UDP && getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
		sock_connected(st, (struct sockaddr *)&peer, len);
	fd_set_flags(st, kind | FD_ACCEPTED);
}

struct fd_state *sock_learn(int fd)
{
	struct fd_state *st = fd_get(fd);
	int saved = errno;

	if (!st)
		return NULL;
	classify(fd, st);
	errno = saved;
	uint32_t kind = fd_flags(st) & FD_KIND;

	return kind == FD_UDP || kind == FD_TCP ? st : NULL;
}

void sock_connected(struct fd_state *st, const struct sockaddr *to, socklen_t len)
{
	struct endpoint peer;

	sock_ends_changed(st);
	atomic_fetch_and(&st->flags, ~(uint32_t)(FD_CONNECTED | FD_PEER6));
	if (endpoint_from(&peer, to, len))
		fd_set_flags(st, FD_CONNECTED | (peer.family == AF_INET6 ? FD_PEER6 : 0));
}

/* Which flag says that the program asked for a control message itself; 0: another option. */
static uint32_t asked_flag(int level, int name)
{
	if (level == SOL_SOCKET && name == SO_RCVMARK)
		return FD_ASKED_MARK;
	if (level == SOL_IP && name == IP_RECVORIGDSTADDR)
		return FD_ASKED4;
	return level == SOL_IPV6 && name == IPV6_RECVORIGDSTADDR ? FD_ASKED6 : 0;
}

static void switch_on(int fd, int level, int name)
{
	int on = 1;

	REAL(setsockopt)(fd, level, name, &on, sizeof(on));
}

/*
 * The destination of each datagram as its header has it, address and port (ip(7), IP_RECVORIGDSTADDR; IPv6 since
 * Linux 2.6.37): the reply side of the conntrack tuple, whatever DNAT, REDIRECT or TPROXY made of it. It is read from
 * the packet, so it is there also for datagrams that came before it was asked for. The mark likewise (SO_RCVMARK).
 */
static void ask_for_control(int fd, uint32_t flags)
{
	if (source_now() == SOURCE_PACKET) {
		switch_on(fd, SOL_SOCKET, SO_RCVMARK);
		return;
	}
	switch_on(fd, SOL_IP, IP_RECVORIGDSTADDR);
	if (flags & FD_INET6)
		switch_on(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR);
}

/* Is it one of those that we ask for on this socket? */
static bool is_ours(uint32_t flags, uint32_t asked)
{
	return flags & FD_CONTROL && (asked == FD_ASKED_MARK) == (source_now() == SOURCE_PACKET);
}

void sock_option_set(int fd, struct fd_state *st, int level, int name, bool on)
{
	uint32_t flag = asked_flag(level, name);

	if (!flag)
		return;
	if (on) {
		fd_set_flags(st, flag);
		return;
	}
	atomic_fetch_and(&st->flags, ~flag);
	if (is_ours(fd_flags(st), flag))
		ask_for_control(fd, fd_flags(st));
}

bool sock_option_hidden(const struct fd_state *st, int level, int name, int *value)
{
	uint32_t flag = asked_flag(level, name);

	if (!flag || !is_ours(fd_flags(st), flag))
		return false;
	*value = fd_flags(st) & flag ? 1 : 0;
	return true;
}

typedef int name_fn(int fd, struct sockaddr *addr, socklen_t *len);

/* One end of a socket, as getsockname or getpeername tells it. */
static bool ask_end(int fd, name_fn *ask, struct endpoint *end)
{
	struct sockaddr_storage addr = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(addr);

	return ask(fd, (struct sockaddr *)&addr, &len) == 0 && endpoint_from(end, &addr, len);
}

/*
 * Must each datagram tell something of itself? Its mark, where that is the source; else its destination, unless the
 * socket is bound to one address, where it receives what was sent there (but for a transparent proxy's, IP_TRANSPARENT).
 */
static bool needs_control(int fd, const struct fd_state *st)
{
	return source_now() == SOURCE_PACKET || st->local.wildcard ||
	       option(fd, SOL_IP, IP_TRANSPARENT) > 0 ||
	       (fd_flags(st) & FD_INET6 && option(fd, SOL_IPV6, IPV6_TRANSPARENT) > 0);
}

void sock_serve(int fd, struct fd_state *st)
{
	uint32_t found = FD_SERVER;
	int saved = errno;

	source_now(); /* before the lock: it may have to be found out */
	fd_lock_streams(st, fd);
	uint32_t flags = fd_flags(st);

	if (!(flags & FD_SERVER) && ask_end(fd, getsockname, &st->local) && st->local.port) {
		if (!(flags & FD_CONNECTED) && needs_control(fd, st)) {
			ask_for_control(fd, flags);
			found |= FD_CONTROL;
		}
		if (!(REAL(fcntl)(fd, F_GETFL, 0) & O_NONBLOCK))
			found |= FD_BLOCKING;
		fd_set_flags(st, found);
	}
	fd_unlock_streams(fd);
	errno = saved;
}

/* Threads that ask at the same moment have their own answers; one of them notes its own for those who ask later. */
static void note_ends(struct fd_state *st, const struct endpoint *self, const struct endpoint *peer)
{
	if (atomic_fetch_or(&st->flags, FD_NOTING) & FD_NOTING)
		return;
	st->self = *self;
	st->peer = *peer;
	fd_set_flags(st, FD_ENDS);
}

bool sock_ends(int fd, struct fd_state *st, struct endpoint *self, struct endpoint *peer)
{
	struct endpoint here, there;
	int saved = errno;

	if (fd_flags(st) & FD_ENDS) {
		*self = st->self;
		*peer = st->peer;
		return true;
	}
	bool ok = ask_end(fd, getpeername, &there) && ask_end(fd, getsockname, &here);

	if (ok) {
		*self = here;
		*peer = there;
		note_ends(st, self, peer);
	}
	errno = saved;
	return ok;
}

void sock_ends_changed(struct fd_state *st)
{
	atomic_fetch_and(&st->flags, ~(uint32_t)(FD_ENDS | FD_NOTING));
}
