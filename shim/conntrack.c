// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libnetfilter_conntrack writes a question for each family when the library is loaded, libmnl finds the places in it
 * that differ from flow to flow, and each lookup fills these in. Of the answer only one attribute is wanted, and read
 * here: libnetfilter_conntrack's parser allocates, which a send must not (the program's allocator may not be called now).
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
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK /* Linux 4.14, include/uapi/asm-generic/mman-common.h */
#define MADV_WIPEONFORK 18
#endif

enum {
	REQUEST_MAX = 256,
	REPLY_MAX = 4096,
	CT_OBJECT_MAX = 2048, /* nfct_maxsize() is 400 in libnetfilter_conntrack 1.0.9 */
	REPLIES_READ = 8,     /* left over from questions that were given up */
	INTERRUPTIONS = 8,    /* as often is a question tried again that a signal interrupted */
	OWN_MAX = 1024,
};

/*
 * The process that this memory belongs to, in a page that the kernel empties in each child, also where one is made past
 * fork(): asking for the process ID is a system call. NULL: this kernel cannot.
 */
static _Atomic pid_t *process;

static void process_init(void)
{
	long size = sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	if (page == MAP_FAILED)
		return;
	if (madvise(page, (size_t)size, MADV_WIPEONFORK) == 0)
		process = page;
	else
		munmap(page, (size_t)size);
}

static pid_t process_id(void)
{
	pid_t pid = process ? atomic_load_explicit(process, memory_order_relaxed) : 0;

	if (pid)
		return pid;
	pid = getpid();
	if (process)
		atomic_store_explicit(process, pid, memory_order_relaxed);
	return pid;
}

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
	t->netlink_pid = process_id();
	t->netlink_seq = (uint32_t)t->netlink_pid << 16;
	t->netlink_made = true;
	thread_wants_end();
	return 0;
}

static int ensure_own(struct thread *t)
{
	/* the process id too: a child made past fork() has the parent's socket, and answers on it are anybody's */
	if (t->netlink_made && t->netlink_pid == process_id() && still_ours(t))
		return 0;
	if (t->netlink_made)
		lose_own(t);
	return open_own(t);
}

/* ---- the question ---- */

/* One that is ready but for the flow: its bytes, and where in them the flow's are. */
struct question {
	_Alignas(16) char bytes[REQUEST_MAX];
	size_t length; /* 0: it could not be written */
	size_t local, client, addr_len, local_port, client_port, proto;
};

static struct question question4, question6;

/*
 * The reversed tuple, local to client: the kernel's hash knows a flow by either direction, and
 * after DNAT, REDIRECT or TPROXY only the reply's direction has the address that the resolver sees.
 */
static void set_tuple(struct nf_conntrack *ct, uint8_t family, uint16_t zone)
{
	static const uint8_t address[16];
	bool v4 = family == AF_INET;

	nfct_set_attr_u8(ct, ATTR_ORIG_L3PROTO, family);
	nfct_set_attr(ct, v4 ? ATTR_ORIG_IPV4_SRC : ATTR_ORIG_IPV6_SRC, address);
	nfct_set_attr(ct, v4 ? ATTR_ORIG_IPV4_DST : ATTR_ORIG_IPV6_DST, address);
	nfct_set_attr_u8(ct, ATTR_ORIG_L4PROTO, IPPROTO_UDP);
	nfct_set_attr_u16(ct, ATTR_ORIG_PORT_SRC, 0);
	nfct_set_attr_u16(ct, ATTR_ORIG_PORT_DST, 0);
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

static bool write_question(struct nlmsghdr *nlh, uint8_t family, uint16_t zone)
{
	_Alignas(16) char object[CT_OBJECT_MAX] = {0};
	struct nf_conntrack *ct = (struct nf_conntrack *)object;

	if (!object_fits())
		return false;
	set_tuple(ct, family, zone);
	nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
	nlh->nlmsg_flags = NLM_F_REQUEST;

	struct nfgenmsg *nfh = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfh));

	nfh->nfgen_family = family;
	nfh->version = NFNETLINK_V0;
	return nfct_nlmsg_build(nlh, ct) >= 0;
}

/* An attribute that is looked for among others. */
struct wanted {
	uint16_t type;
	const struct nlattr *attr; /* NULL: it is not there */
};

static int is_wanted(const struct nlattr *attr, void *ctx)
{
	struct wanted *w = ctx;

	if (mnl_attr_get_type(attr) == w->type)
		w->attr = attr;
	return MNL_CB_OK;
}

static const struct nlattr *attr_in(const struct nlattr *nest, uint16_t type)
{
	struct wanted w = {.type = type};

	if (nest)
		mnl_attr_parse_nested(nest, is_wanted, &w);
	return w.attr;
}

static const struct nlattr *tuple_of(const struct nlmsghdr *nlh)
{
	struct wanted w = {.type = CTA_TUPLE_ORIG};

	mnl_attr_parse(nlh, sizeof(struct nfgenmsg), is_wanted, &w);
	return w.attr;
}

/* Where a value of so many bytes is; 0: nowhere. */
static size_t place_of(const struct question *q, const struct nlattr *attr, size_t bytes)
{
	return attr && mnl_attr_get_payload_len(attr) == bytes
		       ? (size_t)((const char *)mnl_attr_get_payload(attr) - q->bytes)
		       : 0;
}

