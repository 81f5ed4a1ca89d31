#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The library for musl (make musl): its tests and its marks, with musl's loader and the clients' packets as the source.
# Debian has no conntrack library for musl, so the source conntrack is left out.

load helpers

MUSL=$REPO/build/musl
SHIM=$MUSL/libconnmarkshim.so

setup() {
	need_root
	need_shim
}

# transparency-marks gives flows marks; here they reach the packets as well.
RESTORE='-t mangle -A PREROUTING -p udp --dport 5300 -j CONNMARK --restore-mark
-t mangle -A PREROUTING -p tcp --dport 5300 -j CONNMARK --restore-mark'

# marked PROGRAM [ARGUMENT...]: clients, resolver and upstream in one program of musl's
marked() {
	local program=$1
	shift
	run timeout --kill-after=5 100 env CONNMARK_SOURCE=packet RULES="$RESTORE"$'\n'"${RULES-}" LIBRARY="$SHIM" \
		LOG="$BATS_TEST_TMPDIR/log" "$REPO/testbed/bin/transparency-marks" "$MUSL/programs/$program" "$@" 3>&-
	assert_success
}

# programs PATTERN: what make musl has built
programs() {
	find "$MUSL" -path "$MUSL/$1" -type f -executable | sort
}

@test "it needs nothing but musl, and exports the table's calls" {
	run bash -c 'readelf -d "$1" | sed -n "s/.*(NEEDED).*\[\(.*\)\]/\1/p"' bash "$SHIM"
	assert_output libc.so
	tr -s '{};:\t ' '\n' <"$MUSL/shim/exports.map" | grep -vxE 'global|local|\*|' | sort >"$BATS_TEST_TMPDIR/table"
	nm -D --defined-only "$SHIM" | awk '$2 == "T" { print $3 }' | sort >"$BATS_TEST_TMPDIR/exported"
	run diff "$BATS_TEST_TMPDIR/table" "$BATS_TEST_TMPDIR/exported"
	assert_success
	run cat "$BATS_TEST_TMPDIR/exported"
	assert_line recvmsg
	assert_line recvmmsg
	refute_line --regexp '_chk$'
}

@test "the pure core's unit tests" {
	local test count=0
	for test in $(programs 'tests/test_*'); do
		run timeout 120 "$test"
		assert_success
		assert_equal "$(grep -c '^\(not \)\?ok ' <<<"$output")" "$(sed -n '/^1\.\./s/1\.\.//p' <<<"$output")"
		refute_line --regexp '^not ok .*[^P]$' # a skipped one ends in SKIP
		count=$((count + 1))
	done
	assert_equal "$count" "$(find "$REPO/testbed/unit" -name 'test_*.c' | wc -l)"
}

@test "the unit tests' harness for musl: what fails is seen to fail" {
	cat >"$BATS_TEST_TMPDIR/fails.c" <<-'END'
		#include "harness.h"
		static void equal(void **state) { (void)state; assert_int_equal(1, 2); }
		static void bytes(void **state) { (void)state; assert_memory_equal("ab", "ac", 2); }
		static void skipped(void **state) { (void)state; skip(); }
		static void right(void **state) { (void)state; assert_string_equal("a", "a"); }
		int main(void)
		{
			const struct CMUnitTest tests[] = {cmocka_unit_test(equal), cmocka_unit_test(bytes),
							   cmocka_unit_test(skipped), cmocka_unit_test(right)};
			return cmocka_run_group_tests_name("g", tests, NULL, NULL);
		}
	END
	musl-gcc -I"$REPO/testbed/unit" -I"$REPO/testbed/musl" -o "$BATS_TEST_TMPDIR/fails" "$BATS_TEST_TMPDIR/fails.c"
	run "$BATS_TEST_TMPDIR/fails"
	assert_failure 2
	assert_line 'not ok 1 - g: equal'
	assert_line 'not ok 2 - g: bytes'
	assert_line 'not ok 3 - g: skipped # SKIP'
	assert_line 'ok 4 - g: right'
}

@test "the fuzzers' corpora" {
	local target count=0
	for target in $(programs 'fuzz/fuzz_*'); do
		run timeout 200 "$target" "$REPO/testbed/fuzz/corpus/${target##*/}"/*
		assert_success
		assert_output "$(find "$REPO/testbed/fuzz/corpus/${target##*/}" -type f | wc -l) inputs"
		count=$((count + 1))
	done
	assert_equal "$count" "$(find "$REPO/testbed/fuzz" -name 'fuzz_*.c' | wc -l)"
}

