// SPDX-License-Identifier: GPL-2.0-or-later
/* What is written on a TCP connection: each query's bytes bear its client's mark. */
#include "cmsg.h"
#include "decide.h"
#include "events.h"
#include "iov.h"
#include "log.h"
#include "mark.h"
#include "real.h"
#include "route.h"
#include "sent.h"
#include "sock.h"
#include "tls_pending.h"
#include "tx.h"
#include "withhold.h"
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

/*
 * What is in the bytes of one write, up to where the mark changes. Bytes that go on with a message that began before
 * keep the mark that it has; a message whose question is not there yet, and what is no DNS at all, get what the
 * thread's turn says, else the default mark.
 */
enum { BEGUN_MAX = 16 }; /* queries that one part of a write may hold */

/* An upstream query that begins in these bytes. */
struct begun {
	unsigned ordinal; /* which message of the part it is */
	struct decision decision;
};

struct outgoing {
	struct thread *t;
	int fd;
	struct fd_state *st;
	uint32_t gen; /* fd_gen as the write began */
	bool decided; /* `whole` is what these bytes must bear; else: what the connection bears */
	bool queries; /* at least one upstream query begins here */
	bool plain;   /* ... as was seen in the clear before it was encrypted */
	bool tls;     /* whose records are followed ... */
	struct tls_walk walk; /* ... and these are queries' that were seen in the clear */
	bool headless; /* of the message that begins here the length has left before, or a part of it */
	bool withheld; /* all before `limit` must not leave, and the program not know (withhold.h) */
	bool ends;     /* the connection has to end, for what must not leave cannot be left out */
	uint32_t whole;	      /* the mark of all before `limit` */
	size_t limit;	      /* bytes that may leave with it */
	enum sent_as instead; /* what these bytes bear another mark as, if they do */
	unsigned messages, queries_begun;
	struct begun *begun; /* BEGUN_MAX of them */
	struct writer *writer;
	const struct msghdr *app;
};

/* From this offset on the mark is this. Returns false where it is another than before: then the bytes end there. */
static bool decide_from(struct outgoing *out, size_t offset, uint32_t mark)
{
	uint32_t whole = mark_for(out->fd, out->st, mark);

	if (offset && (out->decided ? whole != out->whole : !mark_is(out->fd, out->st, whole))) {
		out->limit = offset;
		return false;
	}
	out->decided = true;
	out->whole = whole;
	return true;
}

/*
 * Of a query whose question is not all there, nobody can say yet whose it is. It may leave where the turn says so, but
 * not where its client's mark may turn out to be unknown.
 */
static bool must_stay(const struct outgoing *out, const struct decision *decision,
		      bool whole_question, size_t have)
{
	bool undecided = !whole_question && decision->why.evidence == ATTRIB_NONE && have > 2 &&
			 !(fd_flags(out->st) & FD_ACCEPTED);

	return withhold_applies() && (undecided || decision_unknown(decision));
}

/* end: where its question ends; 0: that is not there. */
static void decide_message(struct outgoing *out, const uint8_t *head, size_t end,
			   struct decision *decision)
{
	struct attrib_socket socket = {out->fd, fd_gen(out->st)};

	if (end)
		decide_query(out->t, socket, BY_CONNECTION, head, end, decision);
	else
		decide_connection(out->t, fd_flags(out->st) & FD_TLS, decision);
}

/* Whose answer begins in these bytes waits no longer. */
static void answer_leaves(struct outgoing *out, const uint8_t *head, size_t have)
{
	struct attrib_owner who;

	attrib_owner_begin(&who, out->fd, fd_gen(out->st), IPPROTO_TCP);
	if (have < DNS_HEADER_LEN ||
	    !sock_ends(out->fd, out->st, &who.flow.local, &who.flow.client))
		return;
	event_client_answer(out->t, &who, head, have);
}

