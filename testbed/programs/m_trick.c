// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An upstream answers with a query (QR=0) for a name that it wants to have marked: that makes nobody a client. The flow
 * it comes by bears client 1's mark.
 */
#include "client.h"

int main(void)
{
	char query[512], trick[512];
	int server = bound_udp("127.0.0.1", SERVER_PORT), at = upstream(), fd = to_upstream();
	struct sockaddr_in from;
	size_t n = query_of(1, "x.evil.test", server, query);

	SHOW(send(fd, query, n, 0));
	printf("client 1: mark %d\n", arrived_mark(at, &from));
	n = dns_query(trick, 77, "www.bank.test");
	NEED(syscall(SYS_sendto, at, trick, n, 0, &from, sizeof(from)) == (long)n);
	turn_ends();
	NEED(recv(fd, query, sizeof(query), 0) == (ssize_t)n);
	SHOW(send(to_upstream(), trick, n, 0));
	printf("the same turn, nobody has asked: mark %d\n", arrived_mark(at, NULL));
	turn_ends();
	SHOW(send(to_upstream(), trick, n, 0));
	printf("nobody has asked: mark %d\n", arrived_mark(at, NULL));
	n = query_of(2, "www.bank.test", server, query);
	SHOW(send(to_upstream(), query, n, 0));
	printf("client 2 has asked: mark %d\n", arrived_mark(at, NULL));
	return 0;
}
