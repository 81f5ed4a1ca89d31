// SPDX-License-Identifier: GPL-2.0-or-later
/* Any value of any variable is taken within its bounds, or refused with a sentence. Input:
 * NAME=VALUE. */
#include "attrib.h"
#include "config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_bounds(const struct config *c)
{
	require(c->mask != 0);
	require(c->table >= ATTRIB_CAPACITY_MIN && c->table <= ATTRIB_CAPACITY_MAX);
	require(memchr(c->log_path, '\0', CONFIG_PATH_MAX) != NULL);
	require(memchr(c->trace_path, '\0', CONFIG_PATH_MAX) != NULL);
	require(c->log != LOG_FILE || c->log_path[0] == '/');
	require(!c->trace_path[0] || c->trace_path[0] == '/');
}

static bool is_known(const char *name)
{
	for (unsigned i = 0; config_name(i); i++)
		if (strcmp(config_name(i), name) == 0)
			return true;
	return false;
}

static void check_set(const char *name, const char *value)
{
	struct config c;
	char *why = malloc(CONFIG_WHY_MAX);

	if (!why)
		abort();
	memset(why, 'x', CONFIG_WHY_MAX);
	config_init(&c);
	check_bounds(&c);
	if (config_set(&c, name, value, why)) {
		require(is_known(name));
		check_bounds(&c);
	} else {
		require(memchr(why, '\0', CONFIG_WHY_MAX) != NULL && why[0]);
		require(!is_known(name) || strncmp(why, name, strlen(name)) == 0);
	}
	free(why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *name = malloc(size + 1), *value;

	if (!name)
		abort();
	if (size)
		memcpy(name, data, size);
	name[size] = '\0';
	value = strchr(name, '=');
	if (value) {
		*value++ = '\0';
		check_set(name, value);
		/* the value is tried on all the others too: the grammars differ */
		for (unsigned i = 0; config_name(i); i++)
			check_set(config_name(i), value);
	}
	free(name);
	return 0;
}
