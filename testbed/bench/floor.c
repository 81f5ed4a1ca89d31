// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What no library could do with less that gives each query a mark: it looks at what comes in and what leaves, and keeps
 * of each query who asked, until the answer leaves; for each upstream query it asks the kernel one question, for a flow of
 * its own that is there, and gives it a mark as a control message. Nothing is decided: all queries bear the same mark. For
 * resolvers that receive and send by the calls below, or by recvmmsg and sendmmsg through syscall (libuv). A contender of
 * testbed/bench/load --floor.
 *
 * Its "conntrack" is as said; its "packet" leaves the question away: the control message alone, and what the rules do
 * with a marked packet. (What it takes to receive a packet's mark is not in it.)
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	MARK = 137,
	HEADER = 12,
	AGAIN = 1 << 14, /* questions, until the flow is used again */
	WAITING = 256,	 /* queries that are kept, by their IDs */
	START = 40	 /* bytes of a query that are kept */
};

/* A question for the flow of a UDP socket that is its own peer. */
struct question {
	struct nlmsghdr nl;
	struct nfgenmsg nf;
	struct nlattr tuple, ip, src;
	uint32_t src_addr;
	struct nlattr dst;
	uint32_t dst_addr;
	struct nlattr proto, num;
	uint32_t number;
	struct nlattr sport;
	uint16_t src_port, pad;
	struct nlattr dport;
	uint16_t dst_port, end;
};

static __thread struct {
	bool open;
	int flow, netlink;
	unsigned asked;
	struct question question;
} own;

/* A client's query. */
struct kept {
	int fd; /* 0: none */
	socklen_t named;
	struct sockaddr_in from;
	uint8_t start[START];
};

static __thread struct kept waiting[WAITING];

static ssize_t (*real_recvmsg)(int, struct msghdr *, int);
static ssize_t (*real_recvfrom)(int, void *, size_t, int, struct sockaddr *, socklen_t *);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static ssize_t (*real_sendto)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
static long (*real_syscall)(long, ...);
static bool asks;

__attribute__((constructor)) static void start(void)
{
	const char *source = getenv("CONNMARK_SOURCE");

	asks = !source || strcmp(source, "packet") != 0;
	*(void **)&real_recvmsg = dlsym(RTLD_NEXT, "recvmsg");
	*(void **)&real_recvfrom = dlsym(RTLD_NEXT, "recvfrom");
	*(void **)&real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
	*(void **)&real_sendto = dlsym(RTLD_NEXT, "sendto");
	*(void **)&real_syscall = dlsym(RTLD_NEXT, "syscall");
}

static struct nlattr attr(unsigned type, size_t bytes)
{
	return (struct nlattr){.nla_len = (uint16_t)(sizeof(struct nlattr) + bytes),
			       .nla_type = (uint16_t)type};
}

static void write_question(const struct sockaddr_in *at)
{
	struct question *q = &own.question;

	*q = (struct question){
		.nl = {.nlmsg_len = sizeof(*q),
		       .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET,
		       .nlmsg_flags = NLM_F_REQUEST},
		.nf = {.nfgen_family = AF_INET, .version = NFNETLINK_V0},
		.tuple = attr(CTA_TUPLE_ORIG | NLA_F_NESTED,
			      sizeof(*q) - offsetof(struct question, ip)),
		.ip = attr(CTA_TUPLE_IP | NLA_F_NESTED, 16),
		.src = attr(CTA_IP_V4_SRC, 4),
		.src_addr = at->sin_addr.s_addr,
		.dst = attr(CTA_IP_V4_DST, 4),
		.dst_addr = at->sin_addr.s_addr,
		.proto = attr(CTA_TUPLE_PROTO | NLA_F_NESTED, 24),
		.num = attr(CTA_PROTO_NUM, 1),
		.sport = attr(CTA_PROTO_SRC_PORT, 2),
		.src_port = at->sin_port,
		.dport = attr(CTA_PROTO_DST_PORT, 2),
		.dst_port = at->sin_port,
	};
	*(uint8_t *)&q->number = IPPROTO_UDP;
}

/* What cannot be measured must not look as if it had been. */
static void need(bool it)
{
	static const char said[] = "floor: conntrack does not answer\n";

	if (it)
		return;
	(void)!write(STDERR_FILENO, said, sizeof(said) - 1);
	abort();
}

static void open_own(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);

	own.open = true;
	own.flow = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	own.netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	need(bind(own.flow, (struct sockaddr *)&at, len) == 0 &&
	     getsockname(own.flow, (struct sockaddr *)&at, &len) == 0 &&
	     connect(own.flow, (struct sockaddr *)&at, len) == 0);
	write_question(&at);
}

/* The flow's entry must not run out. */
static void use_flow(void)
{
	char byte = 0;

	need(real_sendto(own.flow, &byte, 1, 0, NULL, 0) == 1 && recv(own.flow, &byte, 1, 0) == 1);
}

static void ask(void)
{
	static const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	_Alignas(16) char answer[4096];

	if (!own.open)
		open_own();
	if (own.asked++ % AGAIN == 0)
		use_flow();
	need(real_sendto(own.netlink, &own.question, sizeof(own.question), MSG_DONTWAIT,
			 (const struct sockaddr *)&kernel, sizeof(kernel)) > 0);
	need(recv(own.netlink, answer, sizeof(answer), MSG_DONTWAIT) > 0 &&
	     ((struct nlmsghdr *)answer)->nlmsg_type != NLMSG_ERROR);
}

/* One question, opcode 0, and this QR bit: of queries, nothing that goes to a netlink or a UNIX socket begins so. */
static bool begins(const void *data, size_t len, uint8_t qr)
{
	const uint8_t *p = data;

	return len >= HEADER && (p[2] & 0xf8) == qr && !p[4] && p[5] == 1;
}

