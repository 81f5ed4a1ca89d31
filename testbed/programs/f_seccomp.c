// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs a command under a seccomp filter, as a service manager would: one call is refused with EPERM.
 *
 *     f_seccomp netlink|netfilter|mark COMMAND [ARGUMENT...]
 */
#include <asm-generic/socket.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define UNLESS(value, skip) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), 0, (unsigned char)(skip))

static struct sock_filter no_netlink[] = {
	LOAD(nr),
	UNLESS(SYS_socket, 3),
	LOAD(args[0]),
	UNLESS(AF_NETLINK, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

/* Resolvers that list interfaces need the other kinds of netlink. */
static struct sock_filter no_netfilter[] = {
	LOAD(nr),
	UNLESS(SYS_socket, 5),
	LOAD(args[0]),
	UNLESS(AF_NETLINK, 3),
	LOAD(args[2]),
	UNLESS(NETLINK_NETFILTER, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static struct sock_filter no_mark[] = {
	LOAD(nr),
	UNLESS(SYS_setsockopt, 5),
	LOAD(args[1]),
	UNLESS(SOL_SOCKET, 3),
	LOAD(args[2]),
	UNLESS(SO_MARK, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

#define FILTER(name, filter)                                         \
	{                                                            \
		name,                                                \
		{                                                    \
			sizeof(filter) / sizeof((filter)[0]), filter \
		}                                                    \
	}

static const struct {
	const char *name;
	struct sock_fprog program;
} filters[] = {
	FILTER("netlink", no_netlink),
	FILTER("netfilter", no_netfilter),
	FILTER("mark", no_mark),
};

int main(int argc, char **argv)
{
	size_t i = 0, n = sizeof(filters) / sizeof(filters[0]);

	while (argc > 2 && i < n && strcmp(argv[1], filters[i].name) != 0)
		i++;
	if (argc < 3 || i == n)
		return 64;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filters[i].program) != 0) {
		perror("seccomp");
		return 99;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
