// SPDX-License-Identifier: GPL-2.0-or-later
#include "tls_pending.h"

#include "pages.h"
#include "sent.h"

#include <string.h>
#include <sys/mman.h>

enum {
	PENDING_MAX = 128,
	UNSEEN_MAX = 16,  /* of no known connection, as many wait to be seen */
	UNSEEN_MS = 2000, /* ... and for so long */
	CONNECTIONS = 16, /* as many are remembered */
	CIPHER_LEAST =
		16, /* what a cipher adds to a record: the tag (TLS_CHACHA20_POLY1305, TLS 1.2) ... */
	CIPHER_MOST = 24, /* ... and with the explicit nonce (AES_GCM, AES_CCM); TLS 1.3: 17 */
	LENGTH_BYTES = 2, /* a message's own length, handed over by itself before it */
};

struct pending {
	const void *session;
	uint32_t call, since; /* which handed it over last, and when */
	size_t bytes;	      /* of that call */
	bool taken;
	int fd; /* the connection, where it is known; else -1 */
	uint32_t gen;
	struct decision decision;
	size_t end;
	uint8_t msg[DNS_HEAD_MAX];
};

/* Which session writes by a connection. */
struct connection {
	const void *session;
	int fd;
	uint32_t gen;
	bool out_of_step; /* its records can no longer be told apart */
	bool refused;	  /* a record that begins so is to come again, with this mark: */
	uint8_t start[TLS_RECORD_START];
	uint32_t mark;
};

struct list {
	uint32_t call;
	const void *session; /* of the call, and its bytes */
	size_t bytes;
	unsigned count, next;
	struct connection connection[CONNECTIONS];
	struct pending query[PENDING_MAX];
};

/* Made by the first query over TLS: it is too large for the static memory of each thread, for
 * which programs that load the library late have no room. */
static _Thread_local struct list *list __attribute__((tls_model("initial-exec")));

static struct list *make_list(void)
{
	void *made = pages_map(sizeof(*list), false);

	if (!made)
		return NULL;
	list = made;
	thread_wants_end();
	return list;
}

void tls_pending_thread_ends(void)
{
	if (list)
		munmap(list, sizeof(*list));
	list = NULL;
}

static void say_left(const struct pending *p, int fd, uint32_t borne, enum sent_as instead)
{
	sent_query(&(struct sent){
		.fd = fd,
		.st = fd >= 0 ? fd_find(fd) : NULL,
		.decision = &p->decision,
		.borne = borne,
		.instead = instead,
		.msg = p->msg,
		.end = p->end,
	});
}

/* ---- which connection ---- */

static bool is_open(int fd, uint32_t gen)
{
	struct fd_state *st = fd >= 0 ? fd_find(fd) : NULL;

	return st && fd_gen(st) == gen;
}

static struct connection *connection_of(const void *session)
{
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &list->connection[i];

		if (c->session == session)
			return is_open(c->fd, c->gen) ? c : NULL;
	}
	return NULL;
}

static struct connection *connection_at(int fd, uint32_t gen)
{
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &list->connection[i];

		if (c->session && c->fd == fd && c->gen == gen)
			return c;
	}
	return NULL;
}

static void connect_session(const void *session, int fd, uint32_t gen)
{
	struct connection *c = connection_of(session);

	if (c && c->fd == fd && c->gen == gen)
		return;
	for (unsigned i = 0; i < CONNECTIONS; i++) /* an address that is used again */
		if (list->connection[i].session == session)
			list->connection[i].session = NULL;
	list->connection[list->next++ % CONNECTIONS] =
		(struct connection){.session = session, .fd = fd, .gen = gen};
	for (unsigned i = 0; i < list->count; i++) {
		struct pending *p = &list->query[i];

		if (p->session == session && p->fd < 0) {
			p->fd = fd;
			p->gen = gen;
		}
	}
}

void tls_pending_writes_by(int fd, uint32_t gen)
{
	if (list && list->session)
		connect_session(list->session, fd, gen);
}