static bool is_query(const void *data, size_t len)
{
	return begins(data, len, 0);
}

static bool is_answer(const void *data, size_t len)
{
	return begins(data, len, 0x80);
}

static struct kept *place_of(const void *message)
{
	return &waiting[((const uint8_t *)message)[1]]; /* of the ID */
}

static void keep(int fd, const void *data, size_t len, const struct sockaddr *from, socklen_t named)
{
	struct kept *kept;

	if (!is_query(data, len) || !from)
		return;
	kept = place_of(data);
	kept->fd = fd;
	kept->named = named < sizeof(kept->from) ? named : sizeof(kept->from);
	memcpy(&kept->from, from, kept->named);
	memcpy(kept->start, data, len < START ? len : START);
}

static void answered(int fd, const void *data, size_t len, const struct sockaddr *to)
{
	struct kept *kept;

	if (!is_answer(data, len) || !to)
		return;
	kept = place_of(data);
	if (kept->fd == fd && memcmp(kept->start, data, 2) == 0 &&
	    memcmp(&kept->from, to, kept->named) == 0 &&
	    memcmp(kept->start + HEADER, (const uint8_t *)data + HEADER,
		   len < START ? len - HEADER : START - HEADER) == 0)
		kept->fd = 0;
}

static void keep_message(int fd, const struct msghdr *msg, size_t len)
{
	if (msg->msg_iovlen == 1)
		keep(fd, msg->msg_iov->iov_base, len, msg->msg_name, msg->msg_namelen);
}

static void answered_message(int fd, const struct msghdr *msg)
{
	if (msg->msg_iovlen == 1)
		answered(fd, msg->msg_iov->iov_base, msg->msg_iov->iov_len, msg->msg_name);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n = real_recvmsg(fd, msg, flags);

	if (n > 0)
		keep_message(fd, msg, (size_t)n);
	return n;
}

ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from,
		 socklen_t *fromlen)
{
	ssize_t n = real_recvfrom(fd, buf, len, flags, from, fromlen);

	if (n > 0)
		keep(fd, buf, (size_t)n, from, from ? *fromlen : 0);
	return n;
}

static ssize_t marked(int fd, const struct msghdr *app, int flags)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(uint32_t))] = {0};
	struct msghdr msg = *app;
	uint32_t mark = MARK;

	if (asks)
		ask();
	msg.msg_control = control;
	msg.msg_controllen = sizeof(control);
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	*c = (struct cmsghdr){
		.cmsg_level = SOL_SOCKET, .cmsg_type = SO_MARK, .cmsg_len = CMSG_LEN(sizeof(mark))};
	memcpy(CMSG_DATA(c), &mark, sizeof(mark));
	return real_sendmsg(fd, &msg, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	bool query = msg->msg_iovlen == 1 &&
		     is_query(msg->msg_iov->iov_base, msg->msg_iov->iov_len);

	answered_message(fd, msg);
	return query ? marked(fd, msg, flags) : real_sendmsg(fd, msg, flags);
}

ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
	       socklen_t tolen)
{
	struct iovec iov = {(void *)buf, len};
	struct msghdr msg = {
		.msg_name = (void *)to, .msg_namelen = tolen, .msg_iov = &iov, .msg_iovlen = 1};

	answered(fd, buf, len, to);
	return is_query(buf, len) ? marked(fd, &msg, flags)
				  : real_sendto(fd, buf, len, flags, to, tolen);
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	return sendto(fd, buf, len, flags, NULL, 0);
}

static long marked_one(int fd, struct mmsghdr *one, int flags)
{
	ssize_t n = marked(fd, &one->msg_hdr, flags);

	if (n < 0)
		return -1;
	one->msg_len = (unsigned)n;
	return 1;
}

static long kept_all(int fd, struct mmsghdr *vec, long n)
{
	for (long i = 0; i < n; i++)
		keep_message(fd, &vec[i].msg_hdr, vec[i].msg_len);
	return n;
}

static void answered_all(int fd, const struct mmsghdr *vec, long n)
{
	for (long i = 0; i < n; i++)
		answered_message(fd, &vec[i].msg_hdr);
}

/* Of several queries one leaves, and the program goes on with the others. */
long syscall(long number, ...)
{
	va_list ap;
	long arg[6];

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		arg[i] = va_arg(ap, long);
	va_end(ap);

	struct mmsghdr *vec = (struct mmsghdr *)arg[1];

	if (!real_syscall) /* an allocator's, before start */
		*(void **)&real_syscall = dlsym(RTLD_NEXT, "syscall");
	if (number == SYS_sendmmsg && arg[2] && vec->msg_hdr.msg_iovlen == 1 &&
	    is_query(vec->msg_hdr.msg_iov->iov_base, vec->msg_hdr.msg_iov->iov_len))
		return marked_one((int)arg[0], vec, (int)arg[3]);
	if (number == SYS_sendmmsg)
		answered_all((int)arg[0], vec, arg[2]);
	if (number == SYS_recvmmsg)
		return kept_all((int)arg[0], vec,
				real_syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4]));
	return real_syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

/* ---- the resolver stays root, which asking and marking take ---- */

int setuid(uid_t uid)
{
	(void)uid;
	return 0;
}

int setresuid(uid_t ruid, uid_t euid, uid_t suid)
{
	(void)ruid;
	(void)euid;
	(void)suid;
	return 0;
}

int capset(void *header, const void *data);

int capset(void *header, const void *data)
{
	(void)header;
	(void)data;
	return 0;
}
