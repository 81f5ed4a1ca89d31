// SPDX-License-Identifier: GPL-2.0-or-later
/* A library that a program loads and unloads, and that sends for it. */
#include <sys/socket.h>

ssize_t plugin_send(int fd, const void *data, size_t n);

ssize_t plugin_send(int fd, const void *data, size_t n)
{
	return send(fd, data, n, 0);
}