void tls_pending_refused(int fd, uint32_t gen, const uint8_t start[TLS_RECORD_START], uint32_t mark)
{
	struct connection *c = list ? connection_at(fd, gen) : NULL;

	if (!c)
		return;
	c->refused = true;
	memcpy(c->start, start, TLS_RECORD_START);
	c->mark = mark;
}

bool tls_pending_again(int fd, uint32_t gen, const uint8_t start[TLS_RECORD_START], uint32_t *mark)
{
	const struct connection *c = list ? connection_at(fd, gen) : NULL;

	if (!c || !c->refused || memcmp(c->start, start, TLS_RECORD_START) != 0)
		return false;
	*mark = c->mark;
	return true;
}

/* The only session that has queries for no known connection; NULL: none, or several. */
static const void *sole_unseen(void)
{
	const void *sole = NULL;

	for (unsigned i = 0; i < list->count; i++) {
		const struct pending *p = &list->query[i];

		if (!p->taken || p->fd >= 0)
			continue;
		if (sole && sole != p->session)
			return NULL;
		sole = p->session;
	}
	return sole;
}

/* ---- what has left ---- */

typedef bool chosen_fn(const struct pending *p, const void *ctx);

/* The chosen leave the list; the others stay, in their order. */
static void chosen_leave(chosen_fn *chosen, const void *ctx, int fd, uint32_t borne,
			 enum sent_as instead)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < list->count; i++) {
		if (chosen(&list->query[i], ctx))
			say_left(&list->query[i], fd, borne, instead);
		else
			list->query[kept++] = list->query[i];
	}
	list->count = kept;
}

static unsigned unseen(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < list->count; i++)
		n += list->query[i].taken && list->query[i].fd < 0;
	return n;
}

/* Their bytes will not be seen any more. */
static bool is_over(const struct pending *p, const void *too_many)
{
	if (!p->taken)
		return false;
	if (p->fd >= 0)
		return !is_open(p->fd, p->gen);
	return too_many || thread_now_ms() - p->since > UNSEEN_MS;
}

void tls_pending_begin(const struct thread *t, const void *session, size_t len)
{
	if (!list && !make_list())
		return;
	list->call++;
	list->session = session;
	list->bytes = len;
	if (list->count && !t->plain)
		chosen_leave(is_over, unseen() > UNSEEN_MAX ? list : NULL, -1, t->plain_mark,
			     SENT_CONFLICT);
}

static bool is_taken(const struct pending *p, const void *unused)
{
	(void)unused;
	return p->taken;
}

/*
 * Those that wait for their records go, which will come all the same; then what a program never handed over again; then
 * a great many of one call are counted without waiting to see.
 */
static void make_room(const struct thread *t)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < list->count; i++) {
		const struct pending *p = &list->query[i];
		struct connection *c = p->taken ? connection_at(p->fd, p->gen) : NULL;

		if (c)
			c->out_of_step = true;
	}
	chosen_leave(is_taken, NULL, -1, t->plain_mark, SENT_CONFLICT);
	for (unsigned i = 0; i < list->count; i++)
		if (list->query[i].call == list->call)
			list->query[kept++] = list->query[i];
	list->count = kept;
	if (kept == PENDING_MAX)
		say_left(&list->query[--list->count], -1, t->plain_mark, SENT_CONFLICT);
}

static struct pending *find(const void *session, const uint8_t *msg, size_t end)
{
	for (unsigned i = 0; i < list->count; i++) {
		struct pending *p = &list->query[i];

		if (p->session == session && p->end == end && memcmp(p->msg, msg, end) == 0)
			return p;
	}
	return NULL;
}

void tls_pending_add(const struct thread *t, const void *session, const struct decision *d,
		     const uint8_t *msg, size_t end)
{
	if (!list)
		return; /* no memory: it goes uncounted */
	struct pending *p = find(session, msg, end);

	if (p && p->decision.mark == d->mark) {
		p->call = list->call;
		p->bytes = list->bytes;
		return;
	}
	if (!p && list->count == PENDING_MAX)
		make_room(t);
	if (!p)
		p = &list->query[list->count++];
	const struct connection *c = connection_of(session);

	*p = (struct pending){
		.session = session,
		.call = list->call,
		.since = thread_now_ms(),
		.bytes = list->bytes,
		.fd = c ? c->fd : -1,
		.gen = c ? c->gen : 0,
		.decision = *d,
		.end = end,
	};
	memcpy(p->msg, msg, end);
}

