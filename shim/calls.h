/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one list of interposed calls: SHIM_CALL(return type, name, (parameters)).
 *
 * Everything that must agree on the list is made from it: the table of the real functions (real.h), the export map
 * (exports.map.in) and the test that compares both with what `nm -D` finds in the library. There is no include
 * guard: each user defines SHIM_CALL and includes the file.
 *
 * SHIM_CALL_OPTIONAL: the C library may lack it (glibc before the version named); the wrapper then answers ENOSYS.
 * SHIM_CALL_TIMED: takes a time, so that programs may import it by another name (compat.h).
 * The fortified forms (`__*_chk`) are what programs built with _FORTIFY_SOURCE really import.
 */
#include "compat.h"

#ifndef SHIM_CALL_OPTIONAL
#define SHIM_CALL_OPTIONAL SHIM_CALL
#endif
#ifndef SHIM_CALL_TIMED
#define SHIM_CALL_TIMED SHIM_CALL
#endif

/* receive */
SHIM_CALL(ssize_t, read, (int fd, void *buf, size_t len))
SHIM_CALL(ssize_t, readv, (int fd, const struct iovec *iov, int iovcnt))
SHIM_CALL(ssize_t, recv, (int fd, void *buf, size_t len, int flags))
SHIM_CALL(ssize_t, recvfrom, (int fd, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *fromlen))
SHIM_CALL(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags))
SHIM_CALL_TIMED(int, recvmmsg,
		(int fd, struct mmsghdr *vec, unsigned vlen, COMPAT_MMSG_FLAGS flags, struct timespec *timeout))
#if COMPAT_FORTIFIED
SHIM_CALL_OPTIONAL(ssize_t, __read_chk, (int fd, void *buf, size_t len, size_t buflen))
SHIM_CALL_OPTIONAL(ssize_t, __recv_chk, (int fd, void *buf, size_t len, size_t buflen, int flags))
SHIM_CALL_OPTIONAL(ssize_t, __recvfrom_chk,
		   (int fd, void *buf, size_t len, size_t buflen, int flags, struct sockaddr *from,
		    socklen_t *fromlen))
#endif

/* send */
SHIM_CALL(ssize_t, write, (int fd, const void *buf, size_t len))
SHIM_CALL(ssize_t, writev, (int fd, const struct iovec *iov, int iovcnt))
SHIM_CALL(ssize_t, send, (int fd, const void *buf, size_t len, int flags))
SHIM_CALL(ssize_t, sendto,
	  (int fd, const void *buf, size_t len, int flags, const struct sockaddr *to, socklen_t tolen))
SHIM_CALL(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags))
SHIM_CALL(int, sendmmsg, (int fd, struct mmsghdr *vec, unsigned vlen, COMPAT_MMSG_FLAGS flags))

/* connections and socket options */
SHIM_CALL(int, connect, (int fd, const struct sockaddr *to, socklen_t tolen))
SHIM_CALL(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len))
SHIM_CALL(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len))

/* where descriptors are born and where they end */
SHIM_CALL(int, socket, (int domain, int type, int protocol))
SHIM_CALL(int, accept, (int fd, struct sockaddr *from, socklen_t *fromlen))
SHIM_CALL(int, accept4, (int fd, struct sockaddr *from, socklen_t *fromlen, int flags))
SHIM_CALL(int, dup, (int fd))
SHIM_CALL(int, dup2, (int fd, int to))
SHIM_CALL(int, dup3, (int fd, int to, int flags))
SHIM_CALL(int, fcntl, (int fd, int cmd, ...))
SHIM_CALL_OPTIONAL(int, fcntl64, (int fd, int cmd, ...)) /* glibc 2.28 */
SHIM_CALL(int, close, (int fd))
SHIM_CALL_OPTIONAL(int, close_range, (unsigned first, unsigned last, int flags)) /* glibc 2.34 */
SHIM_CALL_OPTIONAL(void, closefrom, (int first))				 /* glibc 2.34 */

/* event waits: where a thread's turn ends */
SHIM_CALL(int, poll, (struct pollfd *fds, nfds_t n, int timeout))
SHIM_CALL_TIMED(int, ppoll,
		(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask))
#if COMPAT_FORTIFIED
SHIM_CALL_OPTIONAL(int, __poll_chk, (struct pollfd *fds, nfds_t n, int timeout, size_t fdslen))
SHIM_CALL_OPTIONAL(int, __ppoll_chk,
		   (struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
		    size_t fdslen))
#endif
SHIM_CALL_TIMED(int, select, (int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *timeout))
SHIM_CALL_TIMED(int, pselect,
		(int n, fd_set *r, fd_set *w, fd_set *x, const struct timespec *timeout, const sigset_t *mask))
SHIM_CALL(int, epoll_wait, (int fd, struct epoll_event *events, int n, int timeout))
SHIM_CALL(int, epoll_pwait, (int fd, struct epoll_event *events, int n, int timeout, const sigset_t *mask))
SHIM_CALL_OPTIONAL(int, epoll_pwait2,
		   (int fd, struct epoll_event *events, int n, const struct timespec *timeout,
		    const sigset_t *mask)) /* glibc 2.35 */

/* privileges */
SHIM_CALL(int, setuid, (uid_t uid))
SHIM_CALL(int, seteuid, (uid_t euid))
SHIM_CALL(int, setreuid, (uid_t ruid, uid_t euid))
SHIM_CALL(int, setresuid, (uid_t ruid, uid_t euid, uid_t suid))
SHIM_CALL(int, capset, (cap_user_header_t header, const cap_user_data_t data))

/*
 * TLS libraries, where the program has them: the question in the clear, before it is encrypted (OpenSSL's SSL_write(3),
 * GnuTLS's gnutls_record_send(3)).
 */
SHIM_CALL_OPTIONAL(int, SSL_write, (void *ssl, const void *buf, int len))
SHIM_CALL_OPTIONAL(int, SSL_write_ex, (void *ssl, const void *buf, size_t len, size_t *written))
SHIM_CALL_OPTIONAL(int, SSL_read, (void *ssl, void *buf, int len))
SHIM_CALL_OPTIONAL(int, SSL_read_ex, (void *ssl, void *buf, size_t len, size_t *got))
SHIM_CALL_OPTIONAL(ssize_t, gnutls_record_send, (void *session, const void *buf, size_t len))
SHIM_CALL_OPTIONAL(ssize_t, gnutls_record_recv, (void *session, void *buf, size_t len))

/* libuv and others go past the C library's wrappers with it */
SHIM_CALL(long, syscall, (long number, ...))

#undef SHIM_CALL
#undef SHIM_CALL_OPTIONAL
#undef SHIM_CALL_TIMED
