// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A library between libconnmarkshim and the C library: netlink that fails. FAULT=CALL:WHAT[:TIMES], as in
 * recv:ENOBUFS:10; without TIMES it never works.
 *
 *     socket, sendto   any errno's name below
 *     recv             likewise; silent: there is no answer; late: the one before comes in its place; garbage; short
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

static const struct {
	const char *name;
	int number;
} errors[] = {
	{"EPERM", EPERM},   {"ENOBUFS", ENOBUFS}, {"EINTR", EINTR},
	{"EMFILE", EMFILE}, {"ENFILE", ENFILE},	  {"EAFNOSUPPORT", EAFNOSUPPORT},
	{"ENOMEM", ENOMEM}, {"EACCES", EACCES},	  {"ECONNREFUSED", ECONNREFUSED},
};

static const char *fault; /* what the call in question does */
static char call[16], what[32];
static long times = -1;

__attribute__((constructor)) static void read_fault(void)
{
	const char *text = getenv("FAULT");
	size_t n = text ? strcspn(text, ":") : 0;

	if (!n || n >= sizeof(call) || !text[n])
		return;
	memcpy(call, text, n);
	text += n + 1;
	n = strcspn(text, ":");
	if (n >= sizeof(what))
		return;
	memcpy(what, text, n);
	fault = what;
	if (text[n])
		times = strtol(text + n + 1, NULL, 10);
}

/* Is it this call's turn to fail? */
static bool fails(const char *name)
{
	if (!fault || strcmp(name, call) != 0 || !times)
		return false;
	times -= times > 0;
	return true;
}

static int error_of(void)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(fault, errors[i].name) == 0)
			return errors[i].number;
	return 0;
}

/* -1 with the fault's errno; 0: the fault is of another kind. */
static int fail(void)
{
	int error = error_of();

	if (error)
		errno = error;
	return error ? -1 : 0;
}

static bool is_netlink(int fd)
{
	int domain = 0, saved = errno;
	socklen_t len = sizeof(domain);
	bool yes = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
		   domain == AF_NETLINK;

	errno = saved;
	return yes;
}

int socket(int domain, int type, int protocol)
{
	static int (*real)(int, int, int);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "socket");
	if (domain == AF_NETLINK && fails("socket"))
		return fail();
	return real(domain, type, protocol);
}

ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
	       socklen_t tolen)
{
	static ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "sendto");
	if (is_netlink(fd) && fails("sendto"))
		return fail();
	return real(fd, buf, len, flags, to, tolen);
}

/* The answer as it should not be. n: its length. */
static ssize_t spoil(char *buf, ssize_t n)
{
	struct nlmsghdr *header = (struct nlmsghdr *)buf;

	if (strcmp(fault, "silent") == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (n < (ssize_t)sizeof(*header))
		return n;
	if (strcmp(fault, "late") == 0)
		header->nlmsg_seq--;
	else if (strcmp(fault, "garbage") == 0)
		memset(buf + sizeof(*header), 0xff, (size_t)n - sizeof(*header));
	else if (strcmp(fault, "short") == 0)
		return (ssize_t)sizeof(*header) - 2;
	return n;
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	static ssize_t (*real)(int, void *, size_t, int);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "recv");
	if (!is_netlink(fd) || !fails("recv"))
		return real(fd, buf, len, flags);
	return fail() ? -1 : spoil(buf, real(fd, buf, len, flags));
}
