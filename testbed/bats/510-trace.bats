#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# connmark-trace: what a real resolver's trace says, filtered and followed. (That the trace has every packet with the
# mark that the kernel saw is suite 500's, by testbed/run --account.)

load helpers

trace=$REPO/scripts/connmark-trace

setup_file() {
	[ "$(id -u)" -eq 0 ] || fail 'needs root'
	local open_to_all # the resolver's user writes there
	open_to_all=$(mktemp -d)
	chmod 1777 "$open_to_all"
	timeout 60 "$REPO/testbed/run" --resolver unbound --shim "$SHIM" --queries 100 --clients 10 --directives cnin \
		--env CONNMARK_TRACE="$open_to_all/trace" --expect right 3>&- >"$BATS_FILE_TMPDIR/out" 2>&1 ||
		fail "$(cat "$BATS_FILE_TMPDIR/out")"
	mv "$open_to_all/trace" "$BATS_FILE_TMPDIR/trace"
	rmdir "$open_to_all"
	[ "$(grep -c '"event":"query"' "$BATS_FILE_TMPDIR/trace")" -ge 200 ]
}

@test "a sentence for each query: mark, way, client, evidence" {
	run "$trace" "$BATS_FILE_TMPDIR/trace"
	assert_success
	assert_equal "${#lines[@]}" "$(wc -l <"$BATS_FILE_TMPDIR/trace")"
	assert_output --regexp "0x89 m137-[0-9]*\.cnin\.[^ ]* A to [0-9.]*#53 \(udp, ID [0-9]*\) left with its client's mark; exact: "
	assert_output --partial 'mark 0x89 from conntrack'
	assert_output --partial 'learned: it was named in an answer to a query of client 192.168.111.137#'
}

@test "filters, alone and together" {
	local all=$BATS_FILE_TMPDIR/trace
	assert_equal "$("$trace" --client 192.168.111.137 "$all" | wc -l)" "$(grep -c '"packet_mark":137,' "$all")"
	assert_equal "$("$trace" --mark 0x89 --json "$all" | jq -s 'map(.packet_mark) | unique | .[]')" 137
	assert_equal "$("$trace" --evidence learned --json "$all" | jq -s 'map(.evidence) | unique | .[]')" '"learned"'
	assert_equal "$("$trace" --mark 137 --mark 138 --json "$all" | jq -s 'map(.packet_mark) | unique | length')" 2
	assert_equal "$("$trace" --client 192.168.111.137 --mark 138 "$all")" ''
	assert_equal "$("$trace" --client 192.168.111.0/24 "$all" | wc -l)" "$(grep -c '"client":{' "$all")"
	assert_equal "$("$trace" --name nobody.example "$all")" ''
	assert_equal "$("$trace" --unmarked --json "$all" | jq -s 'map(.packet_mark) | max // 0')" 0
}

@test "followed while it grows" {
	local copy=$BATS_TEST_TMPDIR/trace
	head -n 10 "$BATS_FILE_TMPDIR/trace" >"$copy"
	"$trace" -f --json "$copy" >"$BATS_TEST_TMPDIR/out" 3>&- &
	local pid=$! i
	for ((i = 0; i < 100; i++)); do # it shows what comes from when it has opened the file
		[ "$(readlink "/proc/$pid/fd/"* 2>/dev/null | grep -cFx "$copy")" -eq 0 ] || break
		sleep 0.1
	done
	sleep 0.5
	sed -n 11,40p "$BATS_FILE_TMPDIR/trace" >>"$copy"
	for ((i = 0; i < 100; i++)); do
		[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" -lt 30 ] || break
		sleep 0.1
	done
	kill "$pid"
	assert_equal "$(cat "$BATS_TEST_TMPDIR/out")" "$(sed -n 11,40p "$BATS_FILE_TMPDIR/trace")"
}

@test "what is no trace, no file, no option" {
	printf 'nonsense\n' >"$BATS_TEST_TMPDIR/bad"
	run "$trace" "$BATS_TEST_TMPDIR/bad"
	assert_failure 1
	run "$trace" "$BATS_TEST_TMPDIR/missing"
	assert_failure 2
	assert_output --partial missing
	run "$trace" --client nowhere "$BATS_FILE_TMPDIR/trace"
	assert_failure 64
	assert_output --partial nowhere
}
