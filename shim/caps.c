// SPDX-License-Identifier: GPL-2.0-or-later
#include "caps.h"

#include "log.h"
#include "real.h"
#include "source.h"
#include "thread.h"

#include <errno.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 5.17 for setsockopt (079925cce1d0), 5.18 for the control message (91f0d8a4813a). */
enum { KERNEL_MARK_NET_RAW = 0x0512 };

/* Both in the first word. */
#define NET_ADMIN (1U << CAP_NET_ADMIN)
#define NET_RAW	  (1U << CAP_NET_RAW)

static bool wanted(void)
{
	return atomic_load_explicit(&shim_ready, memory_order_acquire) && shim.config.keep_caps;
}

static struct __user_cap_header_struct this_thread(void)
{
	return (struct __user_cap_header_struct){.version = _LINUX_CAPABILITY_VERSION_3};
}

static bool get(struct __user_cap_data_struct data[CAPS_WORDS])
{
	struct __user_cap_header_struct header = this_thread();
	long arg[6] = {(long)&header, (long)data};

	return real_raw_syscall(SYS_capget, arg) == 0;
}

static bool set(struct __user_cap_data_struct data[CAPS_WORDS])
{
	struct __user_cap_header_struct header = this_thread();

	return REAL(capset)(&header, data) == 0;
}

bool caps_can_mark(void)
{
	struct __user_cap_data_struct now[CAPS_WORDS];
	int saved = errno;
	uint32_t enough = NET_ADMIN | (shim.kernel >= KERNEL_MARK_NET_RAW ? NET_RAW : 0);
	bool can = get(now) && now[0].effective & enough;

	errno = saved;
	return can;
}

/*
 * The one bit to keep, of those that are there; 0: none. Where clients' packets bring their marks, CAP_NET_RAW does
 * (that source's kernels let it set marks); conntrack asks for CAP_NET_ADMIN.
 */
static uint32_t bit_to_keep(const struct __user_cap_data_struct now[CAPS_WORDS])
{
	uint32_t permitted = now[0].permitted;

	if (permitted & NET_RAW && source_now() == SOURCE_PACKET)
		return NET_RAW;
	return permitted & NET_ADMIN;
}

static bool any_root(void)
{
	uid_t real_id, effective, saved;

	return getresuid(&real_id, &effective, &saved) == 0 && (!real_id || !effective || !saved);
}

void caps_before(struct caps_change *change)
{
	struct __user_cap_data_struct now[CAPS_WORDS];
	int saved = errno;

	*change = (struct caps_change){0};
	if (wanted() && get(now))
		change->bit = bit_to_keep(now);
	if (change->bit) {
		change->was_root = any_root();
		change->keepcaps_set = prctl(PR_GET_KEEPCAPS) == 0 &&
				       prctl(PR_SET_KEEPCAPS, 1) == 0;
	}
	errno = saved;
}

/* The program runs with securebits under which a change of user leaves capabilities alone (capabilities(7)). */
static bool fixup_off(void)
{
	int bits = prctl(PR_GET_SECUREBITS);

	return bits > 0 && bits & SECBIT_NO_SETUID_FIXUP;
}

/*
 * What the kernel would have left without us: all that was permitted goes when the last of the ids
 * leaves 0 and the program did not ask to keep it (cap_emulate_setxuid, security/commoncap.c). The
 * effective set is already as the kernel made it.
 */
static void only_ours(struct __user_cap_data_struct caps[CAPS_WORDS])
{
	for (int i = 0; i < CAPS_WORDS; i++)
		caps[i].permitted = caps[i].effective = 0;
}

void caps_after(struct caps_change *change, bool done)
{
	struct __user_cap_data_struct caps[CAPS_WORDS];
	int saved = errno;

	if (!change->bit)
		return;
	if (change->keepcaps_set)
		prctl(PR_SET_KEEPCAPS, 0);
	if (done && get(caps)) {
		if (change->keepcaps_set && change->was_root && !any_root() && !fixup_off())
			only_ours(caps);
		caps[0].permitted |= change->bit;
		caps[0].effective |= change->bit;
		if (!set(caps))
			log_cause(LOG_caps_failed, errno);
	}
	errno = saved;
}

/* How many words of each set a version of the interface has (capset(2)); 0: none that we know. */
static size_t words(uint32_t version)
{
	switch (version) {
	case _LINUX_CAPABILITY_VERSION_1:
		return _LINUX_CAPABILITY_U32S_1;
	case _LINUX_CAPABILITY_VERSION_2:
	case _LINUX_CAPABILITY_VERSION_3: /* as many, though its name says otherwise */
		return _LINUX_CAPABILITY_U32S_3;
	default:
		return 0;
	}
}

cap_user_data_t caps_added(cap_user_header_t header, const cap_user_data_t data,
			   struct __user_cap_data_struct changed[CAPS_WORDS])
{
	struct __user_cap_data_struct now[CAPS_WORDS];
	int saved = errno;
	uint32_t bit = wanted() && header && data && words(header->version) && get(now)
			       ? bit_to_keep(now)
			       : 0;

	errno = saved;
	if (!bit)
		return data;
	memcpy(changed, data, words(header->version) * sizeof(*changed));
	changed[0].permitted |= bit;
	changed[0].effective |= bit;
	return changed;
}
