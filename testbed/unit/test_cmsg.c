// SPDX-License-Identifier: GPL-2.0-or-later
#include "harness.h"

#include "cmsg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/in6.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 512, UNTOUCHED = 0xa5 };

struct control {
	size_t len;
	_Alignas(struct cmsghdr) uint8_t at[ROOM];
};

/* Appends a message, aligned; the length in its header may be told. */
static void append(struct control *c, int level, int type, const void *data, size_t n,
		   size_t length)
{
	struct cmsghdr header = {.cmsg_len = length, .cmsg_level = level, .cmsg_type = type};

	assert_true(CMSG_SPACE(n) <= ROOM - c->len);
	memset(c->at + c->len, 0, CMSG_SPACE(n));
	memcpy(c->at + c->len, &header, sizeof(header));
	if (n)
		memcpy(c->at + c->len + CMSG_LEN(0), data, n);
	c->len += CMSG_SPACE(n);
}

static void append_message(struct control *c, int level, int type, const void *data, size_t n)
{
	append(c, level, type, data, n, CMSG_LEN(n));
}

static void append_mark(struct control *c, uint32_t mark)
{
	append_message(c, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
}

/* The kernel's reading: the last SO_MARK counts (net/core/sock.c, sock_cmsg_send); false where it
 * says EINVAL. */
static bool kernel_reads(const struct control *c, unsigned *marks, uint32_t *mark, unsigned *others)
{
	size_t at = 0;

	*marks = *others = 0;
	while (c->len - at >= sizeof(struct cmsghdr)) {
		struct cmsghdr header;

		memcpy(&header, c->at + at, sizeof(header));
		if (header.cmsg_len < CMSG_LEN(0) || header.cmsg_len > c->len - at)
			return false;
		if (header.cmsg_level == SOL_SOCKET && header.cmsg_type == SO_MARK) {
			if (header.cmsg_len != CMSG_LEN(sizeof(*mark)))
				return false;
			memcpy(mark, c->at + at + CMSG_LEN(0), sizeof(*mark));
			++*marks;
		} else {
			++*others;
		}
		if (CMSG_ALIGN(header.cmsg_len) >= c->len - at)
			break;
		at += CMSG_ALIGN(header.cmsg_len);
	}
	return true;
}

/* ---- adding a mark ---- */

/* Adds to a buffer of that size, which ends where its memory ends. */
static struct control add(const struct control *c, size_t size, uint32_t mark, uint32_t mask)
{
	uint8_t *from = exact_copy(c->at, c->len), *to = exact_copy((uint8_t[ROOM]){0}, size);
	struct control out = {0};

	memset(to, UNTOUCHED, size);
	out.len = cmsg_add_mark(to, size, c->len ? from : NULL, c->len, mark, mask);
	assert_true(out.len <= size && size <= ROOM);
	memcpy(out.at, to, size);
	free(from);
	free(to);
	return out;
}

static void adds_the_only_message(void **state)
{
	struct control none = {0}, expected = {0};

	(void)state;
	append_mark(&expected, 137);
	struct control out = add(&none, CMSG_MARK_SPACE, 137, UINT32_MAX);

	assert_int_equal(out.len, CMSG_MARK_SPACE);
	assert_memory_equal(out.at, expected.at, out.len);
}

static void adds_behind_others(void **state)
{
	struct in_pktinfo info = {.ipi_ifindex = 7};
	struct control c = {0};
	int ttl = 9;

	(void)state;
	append_message(&c, SOL_IP, IP_PKTINFO, &info, sizeof(info));
	append_message(&c, SOL_IP, IP_TTL, &ttl, sizeof(ttl));
	struct control expected = c;

	append_mark(&expected, 0xdeadbeef);
	for (size_t size = 0; size < ROOM; size++) {
		struct control out = add(&c, size, 0xdeadbeef, UINT32_MAX);

		if (size < expected.len) {
			assert_int_equal(out.len, 0);
			continue;
		}
		assert_int_equal(out.len, expected.len);
		assert_memory_equal(out.at, expected.at, out.len);
		for (size_t i = out.len; i < size; i++)
			assert_int_equal(out.at[i], UNTOUCHED);
	}
}

/* The last message without its padding, as programs may give it (CMSG_LEN instead of CMSG_SPACE).
 */
static void adds_behind_unpadded(void **state)
{
	struct control c = {0};
	uint32_t mark = 0;
	unsigned marks, others;
	int ttl = 9;

	(void)state;
	append_message(&c, SOL_IP, IP_TTL, &ttl, sizeof(ttl));
	c.len = CMSG_LEN(sizeof(ttl));
	struct control out = add(&c, ROOM, 137, UINT32_MAX);

	assert_int_equal(out.len, CMSG_SPACE(sizeof(ttl)) + CMSG_MARK_SPACE);
	assert_true(kernel_reads(&out, &marks, &mark, &others));
	assert_int_equal(mark, 137);
	assert_int_equal(others, 1);
}

/* Bytes behind the last message, too few for another: the kernel does not look at them, so they
 * must not be in the way. */
static void adds_where_there_is_slack(void **state)
{
	int ttl = 9;

	(void)state;
	for (size_t slack = 0; slack < sizeof(struct cmsghdr); slack++) {
		struct control c = {0};
		uint32_t mark = 0;
		unsigned marks, others;

		append_message(&c, SOL_IP, IP_TTL, &ttl, sizeof(ttl));
		c.len += slack;
		assert_true(kernel_reads(&c, &marks, &mark, &others));
		struct control out = add(&c, ROOM, 137, UINT32_MAX);

		if (!kernel_reads(&out, &marks, &mark, &others))
			fail_msg("%zu bytes of slack: the kernel would refuse it", slack);
		if (marks != 1 || mark != 137 || others != 1)
			fail_msg("%zu bytes of slack: %u marks, %u others", slack, marks, others);
	}
}

static void keeps_the_programs_bits(void **state)
{
	static const struct {
		uint32_t own, mark, mask, expected;
	} cases[] = {
		{0x12345678, 137, UINT32_MAX, 137},
		{0x12345678, 0x89, 0xff, 0x12345689},
		{0x12345678, 0xffffff89, 0xff, 0x12345689},
		{0xffffffff, 0, 0xffff0000, 0x0000ffff},
		{0, 137, 0xff, 137},
		{137, 137, 0xff, 137},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct control c = {0}, expected = {0};
		int ttl = 9;

		for (int at = 0; at < 3; at++) { /* in front, in the middle, behind */
			c.len = expected.len = 0;
			for (int k = 0; k < 3; k++) {
				if (k == at) {
					append_mark(&c, cases[i].own);
					append_mark(&expected, cases[i].expected);
				} else {
					append_message(&c, SOL_IP, IP_TTL, &ttl, sizeof(ttl));
					append_message(&expected, SOL_IP, IP_TTL, &ttl,
						       sizeof(ttl));
				}
			}
			struct control out = add(&c, ROOM, cases[i].mark, cases[i].mask);

			assert_int_equal(out.len, expected.len);
			assert_memory_equal(out.at, expected.at, out.len);
		}
	}
}

/* Of several marks the kernel takes the last. */
static void several_marks_of_the_program(void **state)
{
	struct control c = {0};
	uint32_t mark = 0;
	unsigned marks, others;

	(void)state;
	append_mark(&c, 0x100);
	append_mark(&c, 0x200);
	struct control out = add(&c, ROOM, 0x89, 0xff);

	assert_true(kernel_reads(&out, &marks, &mark, &others));
	assert_int_equal(mark, 0x289);
}

static void leaves_others_alone(void **state)
{
	struct control c = {0}, expected;
	uint32_t data = 42;

	(void)state;
	append_message(&c, SOL_IP, SO_MARK, &data, sizeof(data)); /* another level */
	append_message(&c, SOL_SOCKET, SO_TIMESTAMP, &data, sizeof(data));
	expected = c;
	append_mark(&expected, 137);
	struct control out = add(&c, ROOM, 137, 0xff);

	assert_int_equal(out.len, expected.len);
	assert_memory_equal(out.at, expected.at, out.len);
}

/* Lengths that lie: nothing is read behind the end. The kernel will refuse the call. */
static void adds_to_malformed(void **state)
{
	static const size_t lengths[] = {0, 1, 15, 100000, SIZE_MAX, SIZE_MAX - 7};
	int ttl = 9;

	(void)state;
	for (size_t i = 0; i < COUNT(lengths); i++) {
		struct control c = {0};

		append(&c, SOL_SOCKET, SO_MARK, &ttl, sizeof(ttl), lengths[i]);
		size_t len = c.len;

		for (c.len = 1; c.len < len; c.len++) {
			struct control out = add(&c, ROOM, 137, 0xff);

			/* fewer bytes than a header are nothing to the kernel */
			if (c.len >= sizeof(struct cmsghdr))
				assert_memory_equal(out.at, c.at, c.len);
		}
	}
}

/* ---- hiding ---- */

static struct control hide(const struct control *c, size_t size, bool take_out,
			   struct cmsg_told *told, int *flags)
{
	uint8_t *from = exact_copy(c->at, c->len), *to = exact_copy((uint8_t[ROOM]){0}, size);
	struct control out;

	memset(out.at, UNTOUCHED, ROOM);
	memset(to, UNTOUCHED, size);
	out.len = cmsg_hide(to, size, from, c->len, take_out ? 7U : 0U, told, flags);
	assert_true(out.len <= size);
	memcpy(out.at, to, size);
	free(from);
	free(to);
	return out;
}

static void says_the_local_end(void **state)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(0x7f000005)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(5353)};
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
	struct cmsg_told told;
	struct control c = {0}, out;
	int flags = 0;

	(void)state;
	inet_pton(AF_INET6, "fd00::7", &in6.sin6_addr);
	inet_pton(AF_INET6, "::ffff:127.0.0.5", &mapped.sin6_addr);
	out = hide(&c, 0, true, &told, &flags);
	assert_int_equal(told.local.family, 0);
	assert_int_equal(out.len, 0);
	append_message(&c, SOL_IP, IP_ORIGDSTADDR, &in, sizeof(in));
	for (int take_out = 0; take_out < 2; take_out++) {
		out = hide(&c, ROOM, take_out, &told, &flags);
		assert_int_equal(told.local.family, AF_INET);
		assert_int_equal(told.local.port, htons(53));
		assert_memory_equal(told.local.addr, "\x7f\0\0\5\0\0\0\0\0\0\0\0\0\0\0\0", 16);
		assert_false(told.local.wildcard);
		assert_int_equal(out.len, take_out ? 0 : CMSG_SPACE(sizeof(in)));
		assert_memory_equal(out.at, c.at, out.len);
	}
	c.len = 0;
	append_message(&c, SOL_IPV6, IPV6_ORIGDSTADDR, &mapped, sizeof(mapped));
	hide(&c, ROOM, true, &told, &flags);
	assert_int_equal(told.local.family, AF_INET);
	assert_memory_equal(told.local.addr, "\x7f\0\0\5\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	c.len = 0;
	append_message(&c, SOL_IPV6, IPV6_ORIGDSTADDR, &in6, sizeof(in6));
	hide(&c, 0, true, &told, &flags);
	assert_int_equal(told.local.family, AF_INET6);
	assert_int_equal(told.local.port, htons(5353));
	assert_memory_equal(told.local.addr, &in6.sin6_addr, 16);
	assert_int_equal(flags, 0); /* what was hidden did not lack room */
}

