#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What is no question passes as it came and unmarked; good questions between it bear their client's mark.

load helpers

setup() {
	need_root
	need_shim
}

@test "malformed, compressed, oversized and alien datagrams pass untouched and unmarked" {
	run timeout 120 "$REPO/testbed/bin/hostile.py" --shim "$SHIM"
	assert_success
	assert_output --partial "PASS"
}

@test "the same test fails where nothing is marked" {
	run timeout 120 "$REPO/testbed/bin/hostile.py" --shim ""
	assert_failure 1
	assert_output --partial "a good question: mark 0, must be 137"
	refute_output --partial "arrived as sent"
}

# Late answers and lost queries: what unbound sends again comes long after the flood has filled the table.
@test "unbound: one client floods 200,000 names, and every other's question has its mark" {
	cell --resolver unbound --shim "$SHIM" --flood 200000 --queries 600 --in-flight 40 --timeout 8 \
		--directives dly700:2,drop1:1,cnin+dly300:2
	assert_success
	assert_field 'runs[0]["clients"]["flood"]["sent"]' 200000
	assert_field 'runs[0]["complete"]' True
	assert_field 'runs[0]["mapped"]' True
	assert_field 'runs[0]["witness"]["wrong"]' 0
	assert_field 'runs[0]["witness"]["unmarked"]' 0
	assert_field 'runs[0]["witness"]["other_marked"]' 0
	# the resolver itself gives up some when it has too much to do; most must have come through
	assert_field 'runs[0]["witness"]["right"] >= 600' True
	assert_field 'runs[0]["clients"]["answered"] >= 300' True
	assert_field '"the table of clients is full" in runs[0]["resolver"]["stderr"]' True
}

@test "the key for names is the kernel's, and another in each process" {
	cat >"$BATS_TEST_TMPDIR/key.sh" <<-'SCRIPT'
		strace -qq -xx -e trace=getrandom -o "$1" env LD_PRELOAD="$2" CONNMARK_STATS=off true
		grep -c ', 16, GRND_NONBLOCK) *= 16' "$1"
	SCRIPT
	local one
	for one in 1 2; do
		run timeout 30 bash "$BATS_TEST_TMPDIR/key.sh" "$BATS_TEST_TMPDIR/$one" "$SHIM"
		assert_success
		sed -n 's/.*getrandom(\("[^"]*"\), 16, GRND_NONBLOCK).*/\1/p' "$BATS_TEST_TMPDIR/$one" >"$BATS_TEST_TMPDIR/key$one"
		[ -s "$BATS_TEST_TMPDIR/key$one" ] || fail "no key was asked for"
	done
	run cmp "$BATS_TEST_TMPDIR/key1" "$BATS_TEST_TMPDIR/key2"
	assert_failure 1
}
