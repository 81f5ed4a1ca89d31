// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * syscall(): the way on which libuv (BIND, kresd) sends, receives and closes. Every other number
 * passes with its six arguments as they are. Nothing here allocates or looks a symbol up:
 * allocators call syscall() while they hold their own locks.
 */
#include "fdtab.h"
#include "real.h"
#include "rx.h"
#include "tx.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h> /* SYS_close_range: Linux 5.9 */
#include <unistd.h>

static long pass(long number, const long arg[6])
{
	long ret;

	if (real.syscall)
		return real.syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	ret = real_raw_syscall(number, arg);
	if (ret >= 0 || ret < -4095)
		return ret;
	errno = (int)-ret;
	return -1;
}

/* Can the C library's own call stand in? Not every one leaves a missing vector, or a time of another width, alone. */
static bool takes_batch(long number, const long arg[6])
{
	bool timed = number != SYS_sendmmsg && arg[4];

	return arg[1] && (!timed || (number == SYS_recvmmsg) == (sizeof(time_t) == sizeof(long)));
}

SHIM_EXPORT long syscall(long number, ...)
{
	long arg[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		arg[i] = va_arg(ap, long); // NOLINT: the analyzer does not know va_start
	va_end(ap);
	switch (number) {
	case SYS_recvmmsg:
	case COMPAT_SYS_RECVMMSG_TIME64:
		if (takes_batch(number, arg))
			return rx_recvmmsg((int)arg[0], (struct mmsghdr *)arg[1], (unsigned)arg[2],
					   (int)arg[3], (struct timespec *)arg[4]);
		break;
	case SYS_sendmmsg:
		if (takes_batch(number, arg))
			return tx_sendmmsg((int)arg[0], (struct mmsghdr *)arg[1], (unsigned)arg[2],
					   (int)arg[3]);
		break;
	case SYS_close:
		fd_forget((int)arg[0]);
		break;
	case SYS_close_range:
		if (!(arg[2] & ~(long)CLOSE_RANGE_UNSHARE))
			fd_forget_range((unsigned)arg[0], (unsigned)arg[1]);
		break;
	default:
		break;
	}
	return pass(number, arg);
}