static bool message_starts(void *ctx, const uint8_t *head, size_t have, size_t offset)
{
	struct outgoing *out = ctx;
	size_t end = dns_question_end(head, have);
	struct begun *begun = &out->begun[out->queries_begun];

	if (have > 2 && dns_says_answer(head)) {
		answer_leaves(out, head, have);
		out->messages++;
		return true; /* none of our marks */
	}
	if (out->queries_begun == BEGUN_MAX) {
		out->limit = offset;
		return false;
	}
	out->queries = true;
	decide_message(out, head, end, &begun->decision);
	bool stays = must_stay(out, &begun->decision, end, have);

	if (stays && offset) {
		out->limit = offset; /* what is before it leaves first */
		return false;
	}
	if (!stays && !decide_from(out, offset, begun->decision.mark))
		return false;
	begun->ordinal = out->messages++;
	out->queries_begun++;
	out->withheld = stays;
	return !stays;
}

/* What cannot be read here was perhaps seen in the clear before (tls.c). */
static uint32_t mark_of_unread(struct outgoing *out)
{
	out->plain = out->t->plain;
	out->ends = out->plain && out->t->plain_withheld;
	return out->plain ? out->t->plain_mark
			  : decide_connection(out->t, fd_flags(out->st) & FD_TLS, NULL);
}

/*
 * A record that is written after the call that encrypted it: of application data nobody may guess, of what the
 * connection needs anybody who waits may be charged.
 */
static uint32_t mark_of_record(struct outgoing *out, uint8_t type, size_t length,
			       struct tls_walk *walk)
{
	uint32_t mark;

	if (type != TLS_APPLICATION)
		return decide_connection(out->t, fd_flags(out->st) & FD_TLS, NULL);
	if (tls_pending_whose(walk, out->fd, fd_gen(out->st), length, &mark))
		return mark;
	out->plain = out->t->plain;
	return out->plain ? out->t->plain_mark : decide_connection(out->t, false, NULL);
}

static bool record_starts(void *ctx, uint8_t type, uint16_t length, size_t offset)
{
	struct outgoing *out = ctx;
	struct tls_walk walk = out->walk;

	if (!decide_from(out, offset, mark_of_record(out, type, length, &walk)))
		return false;
	out->walk = walk;
	return true;
}

/* What a TLS library writes amid a call for data is what it has been given, or what it could not write before. */
static uint32_t mark_of_call(struct outgoing *out, const struct iovec *iov, size_t count)
{
	uint8_t start[TLS_RECORD_START];
	uint32_t mark = mark_of_unread(out), before;

	tls_pending_writes_by(out->fd, fd_gen(out->st));
	if (iov_gather(iov, count, 0, start, sizeof(start)) == sizeof(start) &&
	    tls_pending_again(out->fd, fd_gen(out->st), start, &before))
		return before;
	return mark;
}

static void look_ahead_tls(struct outgoing *out, struct stream *ahead, const struct iovec *iov,
			   size_t count, size_t total)
{
	bool held = out->t->plain && out->t->plain_held;

	if (held && ahead->length_bytes) /* the rest of a record */
		out->plain = true;
	else if (held)
		decide_from(out, 0, mark_of_call(out, iov, count));
	else if (out->t->plain_withheld)
		decide_from(out, 0, mark_of_unread(out));
	else
		stream_records(ahead, iov, count, total, record_starts, out);
}

static void look_ahead(struct outgoing *out, const struct iovec *iov, size_t count, size_t total)
{
	fd_lock_streams(out->st, out->fd);
	struct stream ahead = out->st->tx;

	fd_unlock_streams(out->fd);
	bool goes_on = ahead.seen > 0 && !ahead.alien;
	bool ours = fd_flags(out->st) & FD_SENT;

	out->headless = ahead.length_bytes && !goes_on;
	out->tls = stream_is_tls(&ahead, iov, count);
	if (out->tls && ours) {
		look_ahead_tls(out, &ahead, iov, count, total);
		return;
	}
	stream_walk(&ahead, iov, count, total, message_starts, out);
	/* no message begins here, and none goes on: a length alone, or whatever it is, on a connection upstream */
	if (!out->queries && !goes_on && ours)
		decide_from(out, 0, mark_of_unread(out));
}

