/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DNS over TLS (RFC 7858): messages in the clear, as the program hands them to its TLS library or gets them from it.
 * On the connection itself nothing can be read; what is seen here says whose the encrypted bytes are that this thread
 * writes next.
 */
#ifndef SHIM_TLS_H
#define SHIM_TLS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * The program hands over bytes to be encrypted: an upstream query among them decides the mark of what this thread
 * writes next; a client's answer ends its wait.
 *
 * @param session  the TLS library's object; tells connections apart
 * @return whether the bytes stay here: the program is to be told that they were written (CONNMARK_ON_FAILURE=drop)
 */
bool tls_before_write(const void *session, const void *buf, size_t len);

/**
 * The call is over.
 *
 * @param fd     the descriptor by which the library writes, or -1 where the program moves the encrypted bytes itself:
 *               then they are perhaps still to come
 * @param taken  the TLS library has taken the bytes; else the program will hand them over again
 */
void tls_after_write(int fd, bool taken);

/** The program got decrypted bytes. fd: as above. */
void tls_read(const void *session, int fd, const void *buf, size_t len);

#endif
