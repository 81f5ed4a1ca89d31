// SPDX-License-Identifier: GPL-2.0-or-later
/* syscall(): the numbers that the library looks at, the neighbours that it does not, and six arguments passed on. */
#include "show.h"

#include <sys/mman.h>
#include <sys/syscall.h>

static char query[64], data[512];
static size_t length;

static void show_answer(struct mmsghdr *many)
{
	printf("  msg_len %u\n", many->msg_len);
	show_message(&many->msg_hdr);
}

static void batches(int client, int server)
{
	struct iovec out = {query, length}, in = {data, sizeof(data)};
	struct sockaddr_in from = {0};
	_Alignas(struct cmsghdr) char control[64] = {0};
	struct mmsghdr many[2] = {{.msg_hdr = {.msg_iov = &out, .msg_iovlen = 1}},
				  {.msg_hdr = {.msg_iov = &out, .msg_iovlen = 1}}};
	struct mmsghdr got[2] = {{.msg_hdr = {.msg_name = &from,
					      .msg_namelen = sizeof(from),
					      .msg_iov = &in,
					      .msg_iovlen = 1,
					      .msg_control = control,
					      .msg_controllen = sizeof(control)}},
				 {.msg_hdr = {.msg_iov = &in, .msg_iovlen = 1}}};

	SHOW(syscall(SYS_sendmmsg, client, many, 2, 0));
	printf("  msg_len %u %u\n", many[0].msg_len, many[1].msg_len);
	SHOW(syscall(SYS_recvmmsg, server, got, 2, MSG_DONTWAIT, NULL));
	show_answer(got);
	show_answer(got + 1);
	SHOW(syscall(SYS_recvmmsg, server, got, 2, MSG_DONTWAIT, NULL));
	SHOW(syscall(SYS_recvmmsg, server, NULL, 2, MSG_DONTWAIT, NULL));
	SHOW(syscall(SYS_sendmmsg, client, NULL, 2, 0));
	SHOW(syscall(SYS_sendmmsg, -1, many, 2, 0));
}

static void single(int client, int server)
{
	struct iovec out = {query, length}, in = {data, sizeof(data)};
	_Alignas(struct cmsghdr) char control[64];
	struct msghdr m = {.msg_iov = &out, .msg_iovlen = 1};
	struct msghdr got = {.msg_iov = &in,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};

	SHOW(syscall(SYS_sendto, client, query, length, 0, NULL, 0));
	SHOW(syscall(SYS_sendmsg, client, &m, 0));
	SHOW(syscall(SYS_write, client, query, length));
	SHOW(syscall(SYS_recvfrom, server, data, sizeof(data), 0, NULL, NULL));
	SHOW(syscall(SYS_recvmsg, server, &got, 0));
	SHOW(syscall(SYS_read, server, data, sizeof(data)));
	SHOW(syscall(SYS_recvfrom, server, data, sizeof(data), MSG_DONTWAIT, NULL, NULL));
}

int main(void)
{
	int server = bound_udp("0.0.0.0", SERVER_PORT),
	    client = bound_udp("127.0.0.1", CLIENT_PORT);

	length = dns_query(query, 1, "syscall.test");
	connect_to(client, "127.0.0.1", SERVER_PORT);
	single(client, server);
	batches(client, server);
	single(client, server);
	SHOW(syscall(SYS_getpid) == getpid());
	SHOW(syscall(9999));
	SHOW(syscall(-1));
	char *page = (char *)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEED(page != MAP_FAILED);
	page[4095] = 1;
	SHOW(syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, -1, 0));
	SHOW(syscall(SYS_close, client));
	SHOW(syscall(SYS_close, client));
	SHOW(syscall(SYS_close_range, server, server, 99));
	batches(client, server);
	SHOW(syscall(SYS_close_range, server, server, 0));
	SHOW(close(server));
	return 0;
}