static void says_the_mark(void **state)
{
	struct control c = {0}, out;
	struct cmsg_told told;
	uint32_t mark = 137;
	int tos = 7, flags = 0;

	(void)state;
	hide(&c, ROOM, true, &told, &flags);
	assert_false(told.marked);
	append_message(&c, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	append_message(&c, SOL_IP, IP_TOS, &tos, sizeof(tos));
	for (int take_out = 0; take_out < 2; take_out++) {
		out = hide(&c, ROOM, take_out, &told, &flags);
		assert_true(told.marked);
		assert_int_equal(told.mark, 137);
		assert_int_equal(out.len, (take_out ? 1 : 2) * CMSG_SPACE(sizeof(tos)));
	}
	c.len = 0; /* cut off: no mark, and hidden all the same */
	append_message(&c, SOL_SOCKET, SO_MARK, &mark, 2);
	assert_int_equal(hide(&c, ROOM, true, &told, &flags).len, 0);
	assert_false(told.marked);
	assert_int_equal(flags, 0);
}

/* Taken out from between, and in place: the message behind it moves up. */
static void in_place(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(53)};
	struct control c = {0}, expected = {0};
	struct cmsg_told told;
	int ttl = 9, tos = 7, flags = 0;

	(void)state;
	append_message(&c, SOL_IP, IP_TTL, &ttl, sizeof(ttl));
	append_message(&c, SOL_IP, IP_ORIGDSTADDR, &in, sizeof(in));
	append_message(&c, SOL_IP, IP_TOS, &tos, sizeof(tos));
	append_message(&expected, SOL_IP, IP_TTL, &ttl, sizeof(ttl));
	append_message(&expected, SOL_IP, IP_TOS, &tos, sizeof(tos));
	size_t used = cmsg_hide(c.at, c.len, c.at, c.len, CMSG_HIDE_LOCAL4 | CMSG_HIDE_LOCAL6,
				&told, &flags);

	assert_int_equal(used, expected.len);
	assert_memory_equal(c.at, expected.at, used);
	assert_int_equal(flags, 0);
	assert_int_equal(told.local.family, AF_INET);
}

