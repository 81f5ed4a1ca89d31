// SPDX-License-Identifier: GPL-2.0-or-later
#include "harness.h"

#include "attrib.h"
#include "config.h"

static struct config c;
static char why[CONFIG_WHY_MAX];

static bool set(const char *name, const char *value)
{
	memset(why, '#', sizeof(why));
	config_init(&c);
	return config_set(&c, name, value, why);
}

static void refuses(const char *name, const char *value)
{
	if (set(name, value))
		fail_msg("%s='%s' is taken", name, value);
	assert_non_null(memchr(why, '\0', sizeof(why)));
	if (!strstr(why, name))
		fail_msg("the refusal does not name %s: %s", name, why);
}

/* A refusal says which variable, which value, and what is allowed. */
static void refuses_saying(const char *name, const char *value, const char *allowed)
{
	refuses(name, value);
	if (!strstr(why, allowed))
		fail_msg("%s='%s': \"%s\" is not in: %s", name, value, allowed, why);
	if (!strstr(why, value))
		fail_msg("%s: the value '%s' is not in: %s", name, value, why);
}

static void defaults(void **state)
{
	(void)state;
	config_init(&c);
	assert_int_equal(c.mask, UINT32_MAX);
	assert_int_equal(c.default_mark, 0);
	assert_int_equal(c.table, ATTRIB_CAPACITY_DEFAULT);
	assert_int_equal(c.zone, 0);
	assert_int_equal(c.stream, STREAM_FOLLOW);
	assert_int_equal(c.on_failure, ON_FAILURE_PASS);
	assert_true(c.keep_caps);
	assert_false(c.dry_run);
	assert_int_equal(c.log, LOG_STDERR);
	assert_string_equal(c.log_path, "");
	assert_string_equal(c.trace_path, "");
	assert_int_equal(c.trace_fd, -1);
	assert_int_equal(c.trace_rate, 1000);
	assert_string_equal(c.stats_dir, "/run/connmarkshim");
}

static void names_are_listed_once(void **state)
{
	static const char *const expected[] = {
		"CONNMARK_SOURCE",     "CONNMARK_MASK",	      "CONNMARK_DEFAULT",
		"CONNMARK_STREAM",     "CONNMARK_ZONE",	      "CONNMARK_KEEP_CAPS",
		"CONNMARK_DRY_RUN",    "CONNMARK_TABLE",      "CONNMARK_LOG",
		"CONNMARK_TRACE",      "CONNMARK_TRACE_RATE", "CONNMARK_STATS",
		"CONNMARK_ON_FAILURE",
	};
	unsigned n = 0;

	(void)state;
	for (; config_name(n); n++) {
		unsigned found = 0;

		for (size_t i = 0; i < COUNT(expected); i++)
			found += strcmp(config_name(n), expected[i]) == 0;
		if (found != 1)
			fail_msg("%s is not tested here", config_name(n));
		for (unsigned i = 0; i < n; i++)
			assert_string_not_equal(config_name(n), config_name(i));
	}
	assert_int_equal(n, COUNT(expected));
	assert_null(config_name(n + 1));
	assert_null(config_name(UINT32_MAX));
}

static void numbers_within_bounds(void **state)
{
	static const struct {
		const char *name, *value;
		const uint32_t *field;
		uint32_t expected;
	} good[] = {
		{"CONNMARK_MASK", "1", &c.mask, 1},
		{"CONNMARK_MASK", "4294967295", &c.mask, UINT32_MAX},
		{"CONNMARK_MASK", "0xffff", &c.mask, 0xffff},
		{"CONNMARK_MASK", "0XFfFf0000", &c.mask, 0xffff0000},
		{"CONNMARK_MASK", "0x00000000ff", &c.mask, 0xff},
		{"CONNMARK_DEFAULT", "0", &c.default_mark, 0},
		{"CONNMARK_DEFAULT", "137", &c.default_mark, 137},
		{"CONNMARK_DEFAULT", "0x89", &c.default_mark, 0x89},
		{"CONNMARK_DEFAULT", "007", &c.default_mark, 7},
		{"CONNMARK_DEFAULT", "4294967295", &c.default_mark, UINT32_MAX},
		{"CONNMARK_TABLE", "1024", &c.table, 1024},
		{"CONNMARK_TABLE", "1048576", &c.table, 1048576},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		if (!set(good[i].name, good[i].value))
			fail_msg("%s", why);
		assert_int_equal(*good[i].field, good[i].expected);
	}
	assert_true(set("CONNMARK_ZONE", "65535"));
	assert_int_equal(c.zone, 65535);
	assert_true(set("CONNMARK_ZONE", "0"));
	assert_int_equal(c.zone, 0);
}

