/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two halves of every receive: before the real call, room is made for what the program did not
 * ask for (a datagram's sender and destination); after it, that is hidden again, and what came in
 * becomes events.
 *
 *     struct rx rx;
 *     rx_begin(&rx, fd, st, &msg, flags);
 *     return rx_end(&rx, &msg, rx_receive(&rx, flags));
 *
 * Many receives need neither half (rx_is_plain): the program's own call is made, and what came in is looked at.
 */
#ifndef SHIM_RX_H
#define SHIM_RX_H

#include "cmsg.h"
#include "fdtab.h"
#include "sock.h"
#include "thread.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { RX_CONTROL = 1024 };

struct rx {
	int fd;
	struct fd_state *st;
	uint32_t gen;	  /* the descriptor's when the call began */
	bool observe;	  /* what comes in is really taken out of the socket */
	bool substituted; /* the kernel is given msg, not the program's own */
	bool own_name, own_control;
	bool gone; /* it was no socket any more: for read and readv the program's own call is to be made after all */
	bool discards;	     /* what comes in goes nowhere (TCP and MSG_TRUNC) */
	socklen_t name_room; /* for the sender's name */
	struct msghdr msg;
	struct sockaddr_storage name;
	_Alignas(struct cmsghdr) char control[RX_CONTROL];
};

/**
 * Is this the receive of one datagram by a socket that needs nothing but to be looked at?
 *
 * @param name  where the sender's name is to be put; NULL: it is not asked for
 */
static inline bool rx_is_plain(const struct fd_state *st, const void *name, int flags)
{
	const uint32_t odd = FD_CONTROL | FD_BLOCKING, known = FD_SENT | FD_CONNECTED;
	uint32_t state = fd_flags(st);

	return (state & (FD_KIND | odd)) == FD_UDP && state & (name ? known | FD_SERVER : known) &&
	       !(flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB));
}

/**
 * Takes note of a datagram that a plain receive has brought; errno is kept.
 *
 * @param gen          the descriptor's when the call began
 * @param n            what there is of it
 * @param name, named  the sender's name, and how much of it is there
 */
void rx_datagram(int fd, struct fd_state *st, uint32_t gen, const uint8_t *data, size_t n,
		 const struct sockaddr *name, socklen_t named);

/** The first half. app: the program's call in the form of recvmsg. */
void rx_begin(struct rx *rx, int fd, struct fd_state *st, const struct msghdr *app, int flags);

/** What the program's call is to be replaced with, where substituted; errno as the real call's. */
ssize_t rx_receive(struct rx *rx, int flags);

/**
 * Takes note of what came in, and gives the program what it asked for.
 *
 * @param app  the program's message header; changed as the real call would have
 * @param n    what the real call returned, and errno with it
 * @return n
 */
ssize_t rx_end(struct rx *rx, struct msghdr *app, ssize_t n);

/**
 * The two halves of rx_end, for batches: leaves the program's header as the kernel would have, had
 * nothing been substituted; and takes note of one message.
 *
 * @param name_room  room that there was for the sender's name
 * @param told       what the control messages said of the datagram
 */
void rx_restore(const struct rx *rx, bool own_name, const struct msghdr *got, struct msghdr *app,
		struct cmsg_told *told);
void rx_arrived(const struct rx *rx, const struct msghdr *seen, socklen_t name_room, size_t n,
		const struct cmsg_told *told);

/** Does this socket serve clients, so that a query that comes in by it is a client's? */
bool rx_serves_clients(const struct fd_state *st);

/** The same for recvmmsg, all of it (rx_batch.c). */
int rx_recvmmsg(int fd, struct mmsghdr *vec, unsigned vlen, int flags, struct timespec *timeout);

#endif