static void hides_from_malformed(void **state)
{
	static const size_t lengths[] = {0, 1, 15, 100000, SIZE_MAX, SIZE_MAX - 7};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(53)};

	(void)state;
	for (size_t i = 0; i < COUNT(lengths); i++) {
		struct control c = {0};

		append(&c, SOL_IP, IP_ORIGDSTADDR, &in, sizeof(in), lengths[i]);
		for (size_t len = c.len; len > 0; len--) {
			struct cmsg_told told;
			int flags = 0;

			c.len = len;
			assert_int_equal(hide(&c, ROOM, true, &told, &flags).len, 0);
			assert_int_equal(told.local.family, 0);
		}
	}
	for (size_t n = 0; n < sizeof(in); n++) { /* an address cut short is none */
		struct control c = {0};
		struct cmsg_told told;
		int flags = 0;

		append_message(&c, SOL_IP, IP_ORIGDSTADDR, &in, n);
		assert_int_equal(hide(&c, ROOM, true, &told, &flags).len, 0);
		assert_int_equal(told.local.family, 0);
	}
}

/* ---- hiding, against the kernel ---- */

struct option {
	int level, name;
	bool must; /* some kernels do not have all */
};

/* A socket bound to the address, with a datagram in it that was sent to the other, and the
 * program's options. */
