// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Socket options that the program shares with us: its own mark, and a datagram's destination. Setting one says what
 * the program wants; asking for one says what would be there without us.
 */
#include "mark.h"
#include "real.h"
#include "sock.h"

#include <errno.h>
#include <string.h>

static bool is_mark(int level, int name)
{
	return level == SOL_SOCKET && name == SO_MARK;
}

static bool is_shared(int level)
{
	return level == SOL_SOCKET || level == SOL_IP || level == SOL_IPV6;
}

SHIM_EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	int ret = REAL(setsockopt)(fd, level, name, value, len), saved = errno;
	struct fd_state *st = ret == 0 && is_shared(level) ? sock_known(fd) : NULL;
	uint32_t word = 0;

	if (st && value)
		memcpy(&word, value, len < sizeof(word) ? len : sizeof(word));
	if (st && is_mark(level, name))
		mark_set_by_program(st, word);
	else if (st)
		sock_option_set(fd, st, level, name, word != 0);
	errno = saved;
	return ret;
}

SHIM_EXPORT int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	int ret = REAL(getsockopt)(fd, level, name, value, len), saved = errno, word;
	struct fd_state *st = ret == 0 && is_shared(level) ? sock_known(fd) : NULL;
	bool hidden = st && (is_mark(level, name) ? mark_hidden(fd, st, (uint32_t *)&word)
						  : sock_option_hidden(st, level, name, &word));

	if (hidden)
		memcpy(value, &word, *len < sizeof(word) ? *len : sizeof(word));
	errno = saved;
	return ret;
}
