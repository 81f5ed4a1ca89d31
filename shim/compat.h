/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What C libraries do not have in common: glibc (2.32 and later) and musl (1.2 and later). Macros only, for the export
 * map is made with it too.
 */
#ifndef SHIM_COMPAT_H
#define SHIM_COMPAT_H

#include <features.h> /* __GLIBC__ */

#ifdef __GLIBC__
/* Programs built with _FORTIFY_SOURCE import __recv_chk and the like. Elsewhere fortified calls are inlined. */
#define COMPAT_FORTIFIED  1
#define COMPAT_MMSG_FLAGS int /* of recvmmsg and sendmmsg */
/* A word for an errno that needs neither a locale nor memory. */
#define COMPAT_ERROR_NAME(error) (strerrorname_np(error) ? strerrorname_np(error) : "?")
#else
#define COMPAT_FORTIFIED	 0
#define COMPAT_MMSG_FLAGS	 unsigned
#define COMPAT_ERROR_NAME(error) strerror(error) /* musl: a constant */
#endif

/*
 * Where time was once 32 bits wide, programs built for musl 1.2 import the calls that take a time by another name,
 * which its headers give them silently; the plain names are those of older programs. The headers do the same to us, so
 * that only the export map must know. (dlsym is among them, and finds what is meant.)
 */
#if !defined(__GLIBC__) && __SIZEOF_LONG__ == 4 && !defined(__x86_64__) && !defined(__riscv)
#define COMPAT_TIMED_SYMBOL(name) __##name##_time64
#else
#define COMPAT_TIMED_SYMBOL(name) name
#endif

/* Such systems have a second number for recvmmsg; elsewhere, none that syscall() could be given. */
#ifdef SYS_recvmmsg_time64
#define COMPAT_SYS_RECVMMSG_TIME64 SYS_recvmmsg_time64
#else
#define COMPAT_SYS_RECVMMSG_TIME64 (-1)
#endif

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0) /* linux/fs.h: Linux 3.15 */
#endif

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1) /* linux/close_range.h: Linux 5.9; glibc 2.34 */
#endif

#endif
