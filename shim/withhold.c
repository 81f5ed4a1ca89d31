// SPDX-License-Identifier: GPL-2.0-or-later
#include "withhold.h"

#include "dns.h"
#include "fdtab.h"
#include "iov.h"
#include "log.h"
#include "real.h"

#include <errno.h>

bool withhold_goes_on(int fd)
{
	int saved = errno, type = 0;
	socklen_t len = sizeof(type);
	bool is_socket = REAL(getsockopt)(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;

	if (!is_socket)
		fd_forget(fd);
	errno = saved;
	return is_socket;
}

bool withhold(int fd)
{
	bool is_socket = withhold_goes_on(fd);

	if (is_socket)
		log_cause(LOG_withheld, 0);
	return is_socket;
}

void withhold_cleartext(void)
{
	log_cause(LOG_withheld, 0);
}

ssize_t withhold_connection(int fd)
{
	/* the kernel remembers it: whatever else is written there fails as well */
	shutdown(fd, SHUT_RDWR);
	errno = ECONNRESET;
	return -1;
}

/* Is there an upstream query in these bytes? On a stream its length is before it, or has left already. */
static bool is_query(const struct msghdr *app, size_t offset)
{
	uint8_t head[DNS_HEAD_MAX] = {0};
	size_t have = iov_gather(app->msg_iov, app->msg_iovlen, offset, head, sizeof(head));

	return dns_question_end(head, have) && !dns_says_answer(head);
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return REAL(getsockopt)(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

ssize_t withhold_undecided(int fd, const struct msghdr *app)
{
	size_t total = withhold_applies() ? iov_readable(app->msg_iov, app->msg_iovlen) : 0;
	int saved = errno;

	if (!total)
		return 0;
	int domain = option(fd, SO_DOMAIN);
	bool stream = option(fd, SO_TYPE) == SOCK_STREAM;
	bool query = (domain == AF_INET || domain == AF_INET6) &&
		     (is_query(app, 0) || (stream && is_query(app, 2)));

	errno = saved;
	if (!query || !withhold(fd))
		return 0;
	return stream ? withhold_connection(fd) : (ssize_t)total;
}
