// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The TLS libraries' calls for data. They are exported whether the program has such a library or not; a program that
 * calls them has. Where it was loaded for somebody alone, it is found from the caller.
 */
#include "real.h"
#include "tls.h"

#include <errno.h>

#define CALLER __builtin_return_address(0)

/* As REAL, for callers that may see another library than we do. */
#define REAL_FOR(name) \
	(real.name ? real.name : (__typeof__(real.name))real_resolve_for(REAL_##name, CALLER))

typedef int get_fd_fn(const void *session);

/* The descriptor by which a session writes or reads; -1 where the program moves the encrypted bytes itself. */
static int ssl_fd(const char *getter, _Atomic(get_fd_fn *) *slot, const void *ssl, void *caller)
{
	get_fd_fn *get = *slot;

	if (!get)
		*slot = get = (get_fd_fn *)real_beside(getter, caller);
	return get ? get(ssl) : -1;
}

static int write_fd(const void *ssl, void *caller)
{
	static _Atomic(get_fd_fn *) getter;

	return ssl_fd("SSL_get_wfd", &getter, ssl, caller);
}

static int read_fd(const void *ssl, void *caller)
{
	static _Atomic(get_fd_fn *) getter;

	return ssl_fd("SSL_get_rfd", &getter, ssl, caller);
}

int SSL_write(void *ssl, const void *buf, int len);
int SSL_write_ex(void *ssl, const void *buf, size_t len, size_t *written);
int SSL_read(void *ssl, void *buf, int len);
int SSL_read_ex(void *ssl, void *buf, size_t len, size_t *got);
ssize_t gnutls_record_send(void *session, const void *buf, size_t len);
ssize_t gnutls_record_recv(void *session, void *buf, size_t len);

SHIM_EXPORT int SSL_write(void *ssl, const void *buf, int len)
{
	__typeof__(real.SSL_write) call = REAL_FOR(SSL_write);

	if (!call)
		return -1;
	if (tls_before_write(ssl, buf, len > 0 ? (size_t)len : 0))
		return len;
	int ret = call(ssl, buf, len);

	tls_after_write(write_fd(ssl, CALLER), ret > 0);
	return ret;
}

SHIM_EXPORT int SSL_write_ex(void *ssl, const void *buf, size_t len, size_t *written)
{
	__typeof__(real.SSL_write_ex) call = REAL_FOR(SSL_write_ex);

	if (!call)
		return 0;
	if (tls_before_write(ssl, buf, len)) {
		*written = len;
		return 1;
	}
	int ret = call(ssl, buf, len, written);

	tls_after_write(write_fd(ssl, CALLER), ret > 0);
	return ret;
}

SHIM_EXPORT int SSL_read(void *ssl, void *buf, int len)
{
	__typeof__(real.SSL_read) call = REAL_FOR(SSL_read);
	int ret = call ? call(ssl, buf, len) : -1;

	if (ret > 0)
		tls_read(ssl, read_fd(ssl, CALLER), buf, (size_t)ret);
	return ret;
}

SHIM_EXPORT int SSL_read_ex(void *ssl, void *buf, size_t len, size_t *got)
{
	__typeof__(real.SSL_read_ex) call = REAL_FOR(SSL_read_ex);
	int ret = call ? call(ssl, buf, len, got) : 0;

	if (ret > 0)
		tls_read(ssl, read_fd(ssl, CALLER), buf, *got);
	return ret;
}

/* GnuTLS programs bring their own transport more often than not: the thread's latest read says which. */
SHIM_EXPORT ssize_t gnutls_record_send(void *session, const void *buf, size_t len)
{
	__typeof__(real.gnutls_record_send) call = REAL_FOR(gnutls_record_send);

	if (!call)
		return -1;
	if (tls_before_write(session, buf, len))
		return (ssize_t)len;
	ssize_t ret = call(session, buf, len);

	tls_after_write(-1, ret > 0);
	return ret;
}

SHIM_EXPORT ssize_t gnutls_record_recv(void *session, void *buf, size_t len)
{
	__typeof__(real.gnutls_record_recv) call = REAL_FOR(gnutls_record_recv);
	ssize_t ret = call ? call(session, buf, len) : -1;

	if (ret > 0)
		tls_read(session, -1, buf, (size_t)ret);
	return ret;
}
