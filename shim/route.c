// SPDX-License-Identifier: GPL-2.0-or-later
#include "route.h"

#include "mark.h"
#include "real.h"
#include "sock.h"
#include "thread.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
	RULES_LIFE_MS = 5000,  /* how long we go on believing what the rules were */
	SOURCE_LIFE_MS = 2000, /* and what source address a mark's route gave */
	SOURCES = 256,	       /* (mark, destination) pairs remembered */
	DUMP_PARTS = 64,       /* of a dump of the rules, as much is read */
};

/* ---- are there rules by mark at all? ---- */

static _Atomic uint32_t rules_asked; /* when, ms; 0: never */
static _Atomic bool rules_found;

/* rtnetlink(7): attributes behind the rule's header, each padded to four bytes, as the messages are. */
static bool is_by_mark(const struct nlmsghdr *nlh)
{
	size_t at = NLMSG_LENGTH(sizeof(struct fib_rule_hdr));

	while (at + sizeof(struct rtattr) <= nlh->nlmsg_len) {
		const struct rtattr *attr = (const void *)((const char *)nlh + at);

		if (attr->rta_type == FRA_FWMARK)
			return true;
		if (attr->rta_len < sizeof(*attr))
			break;
		at += RTA_ALIGN(attr->rta_len);
	}
	return false;
}

/* One part of the dump. Returns whether more is to come. */
static bool read_rules(const char *part, size_t len, bool *found)
{
	size_t at = 0;

	while (at + sizeof(struct nlmsghdr) <= len) {
		const struct nlmsghdr *nlh = (const void *)(part + at);

		if (nlh->nlmsg_type == NLMSG_DONE || nlh->nlmsg_type == NLMSG_ERROR ||
		    nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > len - at)
			return false;
		*found |= is_by_mark(nlh);
		at += NLMSG_ALIGN(nlh->nlmsg_len);
	}
	return true;
}

