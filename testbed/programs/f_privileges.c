// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is left after each way to give root up, in this process and in a program that it starts; and that what is left
 * is good for nothing else.
 *
 *     f_privileges
 */
#include "show.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { NOBODY = 65534 };

int capget(cap_user_header_t header, cap_user_data_t data);

static void show_set(const char *name, uint32_t high, uint32_t low)
{
	printf(" %s %x%08x", name, high, low);
}

static int ambient_count(void)
{
	int count = 0;

	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		count += prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1;
	return count;
}

static void show_privileges(const char *when)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	NEED(capget(&header, caps) == 0);
	printf("%s:", when);
	show_set("permitted", caps[1].permitted, caps[0].permitted);
	show_set("effective", caps[1].effective, caps[0].effective);
	show_set("inheritable", caps[1].inheritable, caps[0].inheritable);
	printf(" ambient %d keepcaps %d securebits %#x\n", ambient_count(), prctl(PR_GET_KEEPCAPS),
	       (unsigned)prctl(PR_GET_SECUREBITS));
	fflush(stdout);
}

static void by_setuid(void)
{
	NEED(setuid(NOBODY) == 0);
}

static void by_setreuid(void)
{
	NEED(setreuid(NOBODY, NOBODY) == 0);
}

static void by_setresuid(void)
{
	NEED(setresuid(NOBODY, NOBODY, NOBODY) == 0);
}

/* First for a time, then for good. */
static void by_seteuid(void)
{
	NEED(seteuid(NOBODY) == 0 && seteuid(0) == 0 && setuid(NOBODY) == 0);
}

/* What root may do, and this process must not. */
static void try_root(void)
{
	struct sockaddr_in at = v4("127.0.0.1", 53);
	int fd = (int)syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0);

	SHOW(setuid(0));
	SHOW(bind(fd, (struct sockaddr *)&at, sizeof(at)));
	SHOW(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	SHOW(chown("/etc/passwd", 0, 0));
	SHOW(chroot("/"));
}

static void give_up(const char *how, void (*drop)(void), char *program)
{
	int status;
	pid_t child = fork();

	if (!child) {
		drop();
		show_privileges(how);
		try_root();
		execl(program, program, "show", (char *)NULL);
		_exit(99);
	}
	NEED(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		show_privileges("a program that it starts");
		return 0;
	}
	give_up("setuid", by_setuid, argv[0]);
	give_up("setreuid", by_setreuid, argv[0]);
	give_up("setresuid", by_setresuid, argv[0]);
	give_up("seteuid, setuid", by_seteuid, argv[0]);
	return 0;
}
