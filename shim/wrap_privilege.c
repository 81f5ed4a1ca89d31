// SPDX-License-Identifier: GPL-2.0-or-later
/* Changes of user and of capabilities. */
#include "caps.h"
#include "real.h"

#include <unistd.h>

SHIM_EXPORT int setuid(uid_t uid)
{
	struct caps_change change;

	caps_before(&change);
	int ret = REAL(setuid)(uid);

	caps_after(&change, ret == 0);
	return ret;
}

SHIM_EXPORT int seteuid(uid_t euid)
{
	struct caps_change change;

	caps_before(&change);
	int ret = REAL(seteuid)(euid);

	caps_after(&change, ret == 0);
	return ret;
}

SHIM_EXPORT int setreuid(uid_t ruid, uid_t euid)
{
	struct caps_change change;

	caps_before(&change);
	int ret = REAL(setreuid)(ruid, euid);

	caps_after(&change, ret == 0);
	return ret;
}

SHIM_EXPORT int setresuid(uid_t ruid, uid_t euid, uid_t suid)
{
	struct caps_change change;

	caps_before(&change);
	int ret = REAL(setresuid)(ruid, euid, suid);

	caps_after(&change, ret == 0);
	return ret;
}

int capset(cap_user_header_t header, const cap_user_data_t data);

SHIM_EXPORT int capset(cap_user_header_t header, const cap_user_data_t data)
{
	struct __user_cap_data_struct changed[CAPS_WORDS];

	return REAL(capset)(header, caps_added(header, data, changed));
}