# Not these: t_batch and t_fault hand over pointers that musl itself follows; after a partial sendmmsg musl leaves an
# errno (t_sendbatch) that the library does not.
@test "programs see the same with the library as without" {
	local program count=0
	for program in $(programs 'programs/t_*'); do
		case ${program##*/} in t_batch | t_fault | t_sendbatch) continue ;; esac
		run timeout 120 "$REPO/testbed/bin/transparency" "$SHIM" "$program" 3>&-
		((status == 0)) || fail "${program##*/}: $output"
		count=$((count + 1))
	done
	[ "$count" -gt 15 ]
}

@test "each upstream datagram has its client's mark, by every call, and no other" {
	RULES='-A OUTPUT -p udp --dport 5301 -m mark --mark 2 -j DROP' marked m_firewall
	assert_equal "$(grep -c 'arrived with mark 1' <<<"$output")" 6
	assert_equal "$(grep -c 'arrived with mark 3' <<<"$output")" 6
	assert_equal "$(grep -c 'arrived with mark [02]' <<<"$output")" 0
	assert_equal "$(grep -c ' = -1 EPERM$' <<<"$output")" 6
	marked m_trick
	assert_line 'client 1: mark 1'
	assert_line 'nobody has asked: mark 0'
	assert_line 'client 2 has asked: mark 2'
}

@test "threads, forks, signals, cancellation" {
	CONNMARK_TABLE=1024 marked s_threads
	assert_line 'marks: all right, wrong: 0'
	assert_line 'memory: flat'
	marked s_fork 500
	assert_output 'children: 0 hung, 0 failed'
	marked s_handler send
	assert_output 'main sent: yes, handler came: often, hung: 0, failed: 0'
	marked s_cancel
	assert_equal "$(grep -c ': 30 of 30 cancelled, memory as before$' <<<"$output")" 8
}

# forwards ARGUMENT...: a cell in which the testbed's forwarder is musl's program
forwards() {
	shimmed forwarder-musl --queries 1000 "$@"
	assert_field 'runs[1]["witness"]["wrong"]' 0
	assert_field 'runs[1]["witness"]["unmarked"]' 0
}

@test "a forwarder in a cell: every upstream query has its client's mark" {
	forwards --env CONNMARK_SOURCE=packet --directives rnd30
	forwards --env CONNMARK_SOURCE=packet --directives rnd30 --client-ip 6 --upstream-ip 6
	forwards --env CONNMARK_SOURCE=packet --via redirect --bind specific
}

@test "a forwarder in a cell, without netlink's capability; auto chooses the packet" {
	forwards --directives rnd30 --without-capability net_admin
	assert_equal "$(field 'runs[1]["resolver"]["stderr"]' | grep -o "clients' marks come from their packets")" \
		"clients' marks come from their packets"
}

@test "the source that was left out is refused, and says why" {
	run env CONNMARK_SOURCE=conntrack LD_PRELOAD="$SHIM" "$MUSL/programs/t_numbers"
	assert_output --partial "CONNMARK_SOURCE='conntrack' is refused: must be auto or packet (built without"
}

@test "connmark-run: musl's library is not for glibc's programs" {
	run "$REPO/scripts/connmark-run" --library "$SHIM" /bin/true
	assert_failure 2
	assert_output --partial 'it uses glibc, the library uses musl'
}

@test "connmark-run: musl's library and musl's program go together" {
	local program=$BATS_TEST_TMPDIR/pause pid
	echo '#include <unistd.h>
int main(void) { pause(); return 0; }' >"$program.c"
	musl-gcc -o "$program" "$program.c"
	run "$REPO/scripts/connmark-run" --library "$REPO/build/libconnmarkshim.so" "$program"
	assert_failure 2
	assert_output --partial '(make musl) and name that one: --library build/musl/libconnmarkshim.so'
	run "$REPO/scripts/connmark-run" --library "$SHIM" --check "$program"
	assert_success
	assert_output --partial 'for another C library than /bin/true: the CONNMARK_ variables were not checked'
	CONNMARK_STATS=off "$REPO/scripts/connmark-run" --library "$SHIM" "$program" 3>&- 2>/dev/null &
	pid=$!
	until grep -qs "$SHIM" "/proc/$pid/maps"; do
		kill -0 "$pid" || fail 'it ended'
		sleep 0.05
	done
	kill "$pid"
}

@test "NO_CONNTRACK=1 leaves conntrack out for glibc too" {
	local tree=$BATS_TEST_TMPDIR/tree
	mkdir "$tree"
	cp -R "$REPO/Makefile" "$REPO/shim" "$REPO/scripts" "$tree/"
	run timeout 200 make -C "$tree" -j2 NO_CONNTRACK=1 build/libconnmarkshim.so
	assert_success
	run readelf -d "$tree/build/libconnmarkshim.so"
	refute_output --partial netfilter
	refute_output --partial libmnl
	run env CONNMARK_SOURCE=conntrack LD_PRELOAD="$tree/build/libconnmarkshim.so" /bin/true
	assert_output --partial 'built without libnetfilter_conntrack'
}
