// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libnetfilter_conntrack writes the question and libmnl frames it; both work on memory of ours, so
 * that nothing here allocates (a send may be under way in a program whose allocator is not to be
 * called now). Of the answer only one attribute is wanted, which libmnl finds without
 * libnetfilter_conntrack's object, whose parser allocates.
 */
#include "conntrack.h"

#include "fdtab.h"
#include "real.h"
#include "thread.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdbool.h>
#include <unistd.h>

enum {
	REQUEST_MAX = 512,
	REPLY_MAX = 4096,
	CT_OBJECT_MAX = 2048, /* nfct_maxsize() is 400 in libnetfilter_conntrack 1.0.9 */
	REPLIES_READ = 8,     /* left over from questions that were given up */
	INTERRUPTIONS = 8,    /* as often is a question tried again that a signal interrupted */
	OWN_MAX = 1024,
};

/* The sockets of all threads, for the child that must close them: number + 1, or 0. */
static _Atomic int own[OWN_MAX];

static void own_add(int fd)
{
	for (unsigned i = 0; i < OWN_MAX; i++) {
		int none = 0;

		if (atomic_compare_exchange_strong(&own[i], &none, fd + 1))
			return;
	}
}

static void own_remove(int fd)
{
	for (unsigned i = 0; i < OWN_MAX; i++) {
		int it = fd + 1;

		if (atomic_compare_exchange_strong(&own[i], &it, 0))
			return;
	}
}

/* What tells a socket from all others (socket(7), SO_COOKIE, Linux 4.12); 0: this kernel cannot. False: no socket. */
static bool cookie_of(int fd, uint64_t *cookie)
{
	socklen_t len = sizeof(*cookie);

	*cookie = 0;
	return REAL(getsockopt)(fd, SOL_SOCKET, SO_COOKIE, cookie, &len) == 0 ||
	       (errno != ENOTSOCK && errno != EBADF);
}

/*
 * Still the socket that we opened? The program may have closed it, and got its number back for something else: also
 * past us, so that the kernel has to be asked. A question must not go into a stranger's connection, nor may its
 * descriptor be closed or read.
 */
static bool is_own(int fd)
{
	const struct fd_state *st = fd_find(fd);
	uint64_t cookie;

	return st && (fd_flags(st) & FD_KIND) == FD_OURS && cookie_of(fd, &cookie) &&
	       cookie == atomic_load(&st->cookie);
}

static bool still_ours(const struct thread *t)
{
	const struct fd_state *st = fd_find(t->netlink);

	return st && fd_gen(st) == t->netlink_gen && is_own(t->netlink);
}

/* The number is something else by now: it is not ours to close. */
static void lose_own(struct thread *t)
{
	const struct fd_state *st = fd_find(t->netlink);

	own_remove(t->netlink);
	if (st && fd_gen(st) == t->netlink_gen)
		fd_forget(t->netlink);
	t->netlink_made = false;
}

static void close_own(struct thread *t)
{
	if (!t->netlink_made)
		return;
	if (!still_ours(t)) {
		lose_own(t);
		return;
	}
	own_remove(t->netlink);
	fd_forget(t->netlink);
	REAL(close)(t->netlink);
	t->netlink_made = false;
}

void conntrack_thread_ends(void)
{
	close_own(&thread_self);
}

void conntrack_after_fork(void)
{
	for (unsigned i = 0; i < OWN_MAX; i++) {
		int fd = atomic_exchange(&own[i], 0) - 1;

		if (fd >= 0 && is_own(fd)) {
			fd_forget(fd);
			REAL(close)(fd);
		}
	}
	thread_self.netlink_made = false;
}

/* A daemon that has closed its standard descriptors must not find our socket in their place. */
static int above_standard(int fd)
{
	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	int higher = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), saved = errno;

	REAL(close)(fd);
	errno = saved;
	return higher;
}

static int open_own(struct thread *t)
{
	int fd = above_standard(
		REAL(socket)(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
	struct fd_state *st = fd < 0 ? NULL : fd_get(fd);

	if (fd < 0)
		return -errno;
	if (!st) {
		REAL(close)(fd);
		return -EMFILE;
	}
	uint64_t cookie;

	cookie_of(fd, &cookie);
	fd_forget(fd);
	atomic_store(&st->cookie, cookie);
	fd_set_flags(st, FD_OURS);
	own_add(fd);
	t->netlink = fd;
	t->netlink_gen = fd_gen(st);
	t->netlink_pid = getpid();
	t->netlink_seq = (uint32_t)t->netlink_pid << 16;
	t->netlink_made = true;
	thread_wants_end();
	return 0;
}

static int ensure_own(struct thread *t)
{
	/* the process id too: a child made past fork() has the parent's socket, and answers on it are anybody's */
	if (t->netlink_made && t->netlink_pid == getpid() && still_ours(t))
		return 0;
	if (t->netlink_made)
		lose_own(t);
	return open_own(t);
}

/*
 * The reversed tuple, local to client: the kernel's hash knows a flow by either direction, and
 * after DNAT, REDIRECT or TPROXY only the reply's direction has the address that the resolver sees.
 */
static void set_tuple(struct nf_conntrack *ct, const struct flow *flow, uint16_t zone)
{
	bool v4 = flow->client.family == AF_INET;

	nfct_set_attr_u8(ct, ATTR_ORIG_L3PROTO, flow->client.family);
	nfct_set_attr(ct, v4 ? ATTR_ORIG_IPV4_SRC : ATTR_ORIG_IPV6_SRC, flow->local.addr);
	nfct_set_attr(ct, v4 ? ATTR_ORIG_IPV4_DST : ATTR_ORIG_IPV6_DST, flow->client.addr);
	nfct_set_attr_u8(ct, ATTR_ORIG_L4PROTO, flow->proto);
	nfct_set_attr_u16(ct, ATTR_ORIG_PORT_SRC, flow->local.port);
	nfct_set_attr_u16(ct, ATTR_ORIG_PORT_DST, flow->client.port);
	if (zone)
		nfct_set_attr_u16(ct, ATTR_ZONE, zone);
}

/*
 * The library's object on our stack. nfct_maxsize is marked as deprecated in favour of nfct_new,
 * which allocates; it is what makes sure that the object fits.
 */
static bool object_fits(void)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	return nfct_maxsize() <= CT_OBJECT_MAX;
#pragma GCC diagnostic pop
}

static int build_request(void *buffer, const struct flow *flow, uint16_t zone, uint32_t seq)
{
	_Alignas(16) char object[CT_OBJECT_MAX] = {0};
	struct nf_conntrack *ct = (struct nf_conntrack *)object;

	if (!object_fits())
		return -ENOSYS;
	set_tuple(ct, flow, zone);

	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nlh->nlmsg_seq = seq;

	struct nfgenmsg *nfh = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfh));

	nfh->nfgen_family = flow->client.family;
	nfh->version = NFNETLINK_V0;
	return nfct_nlmsg_build(nlh, ct) < 0 ? -EINVAL : 0;
}

