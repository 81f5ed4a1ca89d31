// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Client 1 asks COUNT questions, which go upstream; twice. What stands in the way is there the first time, and gone the
 * second. Tells which marks arrived.
 *
 *     f_ask nothing|descriptors|entry|table|memory COUNT
 */
#include "client.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>

enum { MOST = 64 };

static int server, at, fd, taken[4096], held;

static void take_descriptors(void)
{
	struct rlimit limit = {.rlim_cur = 200, .rlim_max = 200};
	int next;

	NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	while ((next = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY)) >= 0)
		taken[held++] = next;
	NEED(errno == EMFILE);
}

static void give_descriptors(void)
{
	while (held)
		NEED(syscall(SYS_close, taken[--held]) == 0);
}

/* Nobody knows the flows any more. */
static void lose_entries(void)
{
	NEED(system("conntrack -F 2>/dev/null") == 0);
}

static long table_limit(void)
{
	FILE *file = fopen("/proc/sys/net/netfilter/nf_conntrack_max", "r");
	long limit = 0;

	NEED(file && fscanf(file, "%ld", &limit) == 1 && fclose(file) == 0);
	return limit;
}

/* The table is full of flows that the kernel will not drop for new ones. */
static void fill_table(void)
{
	FILE *loader = popen("conntrack -R - >/dev/null 2>&1", "w");
	long limit = table_limit();

	NEED(loader);
	for (long i = 0; i < limit; i++)
		fprintf(loader,
			"-I -p udp -s 10.0.%ld.1 -d 10.9.9.9 --sport %ld --dport 53 -r 10.9.9.9 "
			"-q 10.0.%ld.1 --reply-port-src 53 --reply-port-dst %ld -t 300 "
			"-u ASSURED,SEEN_REPLY\n",
			i / 60000, i % 60000 + 1000, i / 60000, i % 60000 + 1000);
	pclose(loader); /* the last ones found no room */
}

/* A number that the library knows nothing of yet, and no memory to learn anything. */
static void take_memory(void)
{
	enum { HIGH = 700 };
	struct rlimit none = {.rlim_cur = 0, .rlim_max = RLIM_INFINITY};

	NEED(syscall(SYS_dup2, fd, HIGH) == HIGH);
	fd = HIGH;
	NEED(setrlimit(RLIMIT_AS, &none) == 0);
}

static void give_memory(void)
{
	struct rlimit all = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};

	NEED(setrlimit(RLIMIT_AS, &all) == 0);
}

static void nothing(void)
{
}

static int netlink_sockets(void)
{
	int count = 0;

	for (int i = 0; i < 1024; i++) {
		int domain = 0;
		socklen_t len = sizeof(domain);

		if (syscall(SYS_getsockopt, i, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0)
			count += domain == AF_NETLINK;
	}
	return count;
}

static void ask(const char *when, int count, void (*hinder)(void))
{
	static char query[MOST][512];
	size_t length[MOST];
	int marks[4] = {0}, lost = 0;

	for (int i = 0; i < count; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s%d.test", when, i);
		length[i] = query_of(1, name, server, query[i]);
	}
	hinder();
	for (int i = 0; i < count; i++) {
		if (send(fd, query[i], length[i], 0) != (ssize_t)length[i])
			NEED(errno == EPERM && hinder == fill_table);
		int mark = arrived_mark(at, NULL);

		if (mark < 0)
			lost++;
		else
			marks[mark & 3]++;
	}
	printf("%s: %d with mark 1, %d unmarked, %d with another, %d not sent\n", when, marks[1],
	       marks[0], marks[2] + marks[3], lost);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int count = argc > 2 ? atoi(argv[2]) : 0;
	void (*hinder)(void) = strcmp(what, "descriptors") == 0 ? take_descriptors
			       : strcmp(what, "entry") == 0	? lose_entries
			       : strcmp(what, "table") == 0	? fill_table
			       : strcmp(what, "memory") == 0	? take_memory
								: nothing;

	if (count < 1 || count > MOST)
		return 64;
	server = bound_udp("127.0.0.1", SERVER_PORT);
	at = upstream();
	fd = to_upstream();
	ask("first", count, hinder);
	give_descriptors();
	give_memory();
	if (hinder == fill_table)
		lose_entries();
	ask("then", count, nothing);
	printf("netlink sockets: %d\n", netlink_sockets());
	return 0;
}
