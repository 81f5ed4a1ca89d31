/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One client's flow to the resolver: what conntrack knows it by. Pure data; v4-mapped addresses are
 * IPv4. */
#ifndef SHIM_FLOW_H
#define SHIM_FLOW_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* An address and port without a family's padding: compares with memcmp. */
struct endpoint {
	uint8_t addr[16]; /* IPv4: the first four bytes, the rest zero */
	uint16_t port;	  /* network byte order */
	uint8_t family;	  /* AF_INET, AF_INET6, or 0: not known */
	uint8_t wildcard; /* the any-address */
};

struct flow {
	struct endpoint client, local;
	uint8_t proto; /* IPPROTO_UDP or IPPROTO_TCP */
};

/** Makes an endpoint of a socket address; false for families other than IPv4 and IPv6. */
static inline bool endpoint_from(struct endpoint *out, const void *sockaddr, socklen_t len)
{
	const struct sockaddr *sa = sockaddr;

	memset(out, 0, sizeof(*out));
	if (len >= sizeof(struct sockaddr_in) && sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = sockaddr;

		out->family = AF_INET;
		out->port = in->sin_port;
		memcpy(out->addr, &in->sin_addr, 4);
		out->wildcard = in->sin_addr.s_addr == htonl(INADDR_ANY);
		return true;
	}
	if (len < sizeof(struct sockaddr_in6) || sa->sa_family != AF_INET6)
		return false;
	const struct sockaddr_in6 *in6 = sockaddr;

	out->port = in6->sin6_port;
	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		out->family = AF_INET;
		memcpy(out->addr, in6->sin6_addr.s6_addr + 12, 4);
	} else {
		out->family = AF_INET6;
		memcpy(out->addr, &in6->sin6_addr, 16);
		out->wildcard = IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr) != 0;
	}
	return true;
}

#endif