void tls_pending_forget(void)
{
	unsigned kept = 0;

	if (!list)
		return;
	for (unsigned i = 0; i < list->count; i++)
		if (list->query[i].call != list->call)
			list->query[kept++] = list->query[i];
	list->count = kept;
}

void tls_pending_end(bool taken)
{
	for (unsigned i = 0; list && i < list->count; i++)
		list->query[i].taken |= taken && list->query[i].call == list->call;
	if (list)
		list->session = NULL;
}

static bool is_of_call(const struct pending *p, const void *unused)
{
	(void)unused;
	return p->taken && p->call == list->call;
}

static bool is_unseen(const struct pending *p, const void *unused)
{
	(void)unused;
	return p->taken && p->fd < 0;
}

void tls_pending_left(const struct thread *t, bool of_call)
{
	if (list && list->count)
		chosen_leave(of_call ? is_of_call : is_unseen, NULL, t->plain_fd, t->plain_borne,
			     (enum sent_as)t->plain_instead);
}

/* ---- records that come later ---- */

/* The connection's next query behind i; list->count: there is none. */
static unsigned next_query(int fd, uint32_t gen, unsigned i)
{
	while (i < list->count &&
	       !(list->query[i].taken && list->query[i].fd == fd && list->query[i].gen == gen))
		i++;
	return i;
}

/* The one that has so many of the connection's before it. */
static unsigned query_at(int fd, uint32_t gen, unsigned before)
{
	unsigned i = next_query(fd, gen, 0);

	while (before-- && i < list->count)
		i = next_query(fd, gen, i + 1);
	return i;
}

/*
 * The cleartext of whole calls from query i on, as far as a record of that length may hold it. What it adds to a record
 * is less than any query is long, so that it is never one more.
 */
static unsigned fill(int fd, uint32_t gen, unsigned i, size_t length, struct tls_walk *walk,
		     uint32_t *mark)
{
	size_t least = CIPHER_LEAST, most = CIPHER_MOST;
	unsigned queries = 0;

	*mark = list->query[i].decision.mark;
	while (i < list->count && least + list->query[i].bytes <= length) {
		uint32_t call = list->query[i].call;

		least += list->query[i].bytes;
		most += list->query[i].bytes + LENGTH_BYTES;
		for (; i < list->count && list->query[i].call == call;
		     i = next_query(fd, gen, i + 1), queries++)
			if (list->query[i].decision.mark != *mark)
				*mark = shim.config.default_mark;
	}
	walk->queries += queries;
	return !queries || length <= most;
}

bool tls_pending_whose(struct tls_walk *walk, int fd, uint32_t gen, size_t length, uint32_t *mark)
{
	const void *sole = list ? sole_unseen() : NULL;

	if (sole && !connection_at(fd, gen))
		connect_session(sole, fd, gen);
	struct connection *c = list ? connection_at(fd, gen) : NULL;
	unsigned i = c ? query_at(fd, gen, walk->queries) : 0;

	if (!c || (!c->out_of_step && i == list->count))
		return false;
	if (!c->out_of_step && !fill(fd, gen, i, length, walk, mark))
		c->out_of_step = true;
	if (c->out_of_step)
		*mark = shim.config.default_mark;
	return true;
}

void tls_pending_records_left(const struct tls_walk *walk, int fd, uint32_t gen, uint32_t borne,
			      enum sent_as instead)
{
	unsigned kept = 0, left = 0;

	for (unsigned i = 0; list && i < list->count; i++) {
		const struct pending *p = &list->query[i];

		if (left < walk->queries && p->taken && p->fd == fd && p->gen == gen) {
			say_left(p, fd, borne, instead);
			left++;
		} else {
			list->query[kept++] = *p;
		}
	}
	if (list)
		list->count = kept;
}
