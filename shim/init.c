// SPDX-License-Identifier: GPL-2.0-or-later
/* Where the library comes to life: reads its configuration, makes its table, finds the real
 * functions. */
#include "conntrack.h"
#include "fdtab.h"
#include "log.h"
#include "pages.h"
#include "real.h"
#include "source.h"
#include "thread.h"
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char prefix[] = "CONNMARK_";

static bool refuse(const char *why)
{
	log_refusal(why);
	return false;
}

static bool known(const char *name, size_t len)
{
	for (unsigned i = 0; config_name(i); i++)
		if (strlen(config_name(i)) == len && strncmp(config_name(i), name, len) == 0)
			return true;
	return false;
}

/* A misspelt variable must not go unnoticed. Its own name tells config_set that there is none such.
 */
static bool refuse_unknown(struct config *c)
{
	bool good = true;

	for (char **var = environ; var && *var; var++) {
		char name[64], why[CONFIG_WHY_MAX];
		size_t len = strcspn(*var, "=");

		if (strncmp(*var, prefix, sizeof(prefix) - 1) != 0 || known(*var, len) ||
		    !(*var)[len])
			continue;
		snprintf(name, sizeof(name), "%.*s",
			 (int)(len < sizeof(name) ? len : sizeof(name) - 1), *var);
		if (!config_set(c, name, *var + len + 1, why))
			good = refuse(why);
	}
	return good;
}

static bool read_config(struct config *c)
{
	char why[CONFIG_WHY_MAX];
	bool good = true;

	config_init(c);
	for (unsigned i = 0; config_name(i); i++) {
		const char *value = secure_getenv(config_name(i));

		if (value && !config_set(c, config_name(i), value, why))
			good = refuse(why);
	}
	return (getauxval(AT_SECURE) || refuse_unknown(c)) && good;
}

/* Of "6.1.0-13-amd64", 0x0601; 0 where there is no telling: then nothing new is relied on. */
static uint32_t kernel_version(void)
{
	struct utsname name;
	char *end;

	if (uname(&name) != 0)
		return 0;
	unsigned long major = strtoul(name.release, &end, 10);

	if (*end != '.')
		return 0;
	unsigned long minor = strtoul(end + 1, NULL, 10);

	return (uint32_t)(major << 8 | (minor & 0xff));
}

static bool can_serve(const struct config *c, uint32_t kernel)
{
	if (c->source != SOURCE_PACKET || kernel >= SOURCE_KERNEL_PACKET)
		return true;
	return refuse(
		"CONNMARK_SOURCE='packet' is refused: this kernel is older than Linux 5.19, which brought "
		"SO_RCVMARK; use conntrack");
}

static struct attrib *make_table(unsigned capacity)
{
	void *memory = pages_map(attrib_size(capacity), capacity >= ATTRIB_CAPACITY_LARGE);
	struct sip_key key;

	if (!memory)
		return NULL;
	if (getrandom(&key, sizeof(key), GRND_NONBLOCK) != (ssize_t)sizeof(key))
		memcpy(&key, (const void *)getauxval(AT_RANDOM),
		       sizeof(key)); /* 16 bytes (getauxval(3)) */
	return attrib_init(memory, capacity, &key);
}

/* Of what was refused, as much as could be read holds (withhold.h). */
static void say_what_refusal_means(void)
{
	if (shim.config.on_failure == ON_FAILURE_DROP)
		refuse("CONNMARK_ON_FAILURE=drop: no upstream query leaves before the configuration "
		       "is corrected");
}

__attribute__((constructor)) static void start(void)
{
	real_resolve_all();
	fd_init(); /* what descriptors are is known also where nothing is marked */
	if (!read_config(&shim.config)) {
		say_what_refusal_means();
		return;
	}
	log_open(&shim.config);
	stats_open(&shim.config);
	shim.kernel = kernel_version();
	if (!can_serve(&shim.config, shim.kernel)) {
		say_what_refusal_means();
		return;
	}
	conntrack_init(shim.config.zone);
	source_init();
	shim.attrib = make_table(shim.config.table);
	if (!shim.attrib) {
		log_cause(LOG_table_failed, 0);
		return;
	}
	thread_init();
	trace_init();
	atomic_store_explicit(&shim_ready, true, memory_order_release);
}
