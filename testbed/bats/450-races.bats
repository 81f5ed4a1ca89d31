#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The whole library under detectors of races and of wrong locking, with threads that do everything at once.

load helpers

setup() {
	need_root
	need_shim
	log=$BATS_TEST_TMPDIR/log
	[ -x "$REPO/build/tsan/f_race" ] || fail 'no build/tsan/f_race: make tested'
	nm -D --undefined-only "$REPO/build/tsan/libconnmarkshim.so" | grep -q __tsan_ || fail 'the library is not instrumented'
}

# sanitized ROUNDS [WRONG]: the driver and the library, both instrumented
sanitized() {
	: >"$log"
	run timeout 120 env LOG="$log" TSAN_OPTIONS="exitcode=66 suppressions=$REPO/testbed/tsan.supp" "$REPO/testbed/bin/transparency-marks" \
		"$REPO/build/tsan/f_race" "$@" 3>&-
}

# watched ROUNDS [WRONG]: under helgrind, with the library as it is
watched() {
	: >"$log"
	run timeout 250 env LOG="$log" "$REPO/testbed/bin/transparency-marks" env LD_PRELOAD="$SHIM" \
		valgrind --tool=helgrind --error-exitcode=9 --suppressions="$REPO/testbed/helgrind.supp" \
		"$REPO/build/programs/f_race" "$@" 3>&-
}

@test "thread sanitizer: no race, whatever the configuration" {
	local setting
	for setting in CONNMARK_SOURCE=conntrack CONNMARK_SOURCE=packet CONNMARK_STREAM=first CONNMARK_MASK=0xff \
		CONNMARK_TABLE=1024 CONNMARK_ON_FAILURE=drop CONNMARK_TRACE="$BATS_TEST_TMPDIR/trace" \
		CONNMARK_STATS="$BATS_TEST_TMPDIR"; do
		export "${setting?}"
		sanitized 100
		unset "${setting%%=*}"
		assert_success
		assert_output 'asked 1200, sent 1200'
		refute grep -q WARNING "$log"
	done
	[ -s "$BATS_TEST_TMPDIR/trace" ]
}

@test "control: the thread sanitizer finds a race" {
	sanitized 20 race
	assert_failure 66
	grep -q 'WARNING: ThreadSanitizer: data race' "$log"
}

@test "helgrind: locks are taken in one order, and by who may" {
	watched 30
	assert_success
	assert_output 'asked 360, sent 360'
	grep -q 'ERROR SUMMARY: 0 errors' "$log"
}

@test "control: helgrind finds locks in either order, and a race of the program's" {
	watched 5 order
	assert_failure 9
	grep -q 'lock order' "$log"
	watched 5 race
	assert_failure 9
	grep -q 'Possible data race' "$log"
}
