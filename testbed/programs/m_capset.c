// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * capset with each version of its interface (capset(2)) and setuid under each of the securebits: which capabilities are
 * left. One child process for each.
 */
#include "show.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/wait.h>

int capset(cap_user_header_t header, const cap_user_data_t data);
int capget(cap_user_header_t header, cap_user_data_t data);

static void show_caps(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	NEED(capget(&header, caps) == 0);
	printf("  effective %08x%08x permitted %08x%08x inheritable %08x%08x\n", caps[1].effective,
	       caps[0].effective, caps[1].permitted, caps[0].permitted, caps[1].inheritable,
	       caps[0].inheritable);
}

static void bind_service_alone(uint32_t version)
{
	struct __user_cap_header_struct header = {.version = version};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = {0};

	caps[0].effective = caps[0].permitted = 1U << CAP_NET_BIND_SERVICE;
	SHOW(capset(&header, caps));
	show_caps();
	caps[0].effective = caps[0].permitted = 0;
	SHOW(capset(&header, caps));
	show_caps();
}

static void version_1(void)
{
	bind_service_alone(_LINUX_CAPABILITY_VERSION_1);
}

static void version_2(void)
{
	bind_service_alone(_LINUX_CAPABILITY_VERSION_2);
}

static void version_3(void)
{
	bind_service_alone(_LINUX_CAPABILITY_VERSION_3);
}

static void version_none(void)
{
	bind_service_alone(77);
}

static void plain(void)
{
	SHOW(setuid(65534));
	show_caps();
	SHOW(prctl(PR_GET_KEEPCAPS));
}

static void there_and_back(void)
{
	SHOW(seteuid(65534));
	show_caps();
	SHOW(seteuid(0));
	show_caps();
}

static void keepcaps(void)
{
	NEED(prctl(PR_SET_KEEPCAPS, 1) == 0);
	plain();
}

static void no_fixup(void)
{
	NEED(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) == 0);
	plain();
	SHOW(prctl(PR_GET_SECUREBITS));
}

static void keepcaps_locked(void)
{
	NEED(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS_LOCKED) == 0);
	plain();
	SHOW(prctl(PR_GET_SECUREBITS));
}

static void in_child(const char *what, void (*run)(void))
{
	int status = -1;

	printf("%s\n", what);
	fflush(stdout);
	pid_t child = fork();

	if (!child) {
		run();
		exit(0);
	}
	NEED(waitpid(child, &status, 0) == child && status == 0);
}

int main(void)
{
	in_child("version 1", version_1);
	in_child("version 2", version_2);
	in_child("version 3", version_3);
	in_child("an unknown version", version_none);
	in_child("setuid", plain);
	in_child("seteuid there and back", there_and_back);
	in_child("setuid with PR_SET_KEEPCAPS", keepcaps);
	in_child("setuid with SECBIT_NO_SETUID_FIXUP", no_fixup);
	in_child("setuid with SECBIT_KEEP_CAPS_LOCKED", keepcaps_locked);
	return 0;
}