/* Is the mark of these bytes a query's? Of encrypted ones, one that is not nobody's. */
static bool is_of_query(const struct outgoing *out)
{
	bool unread = out->plain || out->walk.queries;

	return out->queries ||
	       (unread && out->whole != mark_for(out->fd, out->st, shim.config.default_mark));
}

static enum marking mark_stream(const struct outgoing *out)
{
	bool first = shim.config.stream == STREAM_FIRST;

	if (!out->decided || shim.config.dry_run || (first && fd_flags(out->st) & FD_FIRST))
		return MARK_DONE;
	bool ours = out->queries && !(fd_flags(out->st) & FD_ACCEPTED);
	enum marking marking = ours ? route_follow_stream(out->fd, out->st, out->whole) : MARK_DONE;

	if (marking == MARK_DONE)
		marking = mark_connection(out->fd, out->st, out->whole);
	if (marking == MARK_DONE && first && is_of_query(out))
		fd_set_flags(out->st, FD_FIRST);
	return marking;
}

/* Would a blocking send be restarted after a signal? Only where every handler was installed with SA_RESTART. */
static bool restarts(void)
{
	for (int sig = 1; sig < NSIG; sig++) {
		struct sigaction sa;

		if (sigaction(sig, NULL, &sa) == 0 && sa.sa_handler != SIG_DFL &&
		    sa.sa_handler != SIG_IGN && !(sa.sa_flags & SA_RESTART))
			return false;
	}
	return true;
}

/* As long as SO_SNDTIMEO allows, in ms; -1: for ever. */
static int send_timeout(int fd)
{
	struct timeval limit = {0};
	socklen_t len = sizeof(limit);

	if (REAL(getsockopt)(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, &len) != 0 ||
	    (!limit.tv_sec && !limit.tv_usec))
		return -1;
	return (int)(limit.tv_sec * 1000 + limit.tv_usec / 1000) + 1;
}

/* A blocking program's write waits, another's is told to come again. False: with the errno of the write. */
static bool wait_writable(int fd, int flags)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int saved = errno, timeout, n;

	if (flags & MSG_DONTWAIT || REAL(fcntl)(fd, F_GETFL, 0) & O_NONBLOCK) {
		errno = EAGAIN;
		return false;
	}
	timeout = send_timeout(fd);
	do
		n = REAL(poll)(&p, 1, timeout);
	while (n < 0 && errno == EINTR && timeout < 0 && restarts());
	if (n > 0)
		errno = saved;
	else if (n == 0)
		errno = EAGAIN;
	return n > 0;
}

/* The decision about the part's next message; NULL: it is no query. */
static const struct decision *decision_of_next(struct outgoing *out)
{
	unsigned ordinal = out->messages++;

	if (!out->queries_begun || out->begun->ordinal != ordinal)
		return NULL;
	out->queries_begun--;
	return &out->begun++->decision;
}

static bool query_dropped(void *ctx, const uint8_t *head, size_t have, size_t offset)
{
	struct outgoing *out = ctx;
	const struct decision *decision = decision_of_next(out);

	(void)offset;
	if (decision)
		sent_not(out->fd, out->st, decision, head, dns_question_end(head, have));
	return true;
}

static bool query_left(void *ctx, const uint8_t *head, size_t have, size_t offset)
{
	struct outgoing *out = ctx;
	const struct decision *decision = decision_of_next(out);

	(void)offset;
	if (decision)
		sent_query(&(struct sent){
			.fd = out->fd,
			.st = out->st,
			.decision = decision,
			.borne = mark_now(out->fd, out->st),
			.instead = out->instead,
			.to = out->app->msg_name,
			.to_len = out->app->msg_namelen,
			.msg = head,
			.end = dns_question_end(head, have),
		});
	return true;
}

