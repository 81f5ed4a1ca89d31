// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tells whether it runs in secure-execution mode (getauxval(3), AT_SECURE), whether the library is here, and the marks
 * of a query that client 1 caused and of one that nobody did. Built a second time with the library linked to it.
 */
#include "client.h"

#include <sys/auxv.h>

static bool library_is_here(void)
{
	char line[512];
	bool here = false;
	FILE *maps = fopen("/proc/self/maps", "r");

	NEED(maps);
	while (fgets(line, sizeof(line), maps))
		here |= strstr(line, "libconnmarkshim.so") != NULL;
	NEED(fclose(maps) == 0);
	return here;
}

int main(void)
{
	char query[512];
	int server = bound_udp("127.0.0.1", SERVER_PORT), at = upstream(), fd = to_upstream();
	size_t n = query_of(1, "one.test", server, query);

	printf("secure: %s\n", getauxval(AT_SECURE) ? "yes" : "no");
	printf("library: %s\n", library_is_here() ? "yes" : "no");
	NEED(send(fd, query, n, 0) == (ssize_t)n);
	printf("client 1: mark %d\n", arrived_mark(at, NULL));
	n = dns_query(query, 9, "nobody.test");
	NEED(send(fd, query, n, 0) == (ssize_t)n);
	printf("nobody: mark %d\n", arrived_mark(at, NULL));
	return 0;
}
