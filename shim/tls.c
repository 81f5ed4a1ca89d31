// SPDX-License-Identifier: GPL-2.0-or-later
#include "tls.h"

#include "decide.h"
#include "events.h"
#include "rx.h"
#include "sent.h"
#include "sock.h"
#include "tls_pending.h"
#include "tx.h"
#include "withhold.h"

#include <errno.h>

enum {
	SESSION_FD = -2, /* in the place of a socket: sessions are told apart by their generation */
	MESSAGES_MAX = 64, /* in one piece of cleartext */
};

/* Cleartext on its way, and what became of the queries in it. */
struct cleartext {
	const void *session;
	int fd;
	unsigned stays; /* queries that must not leave (withhold.h) */
};

/* t: NULL where nothing can be decided. end: where the message's question ends. */
typedef void message_fn(struct thread *t, struct cleartext *text, const uint8_t *msg, size_t len,
			size_t end);

/* An object's address, as a number that is not 0. */
static uint32_t number_of(const void *session)
{
	uint64_t address = (uint64_t)(uintptr_t)session;

	return (uint32_t)(address >> 4 ^ address >> 32) | 1;
}

/*
 * Programs hand over a message with its length before it, several such, or the length by itself and then the message.
 * Returns whether they were all whole and had their lengths.
 */
static bool each_message(struct thread *t, struct cleartext *text, const uint8_t *buf, size_t len,
			 message_fn *fn)
{
	size_t end;

	for (int i = 0; i < MESSAGES_MAX && len > 2; i++) {
		size_t length = (size_t)buf[0] << 8 | buf[1];

		if (length + 2 > len || !(end = dns_question_end(buf + 2, length)))
			break;
		fn(t, text, buf + 2, length, end);
		buf += length + 2;
		len -= length + 2;
	}
	end = dns_question_end(buf, len);
	if (end)
		fn(t, text, buf, len, end);
	return !len;
}

/* The bytes that are written next bear this mark. */
static void expect_bytes(struct thread *t, uint32_t mark)
{
	/* several clients' queries that will leave together: nobody's mark, rather than another's */
	if (t->plain && mark != t->plain_mark)
		mark = shim.config.default_mark;
	if (!t->plain)
		t->plain_withheld = false;
	t->plain = true;
	t->plain_mark = mark;
}

static void written(struct thread *t, struct cleartext *text, const uint8_t *msg, size_t len,
		    size_t end)
{
	uint32_t number = number_of(text->session);
	struct attrib_owner who = {.session = number};
	struct decision decision;

	(void)len;
	if (dns_says_answer(msg)) {
		event_client_answer(t, &who, msg, end);
		return;
	}
	uint32_t mark = decide_query(t, (struct attrib_socket){.fd = SESSION_FD, .gen = number},
				     BY_CONNECTION, msg, end, &decision);

	/* several clients' queries that would leave together have no mark that is right for all */
	if (withhold_applies() &&
	    (decision_unknown(&decision) || (t->plain && mark != t->plain_mark))) {
		text->stays++;
		sent_not(-1, NULL, &decision, msg, end);
		return;
	}
	expect_bytes(t, mark);
	tls_pending_add(t, text->session, &decision, msg, end);
}

static void written_undecided(struct thread *t, struct cleartext *text, const uint8_t *msg,
			      size_t len, size_t end)
{
	(void)t;
	(void)len;
	(void)end;
	text->stays += !dns_says_answer(msg);
}

/*
 * Where a query must not leave, the TLS library does not get any of these bytes; the other clients' queries among them
 * are asked again. Only where the length has gone before, it does, and the connection ends with what comes of it.
 */
static bool stays(struct thread *t, const struct cleartext *text, bool whole)
{
	if (!text->stays)
		return false;
	if (!t || whole) {
		withhold_cleartext();
		return true;
	}
	expect_bytes(t, shim.config.default_mark);
	t->plain_withheld = true;
	return false;
}

bool tls_before_write(const void *session, const void *buf, size_t len)
{
	struct cleartext text = {.session = session, .fd = -1};
	struct thread *t = buf ? thread_enter() : NULL;
	int saved = errno;

	if (!buf || (!t && !withhold_applies()))
		return false;
	bool pending = t && t->plain;

	if (t)
		tls_pending_begin(t, session, len);
	bool whole = each_message(t, &text, buf, len, t ? written : written_undecided);
	bool stay = stays(t, &text, whole);

	if (t) {
		if (stay)
			tls_pending_forget();
		t->plain = stay ? pending : t->plain;
		t->plain_held = !stay;
		t->plain_used = false;
		thread_leave(t);
	}
	errno = saved;
	return stay;
}

void tls_after_write(int fd, bool taken)
{
	struct thread *t = thread_enter();
	int saved = errno;

	if (!t)
		return;
	tls_pending_end(taken);
	if (t->plain_used)
		tls_pending_left(t, true);
	t->plain_held = false;
	if (fd >= 0 || t->plain_used)
		t->plain = false;
	thread_leave(t);
	errno = saved;
}

static void client_asked(struct thread *t, const struct cleartext *text, const uint8_t *msg,
			 size_t end)
{
	int fd = text->fd >= 0 ? text->fd : t->tcp_fd;
	struct fd_state *st = sock_known(fd);
	struct attrib_owner who = {.session = number_of(text->session)};

	if (!st || !rx_serves_clients(st))
		return;
	who.fd = fd;
	who.fd_gen = fd_gen(st);
	who.flow.proto = IPPROTO_TCP;
	sock_ends(who.fd, st, &who.flow.local, &who.flow.client);
	event_client_query(t, &who, msg, end);
}

static void decrypted(struct thread *t, struct cleartext *text, const uint8_t *msg, size_t len,
		      size_t end)
{
	struct attrib_socket socket = {.fd = SESSION_FD, .gen = number_of(text->session)};

	if (dns_says_answer(msg))
		event_upstream_answer(t, socket, msg, len);
	else
		client_asked(t, text, msg, end);
}

void tls_read(const void *session, int fd, const void *buf, size_t len)
{
	struct cleartext text = {.session = session, .fd = fd};
	struct thread *t = thread_enter();
	int saved = errno;

	if (!t)
		return;
	each_message(t, &text, buf, len, decrypted);
	thread_leave(t);
	errno = saved;
}
