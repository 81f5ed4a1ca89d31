// SPDX-License-Identifier: GPL-2.0-or-later
#include "tls.h"

#include "decide.h"
#include "rx.h"
#include "sock.h"
#include "tls_pending.h"
#include "tx.h"

#include <errno.h>

enum {
	SESSION_FD = -2, /* in the place of a socket: sessions are told apart by their generation */
	MESSAGES_MAX = 64, /* in one piece of cleartext */
};

/* end: where the message's question ends. */
typedef void message_fn(struct thread *t, const void *session, int fd, const uint8_t *msg,
			size_t len, size_t end);

/* An object's address, as a number that is not 0. */
static uint32_t number_of(const void *session)
{
	uint64_t address = (uint64_t)(uintptr_t)session;

	return (uint32_t)(address >> 4 ^ address >> 32) | 1;
}

/*
 * Programs hand over a message with its length before it, several such, or the length by itself and then the message.
 */
static void each_message(struct thread *t, const void *session, int fd, const uint8_t *buf,
			 size_t len, message_fn *fn)
{
	size_t end;

	for (int i = 0; i < MESSAGES_MAX && len > 2; i++) {
		size_t length = (size_t)buf[0] << 8 | buf[1];

		if (length + 2 > len || !(end = dns_question_end(buf + 2, length)))
			break;
		fn(t, session, fd, buf + 2, length, end);
		buf += length + 2;
		len -= length + 2;
	}
	end = dns_question_end(buf, len);
	if (end)
		fn(t, session, fd, buf, len, end);
}

static void written(struct thread *t, const void *session, int fd, const uint8_t *msg, size_t len,
		    size_t end)
{
	struct attrib_socket socket = {.fd = SESSION_FD, .gen = number_of(session)};
	struct attrib_owner who = {.session = number_of(session)};
	struct dns_message query;

	(void)fd;
	if (msg[2] & 0x80) {
		tx_answered(t, &who, msg, end);
		return;
	}
	if (!dns_parse(attrib_key(shim.attrib), msg, len, &query))
		return;
	struct decision decision;
	uint32_t mark = decide_query(t, socket, &query, &decision);

	/* several clients' queries that will leave together: nobody's mark, rather than another's */
	if (t->plain && mark != t->plain_mark)
		mark = shim.config.default_mark;
	t->plain = true;
	t->plain_mark = mark;
	tls_pending_add(t, session, &decision, msg, end);
}

void tls_before_write(const void *session, const void *buf, size_t len)
{
	struct thread *t = buf ? thread_enter() : NULL;
	int saved = errno;

	if (!t)
		return;
	tls_pending_begin(t);
	each_message(t, session, -1, buf, len, written);
	t->plain_held = true;
	t->plain_used = false;
	thread_leave(t);
	errno = saved;
}

void tls_after_write(int fd, bool taken)
{
	struct thread *t = thread_enter();
	int saved = errno;

	if (!t)
		return;
	tls_pending_end(taken);
	if (t->plain_used)
		tls_pending_left(t);
	t->plain_held = false;
	if (fd >= 0 || t->plain_used)
		t->plain = false;
	thread_leave(t);
	errno = saved;
}

static void client_asked(struct thread *t, const void *session, int fd, const uint8_t *msg,
			 size_t end)
{
	struct fd_state *st = sock_known(fd >= 0 ? fd : t->tcp_fd);
	struct attrib_owner who = {.session = number_of(session)};

	if (!st || !rx_serves_clients(st))
		return;
	who.fd = fd >= 0 ? fd : t->tcp_fd;
	who.fd_gen = fd_gen(st);
	who.flow.proto = IPPROTO_TCP;
	if (sock_ends(who.fd, st)) {
		who.flow.client = st->peer;
		who.flow.local = st->self;
	}
	rx_client_query(t, &who, msg, end);
}

static void decrypted(struct thread *t, const void *session, int fd, const uint8_t *msg, size_t len,
		      size_t end)
{
	struct attrib_socket socket = {.fd = SESSION_FD, .gen = number_of(session)};

	if (msg[2] & 0x80)
		rx_upstream_answer(t, socket, msg, len);
	else
		client_asked(t, session, fd, msg, end);
}

void tls_read(const void *session, int fd, const void *buf, size_t len)
{
	struct thread *t = thread_enter();
	int saved = errno;

	if (!t)
		return;
	each_message(t, session, fd, buf, len, decrypted);
	thread_leave(t);
	errno = saved;
}