static int with_datagram(const char *address, const char *to, const struct option *options,
			 size_t count)
{
	bool v6 = strchr(address, ':');
	struct sockaddr_storage sa = {0};
	struct sockaddr_in *in = (void *)&sa;
	struct sockaddr_in6 *in6 = (void *)&sa;
	socklen_t len = v6 ? sizeof(*in6) : sizeof(*in);
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0), off = 0, on = 1;

	if (fd < 0 && errno == EAFNOSUPPORT)
		return -1;
	assert_true(fd >= 0);
	if (v6)
		setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	sa.ss_family = v6 ? AF_INET6 : AF_INET;
	inet_pton(sa.ss_family, address, v6 ? (void *)&in6->sin6_addr : (void *)&in->sin_addr);
	if (bind(fd, (void *)&sa, len) != 0) {
		assert_int_equal(errno, EADDRNOTAVAIL); /* no IPv6 here */
		close(fd);
		return -1;
	}
	assert_int_equal(getsockname(fd, (void *)&sa, &len), 0);
	for (size_t i = 0; i < count; i++)
		if (setsockopt(fd, options[i].level, options[i].name, &on, sizeof(on)) != 0 &&
		    options[i].must)
			fail_msg("option %d of level %d: %s", options[i].name, options[i].level,
				 strerror(errno));
	inet_pton(sa.ss_family, to, v6 ? (void *)&in6->sin6_addr : (void *)&in->sin_addr);
	int client = socket(sa.ss_family, SOCK_DGRAM, 0);

	assert_int_equal(sendto(client, "hello", 5, 0, (void *)&sa, len), 5);
	close(client);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 5000), 1);
	return fd;
}

/* Peeks, so that the same datagram with the same timestamp can be received again. */
static struct control receive(int fd, size_t size, int *flags)
{
	struct control c;
	char data[16];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.at, .msg_controllen = size};

	memset(c.at, UNTOUCHED, sizeof(c.at));
	assert_int_equal(recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT), 5);
	c.len = msg.msg_controllen;
	*flags = msg.msg_flags;
	return c;
}

/* For every size of the program's buffer: what is left of the full set is what the kernel gives
 * without ours. */
static void compare_with_kernel(int fd, bool v6, uint8_t family)
{
	int on = 1, off = 0, full_flags, kernel_flags;
	struct control full, kernel;
	struct cmsg_told told;

	kernel = receive(fd, ROOM, &kernel_flags);
	size_t own = kernel.len;

	setsockopt(fd, SOL_IP, IP_RECVORIGDSTADDR, &on, sizeof(on));
	if (v6)
		setsockopt(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR, &on, sizeof(on));
	full = receive(fd, ROOM, &full_flags);
	assert_true(full.len > own); /* there is something to hide */
	assert_int_equal(full_flags & MSG_CTRUNC, 0);
	setsockopt(fd, SOL_IP, IP_RECVORIGDSTADDR, &off, sizeof(off));
	if (v6)
		setsockopt(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR, &off, sizeof(off));
	for (size_t size = 0; size <= full.len + 8; size++) {
		int flags = full_flags;
		struct control ours = hide(&full, size, true, &told, &flags);

		kernel = receive(fd, size, &kernel_flags);
		if (ours.len != kernel.len || flags != kernel_flags)
			fail_msg("size %zu: msg_controllen %zu, flags 0x%x; the kernel: %zu, 0x%x",
				 size, ours.len, (unsigned)flags, kernel.len,
				 (unsigned)kernel_flags);
		assert_memory_equal(ours.at, kernel.at, ROOM);
		assert_int_equal(told.local.family, family);
	}
}

