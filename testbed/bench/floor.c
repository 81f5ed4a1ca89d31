// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What no library could do with less that asks conntrack once a query: for each upstream query one question to the
 * kernel, for a flow of its own that is there, and a mark as a control message. Nothing of the client is looked at, and
 * nothing decided: all queries bear the same mark. For resolvers that send by send, sendto, sendmsg, or sendmmsg through
 * syscall (libuv). A contender of testbed/bench/load --floor.
 *
 * Its "conntrack" is as said; its "packet" leaves the question away: the control message alone, and what the rules do
 * with a marked packet.
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

enum { MARK = 137, HEADER = 12, AGAIN = 1 << 14 /* questions, until the flow is used again */ };

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

static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static ssize_t (*real_sendto)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
static long (*real_syscall)(long, ...);
static bool asks;

__attribute__((constructor)) static void start(void)
{
	const char *source = getenv("CONNMARK_SOURCE");

	asks = !source || strcmp(source, "packet") != 0;
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

/* QR and opcode are 0, and there is one question: nothing that goes to a netlink or a UNIX socket begins so. */
static bool is_query(const void *data, size_t len)
{
	const uint8_t *p = data;

	return len >= HEADER && !(p[2] & 0xf8) && !p[4] && p[5] == 1;
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

	return query ? marked(fd, msg, flags) : real_sendmsg(fd, msg, flags);
}

ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
	       socklen_t tolen)
{
	struct iovec iov = {(void *)buf, len};
	struct msghdr msg = {
		.msg_name = (void *)to, .msg_namelen = tolen, .msg_iov = &iov, .msg_iovlen = 1};

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

/* Of several messages one leaves, and the program goes on with the others. */
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
