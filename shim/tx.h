/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every send: what leaves is looked at before the real call (an upstream query gets its mark) and
 * after it (a client's answer ends its wait).
 *
 * Datagrams bear their mark as a control message, so that threads sharing a socket cannot mix
 * theirs; connections bear it as a socket option, set before each query's bytes. Where the kernel
 * refuses the mark, the query leaves without it: the resolver must go on answering.
 */
#ifndef SHIM_TX_H
#define SHIM_TX_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

/*
 * How the program's own call is made where nothing is to be changed: the wrappers differ only in
 * this. ctx is the wrapper's.
 */
typedef ssize_t tx_plain_fn(void *ctx);

/**
 * Sends one message on any descriptor.
 *
 * @param app    the program's call in the form of sendmsg
 * @param plain  the program's call as it made it
 * @return as the program's call
 */
ssize_t tx_send(int fd, const struct msghdr *app, int flags, tx_plain_fn *plain, void *ctx);

/** sendmmsg, all of it. */
int tx_sendmmsg(int fd, struct mmsghdr *vec, unsigned vlen, int flags);

/** connect: a TCP connection is marked before it, so that its SYN, route and source address are
 * right. */
int tx_connect(int fd, const struct sockaddr *to, socklen_t len);

#endif