static void question_init(struct question *q, uint8_t family, uint16_t zone)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(q->bytes);
	bool v4 = family == AF_INET, written = write_question(nlh, family, zone);
	const struct nlattr *tuple = written ? tuple_of(nlh) : NULL;
	const struct nlattr *ip = attr_in(tuple, CTA_TUPLE_IP);
	const struct nlattr *proto = attr_in(tuple, CTA_TUPLE_PROTO);

	q->addr_len = v4 ? 4 : 16;
	q->local = place_of(q, attr_in(ip, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC), q->addr_len);
	q->client = place_of(q, attr_in(ip, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST), q->addr_len);
	q->proto = place_of(q, attr_in(proto, CTA_PROTO_NUM), 1);
	q->local_port = place_of(q, attr_in(proto, CTA_PROTO_SRC_PORT), 2);
	q->client_port = place_of(q, attr_in(proto, CTA_PROTO_DST_PORT), 2);
	if (q->local && q->client && q->proto && q->local_port && q->client_port)
		q->length = nlh->nlmsg_len;
}

void conntrack_init(uint16_t zone)
{
	process_init();
	question_init(&question4, AF_INET, zone);
	question_init(&question6, AF_INET6, zone);
}

/* Returns its length, or a negative errno. */
static ssize_t fill_in(char buffer[REQUEST_MAX], const struct flow *flow, uint32_t seq)
{
	const struct question *q = flow->client.family == AF_INET ? &question4 : &question6;

	if (!q->length)
		return -ENOSYS;
	memcpy(buffer, q->bytes, q->length);
	memcpy(buffer + offsetof(struct nlmsghdr, nlmsg_seq), &seq, sizeof(seq));
	memcpy(buffer + q->local, flow->local.addr, q->addr_len);
	memcpy(buffer + q->client, flow->client.addr, q->addr_len);
	memcpy(buffer + q->local_port, &flow->local.port, sizeof(flow->local.port));
	memcpy(buffer + q->client_port, &flow->client.port, sizeof(flow->client.port));
	buffer[q->proto] = (char)flow->proto;
	return (ssize_t)q->length;
}

/* ---- the answer ---- */

/* What is wanted of an entry. */
struct entry {
	uint32_t mark; /* 0 where the kernel leaves CTA_MARK away */
	bool whole;    /* it has a tuple: this is an entry, and its attributes could be read */
};

/* The attributes from `at` on, each with bounds of our own: what cannot be one ends them. */
static struct entry read_entry(const char *at, size_t left)
{
	struct entry entry = {0};
	struct nlattr attr;

	while (left >= sizeof(attr)) {
		memcpy(&attr, at, sizeof(attr));
		if (attr.nla_len < sizeof(attr) || attr.nla_len > left)
			break;
		unsigned type = attr.nla_type & 0x3fffU; /* NLA_TYPE_MASK */
		size_t step = (attr.nla_len + 3U) & ~3U; /* NLA_ALIGN */

		if (type == CTA_MARK && attr.nla_len == sizeof(attr) + sizeof(entry.mark)) {
			memcpy(&entry.mark, at + sizeof(attr), sizeof(entry.mark));
			entry.mark = ntohl(entry.mark);
		}
		entry.whole |= type == CTA_TUPLE_ORIG;
		at += step;
		left -= step < left ? step : left;
	}
	return entry;
}

static int read_error(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);

	return mnl_nlmsg_get_payload_len(nlh) < sizeof(*err) || err->error >= 0 ? -EBADMSG
										: err->error;
}

static int read_reply(const struct nlmsghdr *nlh, int len, uint32_t *mark)
{
	if (!mnl_nlmsg_ok(nlh, len))
		return -EBADMSG;
	if (nlh->nlmsg_type == NLMSG_ERROR)
		return read_error(nlh);
	if (nlh->nlmsg_type != (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW) ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nfgenmsg))
		return -EBADMSG;
	struct entry entry = read_entry(mnl_nlmsg_get_payload_offset(nlh, sizeof(struct nfgenmsg)),
					mnl_nlmsg_get_payload_len(nlh) - sizeof(struct nfgenmsg));

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

static int ask(struct thread *t, const struct flow *flow, uint32_t *mark)
{
	static const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	_Alignas(16) char buffer[REQUEST_MAX];
	ssize_t length = fill_in(buffer, flow, ++t->netlink_seq), sent;
	int tries = 0;

	if (length < 0)
		return (int)length;
	do
		sent = REAL(sendto)(t->netlink, buffer, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL,
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

int conntrack_mark(const struct flow *flow, uint32_t *mark)
{
	struct thread *t = &thread_self;
	int err = -ENOTSOCK;

	for (int tries = 0; tries < 2 && err == -ENOTSOCK; tries++) {
		err = ensure_own(t);
		asked = !err;
		if (asked)
			err = ask(t, flow, mark);
		if (asked && err == -ENOTSOCK)
			lose_own(t);
	}
	if (err && err != -ENOENT)
		close_own(t); /* whatever state it is in: the next question gets a new one */
	return err;
}
