/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding out what a descriptor is, and where its ends are: the questions to the kernel, each asked
 * once. */
#ifndef SHIM_SOCK_H
#define SHIM_SOCK_H

#include "fdtab.h"
#include "thread.h"

/** Finds out what a descriptor is that has not been looked at yet; NULL where it is none of ours. errno is kept. */
struct fd_state *sock_learn(int fd);

/** The descriptor's state with its kind known; NULL where it is none of ours to look at. errno is kept. */
static inline struct fd_state *sock_known(int fd)
{
	struct fd_state *st = fd_find(fd);
	uint32_t kind = st ? fd_flags(st) & FD_KIND : FD_UNKNOWN;

	if (kind == FD_UDP || kind == FD_TCP)
		return st;
	return kind == FD_UNKNOWN ? sock_learn(fd) : NULL;
}

/** The same, where work of ours may begin now; NULL: the real function, and nothing else. */
static inline struct fd_state *sock_ours(int fd)
{
	return thread_may_enter() ? sock_known(fd) : NULL;
}

/** A socket was made. */
void sock_born(int fd, int domain, int type, int protocol);

/** A connection was accepted. */
void sock_accepted(int listener, int fd);

/** A UDP socket is about to receive and has sent no query: finds out its local address, or asks for
 * each datagram's. */
void sock_serve(int fd, struct fd_state *st);

/** The program set a socket option: is it one that it shares with us? Then its messages are not hidden from it. */
void sock_option_set(int fd, struct fd_state *st, int level, int name, bool on);

/** The program asks for such an option: what it would be without us. False: it is none that we touch. */
bool sock_option_hidden(const struct fd_state *st, int level, int name, int *value);

/** Both ends of a TCP connection, or of a connected UDP socket; false where they cannot be told, and then neither is
 * written. */
bool sock_ends(int fd, struct fd_state *st, struct endpoint *self, struct endpoint *peer);

/** The ends may be others from now on. */
void sock_ends_changed(struct fd_state *st);

/** A UDP socket was connected, or by AF_UNSPEC disconnected. */
void sock_connected(struct fd_state *st, const struct sockaddr *to, socklen_t len);

#endif