/* Calls fn for each message that begins in the first n bytes, if there is a query among them. Not under the lock: a
 * trace is written. */
static void each_begun(struct outgoing *out, const struct iovec *iov, size_t count, size_t n,
		       stream_start_fn *fn)
{
	if (!out->queries_begun)
		return;
	fd_lock_streams(out->st, out->fd);
	struct stream ahead = out->st->tx;

	fd_unlock_streams(out->fd);
	struct begun *first = out->begun;

	out->messages = 0;
	stream_walk(&ahead, iov, count, n, fn, out);
	out->begun = first;
}

/* What is still to come of a message whose start was withheld. */
static size_t withheld_rest(struct outgoing *out, size_t total)
{
	fd_lock_streams(out->st, out->fd);
	size_t rest = out->st->tx_withheld;

	fd_unlock_streams(out->fd);
	if (rest && !withhold_goes_on(out->fd))
		return 0;
	return rest < total ? rest : total;
}

/* The bytes of what was seen in the clear have left, or never will. */
static void plain_done(struct thread *t)
{
	t->plain_used = true;
	t->plain = t->plain_held;
}

/* The first message in these bytes must not leave: the others may go their own ways. */
static bool withhold_first(struct outgoing *out, const struct iovec *iov, size_t count,
			   size_t total, int flags)
{
	uint8_t length[2];

	out->withheld = false;
	if (!withhold(out->fd)) {
		out->limit = total;
		return true;
	}
	if (out->ends || out->headless || flags & MSG_FASTOPEN ||
	    iov_gather(iov, count, 0, length, 2) < 2) {
		if (out->plain) {
			plain_done(out->t);
			tls_pending_forget();
		}
		each_begun(out, iov, count, total, query_dropped);
		withhold_connection(out->fd);
		return false;
	}
	size_t whole = 2 + ((size_t)length[0] << 8 | length[1]);

	fd_lock_streams(out->st, out->fd);
	out->st->tx_withheld = (uint32_t)whole;
	fd_unlock_streams(out->fd);
	out->withheld = true;
	out->limit = whole < total ? whole : total;
	each_begun(out, iov, count, out->limit, query_dropped);
	return true;
}

/* Bytes that do not leave, and the program believes they have. */
static ssize_t swallow(struct outgoing *out, size_t bytes)
{
	fd_lock_streams(out->st, out->fd);
	out->st->tx_withheld -= (uint32_t)bytes;
	fd_unlock_streams(out->fd);
	return (ssize_t)bytes;
}

/* Queries that begin here, in the clear or not, whose mark is not known or could not be set. */
static bool must_withhold(const struct outgoing *out, enum marking marking)
{
	bool failed = marking == MARK_FAILED || marking == MARK_STALE;

	return out->withheld || out->ends ||
	       (failed && (out->queries || out->plain || out->walk.queries) && withhold_applies());
}

static void begin(struct outgoing *out, struct thread *t, size_t total)
{
	*out = (struct outgoing){
		.t = t,
		.fd = out->fd,
		.st = out->st,
		.gen = out->gen,
		.limit = total,
		.begun = out->begun,
		.writer = out->writer,
		.app = out->app,
	};
}

/* What becomes of bytes that have been looked at; false: they may not leave, with an errno. */
static bool settle(struct outgoing *out, const struct iovec *iov, size_t count, size_t total,
		   int flags, enum marking marking)
{
	out->instead = marking == MARK_FAILED		    ? SENT_REFUSED
		       : shim.config.stream == STREAM_FIRST ? SENT_FIRST
							    : SENT_CONFLICT;
	if (must_withhold(out, marking)) {
		out->ends |= out->plain || out->walk.queries;
		return withhold_first(out, iov, count, total, flags);
	}
	if (marking != MARK_STALE)
		return true;
	each_begun(out, iov, count, out->limit, query_dropped);
	log_cause(LOG_stale_mark, 0);
	errno = EPERM;
	return false;
}