static bool ask_for_rules(int fd)
{
	struct {
		struct nlmsghdr header;
		struct fib_rule_hdr rule; /* AF_UNSPEC: all families */
	} question = {.header = {.nlmsg_len = sizeof(question),
				 .nlmsg_type = RTM_GETRULE,
				 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};

	return REAL(send)(fd, &question, sizeof(question), MSG_NOSIGNAL) >= 0;
}

/* The kernel writes each part of the answer when we read it: nothing here waits. */
static bool has_mark_rules(void)
{
	_Alignas(struct nlmsghdr) char buffer[8192];
	int fd = REAL(socket)(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	bool found = false;

	if (fd < 0)
		return false;
	bool more = ask_for_rules(fd);

	for (int i = 0; i < DUMP_PARTS && more; i++) {
		ssize_t n = REAL(recv)(fd, buffer, sizeof(buffer), MSG_DONTWAIT);

		more = n > 0 && read_rules(buffer, (size_t)n, &found);
	}
	REAL(close)(fd);
	return found;
}

static bool routes_by_mark(uint32_t now)
{
	uint32_t asked = atomic_load_explicit(&rules_asked, memory_order_relaxed);

	if (asked && now - asked < RULES_LIFE_MS)
		return atomic_load_explicit(&rules_found, memory_order_relaxed);
	if (atomic_compare_exchange_strong(&rules_asked, &asked, now | 1))
		atomic_store(&rules_found, has_mark_rules());
	return atomic_load(&rules_found);
}

/* ---- which source address has a mark's route? ---- */

struct source {
	uint32_t mark, asked;
	struct endpoint peer, self;
};

static struct source sources[SOURCES];
static pthread_mutex_t sources_lock = PTHREAD_MUTEX_INITIALIZER;

static socklen_t to_sockaddr(const struct endpoint *end, struct sockaddr_storage *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	out->ss_family = end->family;
	if (end->family == AF_INET) {
		in->sin_port = end->port;
		memcpy(&in->sin_addr, end->addr, 4);
		return sizeof(*in);
	}
	in6->sin6_port = end->port;
	memcpy(&in6->sin6_addr, end->addr, 16);
	return sizeof(*in6);
}

/* Tries it out on a socket of our own. */
static bool ask_source(uint32_t mark, const struct endpoint *peer, struct endpoint *self)
{
	struct sockaddr_storage to, from = {.ss_family = AF_UNSPEC};
	socklen_t to_len = to_sockaddr(peer, &to), from_len = sizeof(from);
	int fd = REAL(socket)(peer->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool known = fd >= 0 &&
		     REAL(setsockopt)(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0 &&
		     REAL(connect)(fd, (struct sockaddr *)&to, to_len) == 0 &&
		     getsockname(fd, (struct sockaddr *)&from, &from_len) == 0 &&
		     endpoint_from(self, &from, from_len);

	if (fd >= 0)
		REAL(close)(fd);
	return known;
}

static bool same_address(const struct endpoint *a, const struct endpoint *b)
{
	return a->family == b->family && memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

static struct source *place_of(uint32_t mark, const struct endpoint *peer)
{
	uint32_t h = mark * 2654435761U;

	for (unsigned i = 0; i < sizeof(peer->addr); i++)
		h = (h ^ peer->addr[i]) * 16777619U;
	return &sources[h % SOURCES];
}

static bool source_of(uint32_t now, uint32_t mark, const struct endpoint *peer,
		      struct endpoint *self)
{
	struct source *place = place_of(mark, peer);

	pthread_mutex_lock(&sources_lock);
	bool known = place->asked && now - place->asked < SOURCE_LIFE_MS && place->mark == mark &&
		     same_address(&place->peer, peer);

	if (known)
		*self = place->self;
	pthread_mutex_unlock(&sources_lock);
	if (known || !ask_source(mark, peer, self))
		return known;
	pthread_mutex_lock(&sources_lock);
	*place = (struct source){.mark = mark, .asked = now | 1, .peer = *peer, .self = *self};
	pthread_mutex_unlock(&sources_lock);
	return true;
}

/* ---- following ---- */

/*
 * AF_UNSPEC dissolves the connection and with it the source address that it chose (connect(2)); an address or a port
 * that the program bound itself stays. No query has left by this socket under this mark, so no answer is lost.
 */
static void connect_anew(int fd, struct fd_state *st, const struct endpoint *peer)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_storage to;
	socklen_t len = to_sockaddr(peer, &to);

	if (REAL(connect)(fd, &none, sizeof(none)) != 0)
		return;
	REAL(connect)(fd, (struct sockaddr *)&to, len);
	sock_connected(st, (struct sockaddr *)&to, len);
}

/* Does the route of this mark give a connected socket another source address, and can that be had? */
static bool leads_elsewhere(int fd, struct fd_state *st, uint32_t mark, struct endpoint *self,
			    struct endpoint *peer)
{
	uint32_t now = thread_now_ms();
	struct endpoint source;

	if (!routes_by_mark(now) || !sock_ends(fd, st, self, peer))
		return false;
	if (fd_flags(st) & FD_INET6 && peer->family == AF_INET)
		return false; /* v4-mapped: a datagram is routed by its own control message */
	return source_of(now, mark, peer, &source) && !same_address(&source, self);
}

void route_follow(int fd, struct fd_state *st, uint32_t mark)
{
	struct endpoint self, peer;

	if (fd_flags(st) & FD_CONNECTED && leads_elsewhere(fd, st, mark, &self, &peer) &&
	    mark_socket(fd, st, mark) == MARK_DONE)
		connect_anew(fd, st, &peer);
}

/* All that went out was received and answered, and what came in was read: then nobody misses the connection. */
static bool is_idle(int fd, struct fd_state *st)
{
	int unacked = 1, unread = 1;

	fd_lock_streams(st, fd);
	bool between = !st->unanswered && !st->tx.length_bytes && !st->tx.alien &&
		       !st->rx.length_bytes && !st->rx.alien;

	fd_unlock_streams(fd);
	return between && ioctl(fd, SIOCOUTQ, &unacked) == 0 && !unacked &&
	       ioctl(fd, SIOCINQ, &unread) == 0 && !unread;
}

static bool may_move(int fd, struct fd_state *st)
{
	uint32_t flags = fd_flags(st);

	return !(flags & (FD_ROOTED | FD_TLS)) && (!(flags & FD_LIVE) || is_idle(fd, st));
}

/* An address that the program bound outlives the connection. */
static void note_bound(int fd, struct fd_state *st, const struct endpoint *before)
{
	struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(from);
	struct endpoint self;

	if (getsockname(fd, (struct sockaddr *)&from, &len) == 0 &&
	    endpoint_from(&self, &from, len) && same_address(&self, before))
		fd_set_flags(st, FD_ROOTED);
}

/* What the dissolved connection leaves on the socket (ECONNRESET) is not the program's to see. */
enum marking route_follow_stream(int fd, struct fd_state *st, uint32_t mark)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_storage to;
	struct endpoint self, peer;
	int error = 0;
	socklen_t size = sizeof(error);

	if (mark_is(fd, st, mark) || !leads_elsewhere(fd, st, mark, &self, &peer) ||
	    !may_move(fd, st) || REAL(connect)(fd, &none, sizeof(none)) != 0)
		return MARK_DONE;
	REAL(getsockopt)(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	note_bound(fd, st, &self);
	sock_ends_changed(st);
	fd_set_flags(st, FD_LIVE);

	socklen_t len = to_sockaddr(&peer, &to);
	enum marking marking = mark_socket(fd, st, mark);
	int ret = REAL(connect)(fd, (struct sockaddr *)&to, len);

	return ret != 0 && errno == EINPROGRESS && marking == MARK_DONE ? MARK_LATER : marking;
}

void route_after_fork(void)
{
	pthread_mutex_init(&sources_lock, NULL);
}
