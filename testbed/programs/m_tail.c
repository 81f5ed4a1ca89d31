// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One write with the end of client 1's query and the whole of client 2's, after a write with the start of client 1's;
 * then three clients' queries in one write. The packets' marks are for the firewall's counters to judge.
 */
#include "client.h"

enum { OPT_LENGTH = 11 };

/* Puts an OPT record behind the question, so that the query has an end without a part of the question. */
static size_t with_opt(char *frame, size_t n)
{
	static const char opt[OPT_LENGTH] = {0, 0, 41, 4, (char)0xd0};

	memcpy(frame + n, opt, sizeof(opt));
	frame[1] = (char)(frame[1] + OPT_LENGTH);
	frame[2 + 11] = 1; /* ARCOUNT */
	return n + sizeof(opt);
}

int main(void)
{
	char frame[2048], data[2048];
	int server = bound_udp("127.0.0.1", SERVER_PORT), pair[2];
	size_t first = with_opt(frame, frame_of(1, "start-of-one.test", server, frame));
	size_t n = first + frame_of(2, "whole-of-two.test", server, frame + first);

	tcp_pair(pair, UPSTREAM_PORT);
	SHOW(send(pair[0], frame, first - OPT_LENGTH, 0));
	usleep(50000);
	SHOW(send(pair[0], frame + first - OPT_LENGTH, n - first + OPT_LENGTH, 0));
	usleep(50000);
	n = frame_of(3, "batch-of-three.test", server, frame);
	n += frame_of(1, "batch-of-one.test", server, frame + n);
	n += frame_of(2, "batch-of-two.test", server, frame + n);
	for (size_t done = 0; done < n; usleep(50000)) {
		ssize_t sent = send(pair[0], frame + done, n - done, 0);

		NEED(sent > 0);
		done += (size_t)sent;
	}
	SHOW(recv(pair[1], data, sizeof(data), 0));
	return 0;
}
