#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The soak, short: eight rounds each of unbound and BIND. And what it must notice, it notices: marks that are missing, a
# resolver that loses descriptors, one that ends. Caches still fill for so long: what memory does, the long form says,
# `make soak`, and of the verdict over its curves the unit tests.

load helpers

SHORT=(--round 500 --queries 4000 --reload-every 3 --cache-mib 1 --no-bare --slack 20480)

# soak NAME ARGUMENT...: output and status into NAME.out and NAME.status
soak() {
	local name=$1 status=0
	shift
	timeout --kill-after=10 150 "$REPO/testbed/soak" --shim "$SHIM" --json "$BATS_FILE_TMPDIR/$name.json" \
		--svg "$BATS_FILE_TMPDIR/$name.svg" "${SHORT[@]}" "$@" >"$BATS_FILE_TMPDIR/$name.out" 2>&1 3>&- || status=$?
	echo "$status" >"$BATS_FILE_TMPDIR/$name.status"
}

# They wait more than they work: all at once.
setup_file() {
	need_root
	need_shim
	make -s -C "$REPO" build/programs/leaky.so
	local leaky=$REPO/build/programs/leaky.so
	soak unbound --resolver unbound &
	soak bind --resolver bind &
	soak leak --resolver unbound --beneath "$leaky" --env LEAK=descriptor --env CONNMARK_DRY_RUN=yes &
	soak crash --resolver bind --beneath "$leaky" --env LEAK=crash &
	wait
}

# came NAME STATUS: what a soak said, in $output
came() {
	output=$(<"$BATS_FILE_TMPDIR/$1.out")
	[ "$(<"$BATS_FILE_TMPDIR/$1.status")" = "$2" ] ||
		fail "exit status $(<"$BATS_FILE_TMPDIR/$1.status"), not $2: $output"
}

# whole NAME: it was asked, judged, flooded, loaded anew and looked at, and drawn. On a busy machine the resolver asks
# now and then for a client that has given up by then: such questions are nobody's.
whole() {
	came "$1" 0
	jq -e '.status == 0 and .asked >= 4000 and (.resolvers[0].shimmed |
		.witness.right > 4000 and .witness.wrong == 0 and .witness.unmarked == .witness.background_unmarked and .soak.reloads >= 2 and
		.soak.flood.sent > 500 and (.soak.looks | length) == 9 and .clients.retried_over_tcp != null)' \
		"$BATS_FILE_TMPDIR/$1.json" >/dev/null || fail "$(jq -c 'del(.resolvers[].bare)' "$BATS_FILE_TMPDIR/$1.json")"
	grep -q '<polyline' "$BATS_FILE_TMPDIR/$1.svg"
}

@test "unbound: right, alive and flat amid faults, a flood and reloads" {
	whole unbound
}

@test "BIND: likewise" {
	whole bind
}

@test "missing marks and lost descriptors are noticed" {
	came leak 1
	assert_output --regexp '    unbound: [0-9]+ unmarked questions'
	assert_output --regexp '    unbound: descriptors at rest grew from [0-9]+ to [0-9]+, more than 2'
}

@test "a resolver that ends is noticed" {
	came crash 1
	assert_output --regexp '    bind: the resolver ended by itself after [0-9]+ queries, with status -6'
}

@test "too few queries, and a library that is not there, are refused" {
	run "$REPO/testbed/soak" --queries 4000
	assert_failure 2
	assert_output --partial '8 rounds a resolver are needed'
	run "$REPO/testbed/soak" --shim /nowhere.so
	assert_failure 2
	assert_output --partial '--shim /nowhere.so: no such file'
}