/* No other thread marks this connection, or writes on it, until the claim ends; false: with the errno of the write. */
static bool claim(struct outgoing *out, int flags)
{
	while (!writer_begin(out->fd, out->st, out->writer))
		if (!wait_writable(out->fd, flags))
			return false;
	if (fd_gen(out->st) == out->gen)
		return true;
	writer_end(out->writer); /* closed while this thread waited, and perhaps another's by now */
	errno = EBADF;
	return false;
}

/* What was written before must leave first, which others may see to as well. */
static bool wait_for_room(struct outgoing *out, int flags)
{
	writer_end(out->writer);
	return wait_writable(out->fd, flags) && claim(out, flags);
}

/* Decides about these bytes and marks the connection for them; false, with an errno, where they may not leave. */
static bool prepare(struct outgoing *out, const struct iovec *iov, size_t count, size_t total,
		    int flags)
{
	for (;;) {
		struct thread *t = thread_enter();
		int saved = errno;

		begin(out, t, total);
		if (!t)
			return true;
		size_t rest = withheld_rest(out, total);

		if (rest) {
			out->withheld = true;
			out->limit = rest;
			thread_leave(t);
			return true;
		}
		look_ahead(out, iov, count, total);
		enum marking marking = out->withheld ? MARK_DONE : mark_stream(out);
		bool may = marking == MARK_LATER || settle(out, iov, count, total, flags, marking);

		thread_leave(t);
		if (may)
			errno = saved;
		if (marking != MARK_LATER)
			return may;
		if (!wait_for_room(out, flags))
			return false;
	}
}

static bool message_left(void *ctx, const uint8_t *head, size_t have, size_t offset)
{
	struct outgoing *out = ctx;

	(void)offset;
	if (have < 3 || !dns_says_answer(head))
		out->st->unanswered++;
	return true;
}

/* The bytes that the cleartext was for are on their way. */
static void plain_left(struct outgoing *out)
{
	struct thread *t = out->t;

	plain_done(t);
	t->plain_fd = out->fd;
	t->plain_borne = mark_now(out->fd, out->st);
	t->plain_instead = (uint8_t)out->instead;
	if (!t->plain_held)
		tls_pending_left(t, false);
}

static bool record_left(void *ctx, uint8_t type, uint16_t length, size_t offset)
{
	struct outgoing *out = ctx;
	uint32_t mark;

	(void)offset;
	if (type == TLS_APPLICATION)
		tls_pending_whose(&out->walk, out->fd, fd_gen(out->st), length, &mark);
	return true;
}

static void records_left(struct outgoing *out, const struct iovec *iov, size_t count, size_t n)
{
	fd_lock_streams(out->st, out->fd);
	struct stream tx = out->st->tx;

	fd_unlock_streams(out->fd);
	out->walk = (struct tls_walk){0};
	stream_records(&tx, iov, count, n, record_left, out);
	tls_pending_records_left(&out->walk, out->fd, fd_gen(out->st), mark_now(out->fd, out->st),
				 out->instead);
}

/* The bytes that the kernel took: the state moves on. */
static void left(struct outgoing *out, const struct iovec *iov, size_t count, ssize_t n)
{
	int saved = errno;

	out->t = n > 0 ? thread_enter() : NULL;
	if (!out->t)
		return;
	if (out->plain)
		plain_left(out);
	if (out->walk.queries)
		records_left(out, iov, count, (size_t)n);
	each_begun(out, iov, count, (size_t)n, query_left);
	fd_lock_streams(out->st, out->fd);
	if (out->tls)
		stream_records(&out->st->tx, iov, count, (size_t)n, NULL, NULL);
	else
		stream_walk(&out->st->tx, iov, count, (size_t)n, message_left, out);
	fd_unlock_streams(out->fd);
	thread_leave(out->t);
	errno = saved;
}

