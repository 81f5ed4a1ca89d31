// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Control messages of any bytes. Input: size of the output, flags, mark, mask (each as below), the
 * control buffer.
 */
#include "cmsg.h"

#include <linux/in6.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 512, PARAMETERS = 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void *exact(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		abort();
	memset(p, 0xa5, size ? size : 1);
	return p;
}

/* Does the kernel take these bytes as control messages (CMSG_OK of include/linux/socket.h)? Counts
 * them by kind. */
static bool count_messages(const uint8_t *control, size_t len, unsigned *locals, unsigned *marks,
			   unsigned *others)
{
	size_t at = 0;

	*locals = *marks = *others = 0;
	while (len - at >= sizeof(struct cmsghdr)) {
		struct cmsghdr c;

		memcpy(&c, control + at, sizeof(c));
		if (c.cmsg_len < CMSG_LEN(0) || c.cmsg_len > len - at)
			return false;
		if ((c.cmsg_level == SOL_IP && c.cmsg_type == IP_ORIGDSTADDR) ||
		    (c.cmsg_level == SOL_IPV6 && c.cmsg_type == IPV6_ORIGDSTADDR))
			++*locals;
		else if (c.cmsg_level == SOL_SOCKET && c.cmsg_type == SO_MARK &&
			 c.cmsg_len == CMSG_LEN(sizeof(uint32_t)))
			++*marks;
		else
			++*others;
		if (CMSG_ALIGN(c.cmsg_len) >= len - at)
			break;
		at += CMSG_ALIGN(c.cmsg_len);
	}
	return true;
}

static void check_add(const uint8_t *control, size_t len, size_t size, uint32_t mark, uint32_t mask)
{
	uint8_t *out = exact(size);
	unsigned locals, marks, others, locals_after, marks_after, others_after;
	bool good = count_messages(control, len, &locals, &marks, &others);
	size_t used = cmsg_add_mark(out, size, control, len, mark, mask);

	require(used <= size);
	require(used || size < CMSG_ALIGN(len) + CMSG_MARK_SPACE);
	if (used && good) {
		require(count_messages(out, used, &locals_after, &marks_after, &others_after));
		require(locals_after == locals && others_after == others);
		require(marks_after == (marks ? marks : 1));
	}
	free(out);
}

static void check_hide(const uint8_t *control, size_t len, size_t size, bool hide)
{
	unsigned locals, marks, others, locals_after, marks_after, others_after;
	uint8_t *from = exact(len), *out = exact(size);
	size_t in_place = size < len ? size : len;
	struct cmsg_told told = {.mark = 0}, again = {.mark = 0};
	int flags = 0, flags_again = 0;

	memcpy(from, control, len);
	bool good = count_messages(from, len, &locals, &marks, &others);
	size_t used = cmsg_hide(out, size, from, len, hide ? 7U : 0U, &told, &flags);

	require(used <= size && (flags & ~MSG_CTRUNC) == 0);
	require(told.local.family == 0 || told.local.family == AF_INET ||
		told.local.family == AF_INET6);
	require(count_messages(out, used, &locals_after, &marks_after, &others_after));
	require(!hide || (!locals_after && !marks_after));
	require(!told.marked || marks);
	if (good && size >= CMSG_ALIGN(len)) {
		require(!flags && (hide || marks_after == marks));
		require(hide || (locals_after == locals && others_after == others));
	}
	/* Into itself, it is the same but for bytes that nobody wrote. */
	uint8_t *expected = exact(in_place);

	memcpy(expected, control, in_place);
	flags = 0;
	used = cmsg_hide(expected, in_place, from, len, hide ? 7U : 0U, &told, &flags);
	size_t used_again =
		cmsg_hide(from, in_place, from, len, hide ? 7U : 0U, &again, &flags_again);

	require(used == used_again && flags == flags_again);
	require(memcmp(&told.local, &again.local, sizeof(told.local)) == 0);
	require(told.marked == again.marked && told.mark == again.mark);
	require(count_messages(from, used_again, &locals_after, &marks_after, &others_after));
	free(expected);
	free(from);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t mark, mask;

	if (size < PARAMETERS || size > ROOM)
		return 0;
	memcpy(&mark, data + 2, sizeof(mark));
	memcpy(&mask, data + 6, sizeof(mask));
	check_add(data + PARAMETERS, size - PARAMETERS, data[0] * 2U, mark, mask);
	check_hide(data + PARAMETERS, size - PARAMETERS, data[0] * 2U, data[1] & 1);
	return 0;
}
