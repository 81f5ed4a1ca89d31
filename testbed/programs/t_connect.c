// SPDX-License-Identifier: GPL-2.0-or-later
/* connect: again, to nobody (AF_UNSPEC), refused, without waiting; and the error queue of a refused datagram. */
#include "show.h"

#include <fcntl.h>
#include <poll.h>

static char query[64], data[512];
static size_t length;

static void show_ends(int fd)
{
	struct sockaddr_in name = {0};
	socklen_t len = sizeof(name);

	SHOW(getpeername(fd, (struct sockaddr *)&name, &len));
	show_name(&name, len);
	len = sizeof(name);
	SHOW(getsockname(fd, (struct sockaddr *)&name, &len));
	show_name(&name, len);
}

static void datagrams(void)
{
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	struct sockaddr_in to = v4("127.0.0.1", SERVER_PORT);
	int fd = bound_udp("0.0.0.0", CLIENT_PORT), server = bound_udp("127.0.0.1", SERVER_PORT);
	int other = bound_udp("127.0.0.1", SERVER_PORT + 1);

	SHOW(send(fd, query, length, 0));
	SHOW(connect(fd, (struct sockaddr *)&to, sizeof(to)));
	show_ends(fd);
	SHOW(send(fd, query, length, 0));
	SHOW(recv(server, data, sizeof(data), 0));
	NEED(connect(other,
		     (struct sockaddr *)&(struct sockaddr_in){
			     AF_INET, htons(CLIENT_PORT), to.sin_addr, {0}},
		     sizeof(to)) == 0);
	SHOW(send(other, query, length, 0)); /* not fd's peer */
	SHOW(recv(fd, data, sizeof(data), MSG_DONTWAIT));
	SHOW(connect(fd, &nobody, sizeof(nobody)));
	show_ends(fd);
	SHOW(send(fd, query, length, 0));
	SHOW(sendto(fd, query, length, 0, (struct sockaddr *)&to, sizeof(to)));
	SHOW(recv(server, data, sizeof(data), 0));
	SHOW(connect(fd, (struct sockaddr *)&to, 5));
	SHOW(connect(fd, (struct sockaddr *)&(struct sockaddr){.sa_family = 77}, sizeof(to)));
	to.sin_port = htons(9);
	SHOW(connect(fd, (struct sockaddr *)&to, sizeof(to)));
	SHOW(send(fd, query, length, 0));
	SHOW(send(fd, query, length, 0)); /* refused by then */
	SHOW(recv(fd, data, sizeof(data), 0));
	SHOW(recv(fd, data, sizeof(data), MSG_DONTWAIT));
	SHOW(close(fd));
}

/* IP_RECVERR: control messages of the error queue, on a socket like a server's and on a connected one. */
static void error_queue(bool connected)
{
	struct sockaddr_in to = v4("127.0.0.1", 9), name;
	int fd = bound_udp("0.0.0.0", CLIENT_PORT + 1);
	_Alignas(struct cmsghdr) char control[256];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_name = &name,
			   .msg_namelen = sizeof(name),
			   .msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct mmsghdr many = {.msg_hdr = m};

	turn_on(fd, SOL_IP, IP_RECVERR);
	if (connected)
		connect_to(fd, "127.0.0.1", 9);
	SHOW(recv(fd, data, sizeof(data), MSG_DONTWAIT));
	for (int i = 0; i < 2; i++) {
		SHOW(sendto(fd, query, length, 0, (struct sockaddr *)&to, sizeof(to)));
		SHOW(recv(fd, data, sizeof(data), MSG_DONTWAIT));
	}
	SHOW(recvmsg(fd, &m, MSG_ERRQUEUE));
	show_message(&m);
	SHOW(recvmmsg(fd, &many, 1, MSG_ERRQUEUE, NULL));
	show_message(&many.msg_hdr);
	SHOW(recvmsg(fd, &m, MSG_ERRQUEUE));
	SHOW(close(fd));
}

static void streams(void)
{
	struct sockaddr_in to = v4("127.0.0.1", SERVER_PORT + 2), none = v4("127.0.0.1", 9);
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	int listener = bound(SOCK_STREAM, "127.0.0.1", SERVER_PORT + 2), error = -1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(error);
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	SHOW(send(fd, query, length, MSG_NOSIGNAL));
	SHOW(recv(fd, data, sizeof(data), 0));
	NEED(listen(listener, 4) == 0);
	SHOW(connect(fd, (struct sockaddr *)&to, sizeof(to)));
	SHOW(poll(&p, 1, 1000));
	SHOW(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	printf("  error %d\n", error);
	SHOW(connect(fd, (struct sockaddr *)&to, sizeof(to)));
	SHOW(connect(fd, (struct sockaddr *)&to, sizeof(to)));
	SHOW(connect(fd, &nobody, sizeof(nobody)));
	SHOW(send(fd, query, length, MSG_NOSIGNAL));
	SHOW(close(fd));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	SHOW(connect(fd, (struct sockaddr *)&none, sizeof(none)));
	SHOW(send(fd, query, length, MSG_NOSIGNAL));
	SHOW(connect(fd, (struct sockaddr *)&to, sizeof(to)));
	SHOW(send(fd, query, length, 0));
	SHOW(close(fd));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	SHOW(sendto(fd, query, length, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to)));
	SHOW(sendto(fd, query, length, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to)));
	SHOW(close(fd));
	SHOW(connect(-1, (struct sockaddr *)&to, sizeof(to)));
	SHOW(connect(STDIN_FILENO, (struct sockaddr *)&to, sizeof(to)));
}

int main(void)
{
	length = dns_query(query, 1, "connect.test");
	datagrams();
	error_queue(false);
	error_queue(true);
	length = dns_frame(query, 1, "connect.test");
	streams();
	return 0;
}