/* What is wanted of an entry. */
struct entry {
	uint32_t mark; /* 0 where the kernel leaves CTA_MARK away */
	bool whole;    /* it has a tuple: this is an entry, and its attributes could be read */
};

static int find_mark(const struct nlattr *attr, void *found)
{
	struct entry *entry = found;

	if (mnl_attr_get_type(attr) == CTA_MARK && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
		entry->mark = ntohl(mnl_attr_get_u32(attr));
	entry->whole |= mnl_attr_get_type(attr) == CTA_TUPLE_ORIG;
	return MNL_CB_OK;
}

static int read_error(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);

	return mnl_nlmsg_get_payload_len(nlh) < sizeof(*err) || err->error >= 0 ? -EBADMSG
										: err->error;
}

static int read_reply(const struct nlmsghdr *nlh, int len, uint32_t *mark)
{
	struct entry entry = {0};

	if (!mnl_nlmsg_ok(nlh, len))
		return -EBADMSG;
	if (nlh->nlmsg_type == NLMSG_ERROR)
		return read_error(nlh);
	if (nlh->nlmsg_type != (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW) ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nfgenmsg))
		return -EBADMSG;
	mnl_attr_parse(nlh, sizeof(struct nfgenmsg), find_mark, &entry);
	*mark = entry.mark;
	return entry.whole ? 0 : -EBADMSG;
}

/* The kernel has answered by the time that the question is sent: where there is nothing to read,
 * nothing will come. */
static int receive_reply(int fd, uint32_t seq, uint32_t *mark)
{
	_Alignas(16) char buffer[REPLY_MAX];
	int err = -EBADMSG;

	for (int i = 0; i < REPLIES_READ; i++) {
		ssize_t n = REAL(recv)(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (const void *)buffer;

		if (n < 0 && errno != EINTR)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		err = n < 0 ? -EINTR : -EBADMSG;
		if (n >= 0 && (size_t)n >= sizeof(*nlh) && nlh->nlmsg_seq == seq)
			return read_reply(nlh, (int)n, mark);
	}
	return err;
}

static int ask(struct thread *t, const struct flow *flow, uint16_t zone, uint32_t *mark)
{
	static const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	_Alignas(16) char buffer[REQUEST_MAX];
	const struct nlmsghdr *nlh = (const void *)buffer;
	int err = build_request(buffer, flow, zone, ++t->netlink_seq);
	ssize_t sent;

	if (err)
		return err;
	int tries = 0;

	do
		sent = REAL(sendto)(t->netlink, buffer, nlh->nlmsg_len, MSG_DONTWAIT | MSG_NOSIGNAL,
				    (const struct sockaddr *)&kernel, sizeof(kernel));
	while (sent < 0 && errno == EINTR && ++tries < INTERRUPTIONS);
	return sent < 0 ? -errno : receive_reply(t->netlink, t->netlink_seq, mark);
}

/* Did the thread's last question get as far as being asked? */
static _Thread_local bool asked __attribute__((tls_model("initial-exec")));

enum log_counter conntrack_cause(int err)
{
	switch (-err) {
	case ENOENT:
		return LOG_no_entry;
	case EPERM: /* of the socket's making: a filter, for that needs no capability */
		return asked ? LOG_lookup_not_permitted : LOG_lookup_failed;
	case EMFILE:
	case ENFILE:
		return LOG_lookup_no_descriptor;
	case ENOBUFS:
	case ENOMEM:
		return LOG_lookup_no_memory;
	case ETIMEDOUT:
		return LOG_lookup_unanswered;
	default:
		return LOG_lookup_failed;
	}
}

int conntrack_mark(const struct flow *flow, uint16_t zone, uint32_t *mark)
{
	struct thread *t = &thread_self;
	int err = -ENOTSOCK;

	for (int tries = 0; tries < 2 && err == -ENOTSOCK; tries++) {
		err = ensure_own(t);
		asked = !err;
		if (asked)
			err = ask(t, flow, zone, mark);
		if (asked && err == -ENOTSOCK)
			lose_own(t);
	}
	if (err && err != -ENOENT)
		close_own(t); /* whatever state it is in: the next question gets a new one */
	return err;
}
