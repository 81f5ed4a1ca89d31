// SPDX-License-Identifier: GPL-2.0-or-later
#include "cmsg.h"

#include <linux/in6.h>
#include <string.h>

/* Walks control messages with bounds of its own: CMSG_NXTHDR trusts the lengths. */
static const struct cmsghdr *next_message(const void *control, size_t len, size_t *at)
{
	if (*at > len || len - *at < sizeof(struct cmsghdr))
		return NULL;
	const struct cmsghdr *c = (const void *)((const char *)control + *at);

	if (c->cmsg_len < CMSG_LEN(0) || c->cmsg_len > len - *at)
		return NULL;
	*at += CMSG_ALIGN(c->cmsg_len);
	return c;
}

static void write_mark(char *at, uint32_t mark)
{
	struct cmsghdr header = {
		.cmsg_len = CMSG_LEN(sizeof(mark)), .cmsg_level = SOL_SOCKET, .cmsg_type = SO_MARK};

	memset(at, 0, CMSG_MARK_SPACE);
	memcpy(at, &header, sizeof(header));
	memcpy(at + CMSG_LEN(0), &mark, sizeof(mark));
}

size_t cmsg_add_mark(void *out, size_t size, const void *control, size_t len, uint32_t mark,
		     uint32_t mask)
{
	size_t at = 0, used = CMSG_ALIGN(len);
	const struct cmsghdr *c;
	bool has_own = false;

	if (size < used || size - used < CMSG_MARK_SPACE)
		return 0;
	if (len) {
		memset((char *)out + len, 0, used - len);
		memcpy(out, control, len);
	}
	for (size_t start = 0; (c = next_message(out, len, &at)); start = at) {
		uint32_t own;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_MARK ||
		    c->cmsg_len != CMSG_LEN(sizeof(own)))
			continue;
		memcpy(&own, (char *)out + start + CMSG_LEN(0), sizeof(own));
		own = (own & ~mask) | (mark & mask);
		memcpy((char *)out + start + CMSG_LEN(0), &own, sizeof(own));
		has_own = true; /* of several the kernel takes the last */
	}
	if (has_own)
		return len;
	/* What is left behind the last message, and too short for another, the kernel would take for the next. */
	if (at <= len && len - at < sizeof(struct cmsghdr))
		used = at;
	write_mark((char *)out + used, mark);
	return used + CMSG_MARK_SPACE;
}

/* One that the shim may have asked for: then what hides it, and what it says is noted; else 0. */
static unsigned read_own(const struct cmsghdr *c, struct cmsg_told *told)
{
	const void *data = CMSG_DATA((struct cmsghdr *)c);
	size_t len = c->cmsg_len - CMSG_LEN(0);

	if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_MARK) {
		told->marked = len == sizeof(told->mark); /* else cut off */
		if (told->marked)
			memcpy(&told->mark, data, sizeof(told->mark));
		return CMSG_HIDE_MARK;
	}
	if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_ORIGDSTADDR) {
		endpoint_from(&told->local, data, (socklen_t)len);
		return CMSG_HIDE_LOCAL4;
	}
	if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR) {
		endpoint_from(&told->local, data, (socklen_t)len);
		return CMSG_HIDE_LOCAL6;
	}
	return 0;
}

/* put_cmsg: what does not fit is cut, and said to be. */
static size_t put(void *out, size_t used, size_t size, const struct cmsghdr *c, int *flags)
{
	size_t room = size - used, n = c->cmsg_len;

	if (room < sizeof(*c)) {
		*flags |= MSG_CTRUNC;
		return used;
	}
	if (n > room) {
		*flags |= MSG_CTRUNC;
		n = room;
	}
	char *to = (char *)out + used;
	__typeof__(c->cmsg_len) whole = (__typeof__(whole))n;

	memmove(to, c, n);
	memcpy(to + offsetof(struct cmsghdr, cmsg_len), &whole, sizeof(whole));
	return used + (CMSG_ALIGN(n) < room ? CMSG_ALIGN(n) : room);
}

size_t cmsg_hide(void *out, size_t size, const void *control, size_t len, unsigned hide,
		 struct cmsg_told *told, int *flags)
{
	size_t at = 0, used = 0;
	const struct cmsghdr *c;

	*told = (struct cmsg_told){.marked = false};
	while ((c = next_message(control, len, &at)))
		if (!(read_own(c, told) & hide))
			used = put(out, used, size, c, flags);
	return used;
}
