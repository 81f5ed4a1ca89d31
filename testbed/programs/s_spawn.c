// SPDX-License-Identifier: GPL-2.0-or-later
/* posix_spawn, vfork, system and popen amid queries: the children run, and the sockets are as they were. */
#include "show.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static char query[64];
static size_t length;
static int client, server;

static void exchange(void)
{
	char data[512];
	_Alignas(struct cmsghdr) char control[64];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};

	SHOW(send(client, query, length, 0));
	SHOW(recvmsg(server, &m, 0));
	show_message(&m);
}

static void ended(pid_t pid)
{
	int status = -1;

	NEED(pid > 0 && waitpid(pid, &status, 0) == pid);
	printf("child: %d\n", status);
	exchange();
}

int main(void)
{
	static char name[] = "/bin/true", *arguments[] = {name, NULL};
	pid_t pid = 0;

	server = bound_udp("0.0.0.0", SERVER_PORT);
	client = socket(AF_INET, SOCK_DGRAM, 0);
	connect_to(client, "127.0.0.1", SERVER_PORT);
	length = dns_query(query, 1, "spawn.test");
	exchange();
	for (int i = 0; i < 20; i++) {
		posix_spawn_file_actions_t actions;

		NEED(posix_spawn_file_actions_init(&actions) == 0);
		NEED(posix_spawn_file_actions_addclose(&actions, server) == 0);
		NEED(posix_spawn_file_actions_adddup2(&actions, client, 50) == 0);
		NEED(posix_spawn(&pid, name, &actions, NULL, arguments, environ) == 0);
		NEED(posix_spawn_file_actions_destroy(&actions) == 0);
		ended(pid);
		pid = vfork();
		if (!pid) {
			close(server);
			close(client);
			execv(name, arguments);
			_exit(99);
		}
		ended(pid);
	}
	SHOW(system("exit 3"));
	exchange();
	FILE *pipe = popen("cat >/dev/null", "w");

	NEED(pipe && fputs("x", pipe) >= 0 && pclose(pipe) == 0);
	exchange();
	return 0;
}