/* The same with ours left in: what the program asked for itself it gets, cut as the kernel cuts. */
static void compare_shown_with_kernel(int fd, bool v6)
{
	int on = 1, full_flags, kernel_flags;
	struct cmsg_told told;

	setsockopt(fd, SOL_IP, IP_RECVORIGDSTADDR, &on, sizeof(on));
	if (v6)
		setsockopt(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR, &on, sizeof(on));
	struct control full = receive(fd, ROOM, &full_flags);

	for (size_t size = 0; size <= full.len + 8; size++) {
		int flags = full_flags;
		struct control ours = hide(&full, size, false, &told, &flags);
		struct control kernel = receive(fd, size, &kernel_flags);

		if (ours.len != kernel.len || flags != kernel_flags)
			fail_msg("size %zu: msg_controllen %zu, flags 0x%x; the kernel: %zu, 0x%x",
				 size, ours.len, (unsigned)flags, kernel.len,
				 (unsigned)kernel_flags);
		assert_memory_equal(ours.at, kernel.at, ROOM);
	}
}

static const struct option options4[] = {
	{SOL_IP, IP_PKTINFO, true},  {SOL_SOCKET, SO_TIMESTAMP, true},
	{SOL_IP, IP_RECVTTL, true},  {SOL_IP, IP_RECVTOS, true},
	{SOL_IP, IP_RECVOPTS, true}, {SOL_SOCKET, SO_RXQ_OVFL, true},
};

static const struct option options6[] = {
	{SOL_IPV6, IPV6_RECVPKTINFO, true},  {SOL_SOCKET, SO_TIMESTAMPNS, true},
	{SOL_IPV6, IPV6_RECVHOPLIMIT, true}, {SOL_IPV6, IPV6_RECVTCLASS, true},
	{SOL_IP, IP_PKTINFO, true},	     {SOL_IP, IP_RECVTTL, true},
};

/* Each subset of the options of IPv4: other lengths, so other places to cut. */
static void kernel_ipv4(void **state)
{
	(void)state;
	for (unsigned subset = 0; subset < 1U << COUNT(options4); subset++) {
		struct option chosen[COUNT(options4)];
		size_t n = 0;

		for (size_t i = 0; i < COUNT(options4); i++)
			if (subset >> i & 1)
				chosen[n++] = options4[i];
		int fd = with_datagram("127.0.0.1", "127.0.0.1", chosen, n);

		compare_with_kernel(fd, false, AF_INET);
		compare_shown_with_kernel(fd, false);
		close(fd);
	}
}

static void kernel_ipv6(void **state)
{
	(void)state;
	int fd = with_datagram("::1", "::1", options6, COUNT(options6));

	if (fd < 0)
		skip();
	compare_with_kernel(fd, true, AF_INET6);
	compare_shown_with_kernel(fd, true);
	close(fd);
}

/* A socket of both families that receives IPv4: messages of both. */
static void kernel_mapped(void **state)
{
	(void)state;
	int fd = with_datagram("::", "::ffff:127.0.0.1", options6, COUNT(options6));

	if (fd < 0)
		skip();
	compare_with_kernel(fd, true, AF_INET);
	compare_shown_with_kernel(fd, true);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adds_the_only_message),
		cmocka_unit_test(adds_behind_others),
		cmocka_unit_test(adds_behind_unpadded),
		cmocka_unit_test(adds_where_there_is_slack),
		cmocka_unit_test(keeps_the_programs_bits),
		cmocka_unit_test(several_marks_of_the_program),
		cmocka_unit_test(leaves_others_alone),
		cmocka_unit_test(adds_to_malformed),
		cmocka_unit_test(says_the_local_end),
		cmocka_unit_test(says_the_mark),
		cmocka_unit_test(in_place),
		cmocka_unit_test(hides_from_malformed),
		cmocka_unit_test(kernel_ipv4),
		cmocka_unit_test(kernel_ipv6),
		cmocka_unit_test(kernel_mapped),
	};

	return cmocka_run_group_tests_name("cmsg", tests, NULL, NULL);
}
