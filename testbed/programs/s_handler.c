// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A signal handler that comes every 300 microseconds amid sends and receives, and
 *
 *     s_handler send    sends and receives itself, on the same sockets and on new ones
 *     s_handler fork    forks; the child sends
 */
#include "show.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

enum { FORKS = 150, PATIENCE = 5 };

static int client, server, tcp[2];
static char query[64], frame[64];
static size_t length, framed;
static volatile sig_atomic_t handled, hung, failed;

static void exchange(void)
{
	char data[4096];

	NEED(send(client, query, length, 0) == (ssize_t)length);
	if (send(tcp[0], frame, framed, MSG_DONTWAIT) < 0)
		NEED(errno == EAGAIN);
	if (recv(server, data, sizeof(data), MSG_DONTWAIT) < 0)
		NEED(errno == EAGAIN);
	if (recv(tcp[1], data, sizeof(data), MSG_DONTWAIT) < 0)
		NEED(errno == EAGAIN);
}

static void in_child(void)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGALRM, SIG_DFL);
		alarm(PATIENCE);
		exchange();
		_exit(0);
	}
	while (waitpid(pid, &status, 0) != pid)
		;
	hung += WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
	failed += status != 0;
}

static void on_send(int signal)
{
	int saved = errno, fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)signal;
	exchange();
	connect_to(fd, "127.0.0.1", SERVER_PORT);
	NEED(send(fd, query, length, 0) == (ssize_t)length);
	NEED(close(fd) == 0);
	handled = handled + 1;
	errno = saved;
}

static void on_fork(int signal)
{
	int saved = errno;

	(void)signal;
	in_child();
	handled = handled + 1;
	errno = saved;
}

int main(int argc, char **argv)
{
	bool forks = argc > 1 && strcmp(argv[1], "fork") == 0;
	struct itimerval often = {.it_value = {.tv_usec = 300}, .it_interval = {.tv_usec = 300}};
	struct sigaction action = {.sa_handler = forks ? on_fork : on_send, .sa_flags = SA_RESTART};
	long sent = 0;
	time_t end = time(NULL) + (forks ? 20 : 3);

	server = bound_udp("0.0.0.0", SERVER_PORT);
	client = socket(AF_INET, SOCK_DGRAM, 0);
	connect_to(client, "127.0.0.1", SERVER_PORT);
	tcp_pair(tcp, SERVER_PORT + 2);
	length = dns_query(query, 1, "handler.test");
	framed = dns_frame(frame, 1, "handler.test");
	NEED(sigaction(SIGALRM, &action, NULL) == 0);
	NEED(setitimer(ITIMER_REAL, &often, NULL) == 0);
	for (; time(NULL) < end && !(forks && handled >= FORKS) && hung < 3; sent++)
		exchange();
	often = (struct itimerval){0};
	NEED(setitimer(ITIMER_REAL, &often, NULL) == 0);
	exchange();
	printf("main sent: %s, handler came: %s, hung: %d, failed: %d\n", sent ? "yes" : "no",
	       handled >= 100 ? "often" : "hardly", hung, failed);
	return hung || failed;
}