static void numbers_out_of_bounds(void **state)
{
	static const struct {
		const char *name, *value, *allowed;
	} bad[] = {
		{"CONNMARK_MASK", "0", "from 1 to 4294967295"},
		{"CONNMARK_MASK", "0x0", "from 1 to 4294967295"},
		{"CONNMARK_MASK", "4294967296", "from 1 to 4294967295"},
		{"CONNMARK_MASK", "0x100000000", "from 1 to 4294967295"},
		{"CONNMARK_DEFAULT", "4294967296", "from 0 to 4294967295"},
		{"CONNMARK_ZONE", "65536", "from 0 to 65535"},
		{"CONNMARK_TABLE", "1023", "from 1024 to 1048576"},
		{"CONNMARK_TABLE", "1048577", "from 1024 to 1048576"},
		{"CONNMARK_TABLE", "0", "from 1024 to 1048576"},
		/* beyond 64 bits: 2^64 + 2000 must not become 2000 */
		{"CONNMARK_TABLE", "18446744073709553616", "from 1024 to 1048576"},
		{"CONNMARK_MASK", "0x10000000000000001", "from 1 to 4294967295"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		refuses_saying(bad[i].name, bad[i].value, bad[i].allowed);
}

static void numbers_that_are_none(void **state)
{
	static const char *const numeric[] = {"CONNMARK_MASK", "CONNMARK_DEFAULT", "CONNMARK_ZONE",
					      "CONNMARK_TABLE"};
	static const char *const bad[] = {
		"",    " ",    "-1",  "+2000",	" 2000", "2000 ", "2000\n", "0x",   "0X",  "x10",
		"0xg", "20a0", "1e4", "2000.0", "2,000", "0x-1",  "0x0x1",  "ffff", "0b1", "none"};

	(void)state;
	for (size_t n = 0; n < COUNT(numeric); n++)
		for (size_t i = 0; i < COUNT(bad); i++)
			refuses_saying(numeric[n], bad[i], "must be a number from");
}

static void choices(void **state)
{
	(void)state;
	assert_int_equal(c.source, SOURCE_AUTO);
#ifdef NO_CONNTRACK
	refuses_saying("CONNMARK_SOURCE", "conntrack", "without libnetfilter_conntrack");
#else
	assert_true(set("CONNMARK_SOURCE", "conntrack"));
	assert_int_equal(c.source, SOURCE_CONNTRACK);
#endif
	assert_true(set("CONNMARK_SOURCE", "packet"));
	assert_int_equal(c.source, SOURCE_PACKET);
	assert_true(set("CONNMARK_SOURCE", "auto"));
	assert_int_equal(c.source, SOURCE_AUTO);
	assert_true(set("CONNMARK_STREAM", "first"));
	assert_int_equal(c.stream, STREAM_FIRST);
	assert_true(set("CONNMARK_STREAM", "follow"));
	assert_int_equal(c.stream, STREAM_FOLLOW);
	assert_true(set("CONNMARK_ON_FAILURE", "drop"));
	assert_int_equal(c.on_failure, ON_FAILURE_DROP);
	assert_true(set("CONNMARK_ON_FAILURE", "pass"));
	assert_int_equal(c.on_failure, ON_FAILURE_PASS);
	assert_true(set("CONNMARK_KEEP_CAPS", "no"));
	assert_false(c.keep_caps);
	assert_true(set("CONNMARK_KEEP_CAPS", "yes"));
	assert_true(c.keep_caps);
	assert_true(set("CONNMARK_DRY_RUN", "yes"));
	assert_true(c.dry_run);
	assert_true(set("CONNMARK_DRY_RUN", "no"));
	assert_false(c.dry_run);
}

static void choices_that_are_none(void **state)
{
	static const struct {
		const char *name, *allowed;
	} choice[] = {
#ifdef NO_CONNTRACK
		{"CONNMARK_SOURCE", "must be auto or packet"},
#else
		{"CONNMARK_SOURCE", "must be auto, conntrack or packet"},
#endif
		{"CONNMARK_STREAM", "must be follow or first"},
		{"CONNMARK_ON_FAILURE", "must be pass or drop"},
		{"CONNMARK_KEEP_CAPS", "must be yes or no"},
		{"CONNMARK_DRY_RUN", "must be yes or no"},
	};
	static const char *const bad[] = {"",	 "1",	  "true", "YES", "yes ", " no",	      "n",
					  "noo", "First", "last", "fol", "both", "conntrack2"};

	(void)state;
	for (size_t n = 0; n < COUNT(choice); n++)
		for (size_t i = 0; i < COUNT(bad); i++)
			refuses_saying(choice[n].name, bad[i], choice[n].allowed);
}

static void paths(void **state)
{
	static const char *const bad[] = {"",	    "/",      "file",	"./file", "Syslog",
					  "STDERR", "stdout", " /file", "~/x"};
	char path[CONFIG_PATH_MAX + 1 + 1];

	(void)state;
	assert_true(set("CONNMARK_LOG", "stderr"));
	assert_int_equal(c.log, LOG_STDERR);
	assert_true(set("CONNMARK_LOG", "syslog"));
	assert_int_equal(c.log, LOG_SYSLOG);
	assert_string_equal(c.log_path, "");
	assert_true(set("CONNMARK_LOG", "/var/log/shim.log"));
	assert_int_equal(c.log, LOG_FILE);
	assert_string_equal(c.log_path, "/var/log/shim.log");
	assert_string_equal(c.trace_path, "");
	assert_true(set("CONNMARK_TRACE", "/run/trace"));
	assert_string_equal(c.trace_path, "/run/trace");
	for (size_t i = 0; i < COUNT(bad); i++) {
		refuses_saying("CONNMARK_LOG", bad[i], "stderr, syslog, or the absolute path");
		refuses_saying("CONNMARK_TRACE", bad[i], "must be the absolute path of a file");
	}
	refuses_saying("CONNMARK_TRACE", "stderr", "must be the absolute path of a file");
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[CONFIG_PATH_MAX - 1] = '\0';
	assert_true(set("CONNMARK_LOG", path));
	assert_string_equal(c.log_path, path);
	assert_true(set("CONNMARK_TRACE", path));
	assert_string_equal(c.trace_path, path);
	path[CONFIG_PATH_MAX - 1] = 'x';
	path[CONFIG_PATH_MAX] = '\0';
	refuses("CONNMARK_LOG", path);
	assert_non_null(strstr(why, "up to 255 characters"));
	refuses("CONNMARK_TRACE", path);
	assert_non_null(strstr(why, "up to 255 characters"));
}

static void trace_and_stats(void **state)
{
	static const char *const bad_fd[] = {"fd:",   "fd:-1", "fd:1048577",
					     "fd:3x", "fd: 3", "FD:3"};
	static const char *const bad_stats[] = {"", "/", "on", "Off", "run/stats"};

	(void)state;
	config_init(&c);
	assert_true(set("CONNMARK_TRACE", "fd:7"));
	assert_int_equal(c.trace_fd, 7);
	assert_string_equal(c.trace_path, "");
	assert_true(set("CONNMARK_TRACE", "/run/trace"));
	assert_int_equal(c.trace_fd, -1);
	assert_true(set("CONNMARK_TRACE", "fd:0"));
	assert_int_equal(c.trace_fd, 0);
	for (size_t i = 0; i < COUNT(bad_fd); i++)
		refuses_saying("CONNMARK_TRACE", bad_fd[i], "or fd:N for an open descriptor");
	assert_true(set("CONNMARK_TRACE_RATE", "0"));
	assert_int_equal(c.trace_rate, 0);
	assert_true(set("CONNMARK_TRACE_RATE", "1000000"));
	assert_int_equal(c.trace_rate, 1000000);
	refuses_saying("CONNMARK_TRACE_RATE", "1000001", "a number from 0 to 1000000");
	refuses_saying("CONNMARK_TRACE_RATE", "", "a number from 0 to 1000000");
	assert_true(set("CONNMARK_STATS", "/srv/stats"));
	assert_string_equal(c.stats_dir, "/srv/stats");
	assert_true(set("CONNMARK_STATS", "off"));
	assert_string_equal(c.stats_dir, "");
	for (size_t i = 0; i < COUNT(bad_stats); i++)
		refuses_saying("CONNMARK_STATS", bad_stats[i],
			       "off, or the absolute path of a directory");
}

static void unknown_names(void **state)
{
	static const char *const bad[] = {
		"CONNMARK_MARK",  "CONNMARK_", "CONNMARK_mask", "MASK", "CONNMARK_MASK ",
		"CONNMARK_MASKS", ""};
	static char name[2000];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		refuses(bad[i], "1");
		for (unsigned n = 0; config_name(n); n++) /* what there is instead */
			if (!strstr(why, config_name(n)))
				fail_msg("%s is not in: %s", config_name(n), why);
	}
	memset(name, 'N', sizeof(name) - 1);
	memcpy(name, "CONNMARK_", 9);
	assert_false(set(name, "1"));
	assert_non_null(memchr(why, '\0', sizeof(why)));
}

/* A value without end does not push out what is allowed. */
static void long_value(void **state)
{
	static char value[100000];

	(void)state;
	memset(value, '9', sizeof(value) - 1);
	for (unsigned n = 0; config_name(n); n++) {
		assert_false(set(config_name(n), value));
		assert_non_null(memchr(why, '\0', sizeof(why)));
		assert_non_null(strstr(why, "must be"));
	}
}

/* A value is copied: programs that show their state in their title overwrite their environment. */
static void values_are_copied(void **state)
{
	char value[] = "/var/log/shim.log";

	(void)state;
	config_init(&c);
	assert_true(config_set(&c, "CONNMARK_LOG", value, why));
	assert_true(config_set(&c, "CONNMARK_TRACE", value, why));
	memset(value, '#', sizeof(value) - 1);
	assert_string_equal(c.log_path, "/var/log/shim.log");
	assert_string_equal(c.trace_path, "/var/log/shim.log");
}

/* One variable leaves the others as they are. */
static void independent(void **state)
{
	(void)state;
	config_init(&c);
	assert_true(config_set(&c, "CONNMARK_MASK", "0xff", why));
	assert_true(config_set(&c, "CONNMARK_ZONE", "7", why));
	assert_true(config_set(&c, "CONNMARK_TABLE", "2048", why));
	assert_true(config_set(&c, "CONNMARK_LOG", "/a", why));
	assert_true(config_set(&c, "CONNMARK_TRACE", "/b", why));
	assert_int_equal(c.mask, 0xff);
	assert_int_equal(c.zone, 7);
	assert_int_equal(c.table, 2048);
	assert_int_equal(c.default_mark, 0);
	assert_string_equal(c.log_path, "/a");
	assert_string_equal(c.trace_path, "/b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(names_are_listed_once),
		cmocka_unit_test(numbers_within_bounds),
		cmocka_unit_test(numbers_out_of_bounds),
		cmocka_unit_test(numbers_that_are_none),
		cmocka_unit_test(choices),
		cmocka_unit_test(choices_that_are_none),
		cmocka_unit_test(paths),
		cmocka_unit_test(trace_and_stats),
		cmocka_unit_test(unknown_names),
		cmocka_unit_test(long_value),
		cmocka_unit_test(values_are_copied),
		cmocka_unit_test(independent),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
