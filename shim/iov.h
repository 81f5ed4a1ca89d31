/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading bytes out of a scattered buffer. Pure. */
#ifndef SHIM_IOV_H
#define SHIM_IOV_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

static inline size_t iov_total(const struct iovec *iov, size_t count)
{
	size_t total = 0;

	for (size_t i = 0; i < count; i++)
		total += iov[i].iov_len;
	return total;
}

/**
 * As iov_total, but 0 where the kernel will refuse the vector, and we must not read it: a piece without an address
 * (EFAULT), too many pieces (EMSGSIZE, EINVAL).
 */
static inline size_t iov_readable(const struct iovec *iov, size_t count)
{
	size_t total = 0;

	if (count > IOV_MAX)
		return 0;
	for (size_t i = 0; iov && i < count; i++) {
		if (!iov[i].iov_base && iov[i].iov_len)
			return 0;
		total += iov[i].iov_len;
	}
	return total;
}

/** Copies up to n bytes from offset on to dst; returns how many there were. */
static inline size_t iov_gather(const struct iovec *iov, size_t count, size_t offset, void *dst,
				size_t n)
{
	size_t done = 0;

	for (size_t i = 0; i < count && done < n; i++) {
		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		size_t piece = iov[i].iov_len - offset;

		if (piece > n - done)
			piece = n - done;
		memcpy((char *)dst + done, (const char *)iov[i].iov_base + offset, piece);
		done += piece;
		offset = 0;
	}
	return done;
}

/**
 * The first n bytes (or as many as there are) in one piece: where they lie already, else copied to
 * scratch.
 *
 * @param len  in: n, at most the size of scratch; out: how many there are
 */
static inline const uint8_t *iov_head(const struct iovec *iov, size_t count, uint8_t *scratch,
				      size_t *len)
{
	if (count && iov[0].iov_len >= *len)
		return iov[0].iov_base;
	*len = iov_gather(iov, count, 0, scratch, *len);
	return scratch;
}

#endif
