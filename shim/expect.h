/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For functions that only fetch what will be wanted (__builtin_prefetch). Such a one has no effect that gcc knows of, and is
 * dropped unless it is inlined early; and so is one that only calls such a function.
 */
#ifndef SHIM_EXPECT_H
#define SHIM_EXPECT_H

#define EXPECTING __attribute__((always_inline)) static inline

#endif
