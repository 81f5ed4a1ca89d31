/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * As much of cmocka's interface as the unit tests use, for C libraries that cmocka is not built for: the same tests then
 * run there. Output is TAP. A failed assertion ends its test, by longjmp as there; the exit status counts failures.
 */
#ifndef TEST_CMOCKA_H
#define TEST_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct CMUnitTest {
	const char *name;
	void (*test_func)(void **state);
	int (*setup_func)(void **state);
	int (*teardown_func)(void **state);
	void *initial_state;
};

enum { CM_FAILED = 1, CM_SKIPPED };

static jmp_buf cm_end;

__attribute__((noreturn, format(printf, 4, 5))) static inline void cm_leave(int how,
									    const char *file,
									    int line,
									    const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	printf("# %s:%d: ", file, line);
	vprintf(format, ap);
	printf("\n");
	va_end(ap);
	longjmp(cm_end, how);
}

static inline void cm_same(uintmax_t a, uintmax_t b, int wanted, const char *what, const char *file,
			   int line)
{
	if ((a == b) != wanted)
		cm_leave(CM_FAILED, file, line, "%s: %#jx and %#jx", what, a, b);
}

#define fail_msg(...)	cm_leave(CM_FAILED, __FILE__, __LINE__, __VA_ARGS__)
#define skip()		cm_leave(CM_SKIPPED, __FILE__, __LINE__, "skipped")
#define assert_true(x)	cm_same((x) != 0, 1, 1, #x, __FILE__, __LINE__)
#define assert_false(x) cm_same((x) != 0, 0, 1, #x, __FILE__, __LINE__)
#define assert_int_equal(a, b)                                                                 \
	cm_same((uintmax_t)(intmax_t)(a), (uintmax_t)(intmax_t)(b), 1, #a " == " #b, __FILE__, \
		__LINE__)
#define assert_int_not_equal(a, b)                                                             \
	cm_same((uintmax_t)(intmax_t)(a), (uintmax_t)(intmax_t)(b), 0, #a " != " #b, __FILE__, \
		__LINE__)
#define assert_null(p)	   cm_same((uintptr_t)(p), 0, 1, #p " is null", __FILE__, __LINE__)
#define assert_non_null(p) cm_same((uintptr_t)(p), 0, 0, #p " is not null", __FILE__, __LINE__)
#define assert_memory_equal(a, b, n) \
	cm_same(memcmp((a), (b), (n)) != 0, 0, 1, #a " has the bytes of " #b, __FILE__, __LINE__)
#define assert_string_equal(a, b) \
	cm_same(strcmp((a), (b)) != 0, 0, 1, #a " == " #b, __FILE__, __LINE__)
#define assert_string_not_equal(a, b) \
	cm_same(strcmp((a), (b)) != 0, 1, 1, #a " != " #b, __FILE__, __LINE__)

#define cmocka_unit_test(test)                \
	{                                     \
#test, test, NULL, NULL, NULL \
	}
#define cmocka_unit_test_prestate(test, state) \
	{                                      \
#test, test, NULL, NULL, state \
	}
#define cmocka_unit_test_setup_teardown(test, up, down) \
	{                                               \
#test, test, up, down, NULL             \
	}
#define cmocka_run_group_tests_name(name, tests, up, down) \
	_cmocka_run_group_tests(name, tests, sizeof(tests) / sizeof((tests)[0]), up, down)

/* Returns 0, or how it ended. A test that failed is torn down too. */
static inline int cm_run(const struct CMUnitTest *test)
{
	void *state = test->initial_state;

	if (test->setup_func && test->setup_func(&state) != 0)
		return CM_FAILED;
	int ended = setjmp(cm_end);

	if (!ended)
		test->test_func(&state);
	if (test->teardown_func && test->teardown_func(&state) != 0)
		return CM_FAILED;
	return ended;
}

static inline int _cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests,
					  size_t n, int (*setup)(void **), int (*teardown)(void **))
{
	void *state = NULL;
	int failed = setup && setup(&state) != 0;

	printf("1..%zu\n", n);
	for (size_t i = 0; i < n; i++) {
		fflush(stdout); /* some tests fork */
		int ended = cm_run(&tests[i]);

		failed += ended == CM_FAILED;
		printf("%sok %zu - %s: %s%s\n", ended ? "not " : "", i + 1, group, tests[i].name,
		       ended == CM_SKIPPED ? " # SKIP" : "");
	}
	return failed + (teardown && teardown(&state) != 0);
}

#endif
