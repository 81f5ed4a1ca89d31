// SPDX-License-Identifier: GPL-2.0-or-later
#include "tls_pending.h"

#include "sent.h"

#include <string.h>
#include <sys/mman.h>

enum { PENDING_MAX = 16 };

struct pending {
	const void *session;
	uint32_t call; /* which handed it over last */
	bool taken;
	struct decision decision;
	size_t end;
	uint8_t msg[DNS_HEAD_MAX];
};

struct list {
	uint32_t call;
	unsigned count;
	struct pending query[PENDING_MAX];
};

/* Made by the first query over TLS: it is too large for the static memory of each thread, for
 * which programs that load the library late have no room. */
static _Thread_local struct list *list __attribute__((tls_model("initial-exec")));

static struct list *make_list(void)
{
	void *made = mmap(NULL, sizeof(*list), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	if (made == MAP_FAILED)
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

/* Those that are taken leave the list; the others stay, in their order. */
static void taken_leave(int fd, uint32_t borne, enum sent_as instead)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < list->count; i++) {
		if (list->query[i].taken)
			say_left(&list->query[i], fd, borne, instead);
		else
			list->query[kept++] = list->query[i];
	}
	list->count = kept;
}

void tls_pending_begin(const struct thread *t)
{
	if (!list && !make_list())
		return;
	list->call++;
	if (list->count && !t->plain)
		taken_leave(-1, t->plain_mark, SENT_CONFLICT);
}

/* What a program never handed over again goes; then a great many of one call are counted without waiting to see. */
static void make_room(const struct thread *t)
{
	unsigned kept = 0;

	taken_leave(-1, t->plain_mark, SENT_CONFLICT);
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
		return;
	}
	if (!p && list->count == PENDING_MAX)
		make_room(t);
	if (!p)
		p = &list->query[list->count++];
	*p = (struct pending){.session = session, .call = list->call, .decision = *d, .end = end};
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
}

void tls_pending_left(const struct thread *t)
{
	if (list && list->count)
		taken_leave(t->plain_fd, t->plain_borne,
			    t->plain_refused ? SENT_REFUSED : SENT_CONFLICT);
}