/* Nothing of it was taken for now. */
static void refused(struct outgoing *out, const struct iovec *iov, size_t count)
{
	uint8_t start[TLS_RECORD_START];
	int saved = errno;

	out->t = errno == EAGAIN && out->tls && out->plain && out->decided ? thread_enter() : NULL;
	if (!out->t)
		return;
	if (iov_gather(iov, count, 0, start, sizeof(start)) == sizeof(start))
		tls_pending_refused(out->fd, fd_gen(out->st), start, out->whole);
	thread_leave(out->t);
	errno = saved;
}

/* The part of the program's vector that lies between two offsets, as far as there is room for its pieces. */
static size_t cut(const struct iovec *iov, size_t count, size_t offset, size_t end,
		  struct iovec *out, size_t most)
{
	size_t used = 0, pos = 0;

	for (size_t i = 0; i < count && used < most && pos < end; pos += iov[i++].iov_len) {
		size_t from = offset > pos ? offset - pos : 0;
		size_t to = end - pos < iov[i].iov_len ? end - pos : iov[i].iov_len;

		if (from < to)
			out[used++] = (struct iovec){(char *)iov[i].iov_base + from, to - from};
	}
	return used;
}

/*
 * Several clients' queries in one write: each goes out with its own mark, and the program learns how far we came, as
 * from any short write.
 */
static ssize_t send_parts(struct outgoing *out, const struct msghdr *app, int flags, size_t total)
{
	enum { PIECES = 64 };
	struct iovec part[PIECES];
	size_t done = 0, bytes, count;
	int saved = errno;
	ssize_t n;

	do {
		struct msghdr msg = *app;

		count = cut(app->msg_iov, app->msg_iovlen, done, done + out->limit, part, PIECES);
		msg.msg_iov = part;
		msg.msg_iovlen = count;
		bytes = iov_total(part, count);
		n = out->withheld ? swallow(out, bytes) : REAL(sendmsg)(out->fd, &msg, flags);
		if (n < 0)
			break;
		if (!out->withheld)
			left(out, part, count, n);
		done += (size_t)n;
		count = cut(app->msg_iov, app->msg_iovlen, done, total, part, PIECES);
		flags &= ~MSG_FASTOPEN;
	} while (done < total && (size_t)n == bytes &&
		 prepare(out, part, count, iov_total(part, count), flags));
	if (!done)
		return n;
	errno = saved; /* what stopped the rest is said when the program sends it again */
	return (ssize_t)done;
}

static ssize_t send_claimed(struct outgoing *out, size_t total, int flags, tx_plain_fn *plain,
			    void *ctx)
{
	const struct msghdr *app = out->app;

	if (!prepare(out, app->msg_iov, app->msg_iovlen, total, flags)) {
		refused(out, app->msg_iov, app->msg_iovlen);
		return -1;
	}
	if (out->withheld || out->limit < total)
		return send_parts(out, app, flags, total);
	ssize_t n = plain(ctx);

	if (n < 0)
		refused(out, app->msg_iov, app->msg_iovlen);
	left(out, app->msg_iov, app->msg_iovlen, n);
	return n;
}

ssize_t tx_stream(int fd, struct fd_state *st, const struct msghdr *app, int flags,
		  tx_plain_fn *plain, void *ctx)
{
	struct begun begun[BEGUN_MAX];
	struct writer writer = {0};
	struct outgoing out = {.fd = fd,
			       .st = st,
			       .gen = fd_gen(st),
			       .begun = begun,
			       .writer = &writer,
			       .app = app};
	size_t total = iov_readable(app->msg_iov, app->msg_iovlen);

	if (!total)
		return plain(ctx);
	if (!(fd_flags(st) &
	      (FD_SENT | FD_ACCEPTED))) /* made by TCP Fast Open: there was no connect */
		fd_set_flags(st, FD_SENT | (tx_is_tls_port(app->msg_name, app->msg_namelen) ? FD_TLS
											    : 0));
	if (!claim(&out, flags))
		return -1;
	ssize_t n = send_claimed(&out, total, flags, plain, ctx);

	writer_end(&writer);
	return n;
}
