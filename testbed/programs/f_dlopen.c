// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A library that sends is loaded for each query, and unloaded after it; then the same with libconnmarkshim itself, which
 * stays. Tells the marks, and whether memory and descriptors grow.
 *
 *     f_dlopen PLUGIN LIBRARY
 */
#include "client.h"
#include "growth.h"

#include <dlfcn.h>

typedef ssize_t send_fn(int fd, const void *data, size_t n);

/* What is allowed is the library's table as it fills; a page lost with each load would be more. */
enum { TIMES = 400, ALLOWED_KB = 2048 };

static int server, at, fd;

static void *load(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		printf("%s\n", dlerror());
	NEED(handle);
	return handle;
}

/* One query by way of the plugin; counts its mark. */
static void ask(const char *plugin, int number, int marks[4])
{
	char query[512], name[64];
	int client = number % 3 + 1;

	snprintf(name, sizeof(name), "n%d.plugin.test", number);
	size_t n = query_of(client, name, server, query);
	void *handle = load(plugin);
	send_fn *send_it = (send_fn *)dlsym(handle, "plugin_send");

	NEED(send_it && send_it(fd, query, n) == (ssize_t)n);
	NEED(dlclose(handle) == 0);
	int mark = arrived_mark(at, NULL);

	NEED(mark >= 0);
	marks[mark == client ? 1 : mark ? 2 : 0]++;
}

static void round_of(const char *what, const char *plugin, const char *library, int from)
{
	int marks[4] = {0};

	for (int i = 0; i < TIMES; i++) {
		if (library)
			NEED(dlclose(load(library)) == 0);
		ask(plugin, from + i, marks);
	}
	printf("%s: %d right, %d unmarked, %d wrong\n", what, marks[1], marks[0], marks[2]);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 64;
	server = bound_udp("127.0.0.1", SERVER_PORT);
	at = upstream();
	fd = to_upstream();
	round_of("plugin", argv[1], NULL, 0);
	long kb = resident_kb();
	int open = descriptors();

	round_of("plugin again", argv[1], NULL, TIMES);
	round_of("the library too", argv[1], argv[2], 2 * TIMES);
	printf("descriptors: %+d\n", descriptors() - open);
	printf("memory: %s\n", resident_kb() - kb < ALLOWED_KB ? "flat" : "grown");
	return 0;
}
