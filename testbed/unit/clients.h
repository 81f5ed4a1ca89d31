/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients for the tests of attribution, each known by its number, which is its mark as well. */
#ifndef TEST_CLIENTS_H
#define TEST_CLIENTS_H

#include "attrib.h"

#include <arpa/inet.h>
#include <string.h>

/* The client at 10.0.0.0 + n (n below 2^24). */
static inline struct attrib_owner client_at(unsigned n, uint8_t proto)
{
	struct attrib_owner o;
	uint32_t address = htonl(0x0a000000 + n);

	memset(&o, 0, sizeof(o));
	o.flow.client.family = AF_INET;
	memcpy(o.flow.client.addr, &address, sizeof(address));
	o.flow.client.port = htons(4000);
	o.flow.proto = proto;
	o.fd = 3;
	o.mark = n;
	o.state = MARK_KNOWN;
	return o;
}

#endif
