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

# ---- where the library writes it (testbed/bin/subject.py is the program)

setup() {
	file=$BATS_TEST_TMPDIR/trace.out
	log=$BATS_TEST_TMPDIR/log
	variables=(CONNMARK_TRACE="$file" CONNMARK_TRACE_RATE=0)
}

traced() { # DEED...: by a program under the library, with a loopback of its own
	run timeout --kill-after=5 60 unshare --net bash -c 'ip link set lo up && exec "$@"' bash \
		env CONNMARK_STATS=off CONNMARK_LOG="$log" "${variables[@]}" LD_PRELOAD="$SHIM" \
		"$REPO/testbed/bin/subject.py" "$@" 3>&-
	assert_success
}

# lines EVENT: how many there are; jq fails where one is not whole
lines_of() {
	jq -r .event "$file" >"$BATS_TEST_TMPDIR/events" || fail "not JSON: $(cat "$file")"
	grep -cx -- "$1" "$BATS_TEST_TMPDIR/events" || true
}

@test "a line is whole, whichever of many threads and processes writes it" {
	traced threads=50 child=20 query=5 threads=20
	assert_equal "$(lines_of query)" 725
	assert_equal "$(jq -s 'map(.pid) | unique | length' "$file")" 2
	assert_equal "$(jq -r '.upstream | [.address, .port, .type, .proto] | @text' "$file" | sort -u)" \
		'["127.0.0.1",5301,1,"udp"]'
	assert_equal "$(jq -r '[.evidence, .outcome, .client, .mark, .packet_mark] | @text' "$file" | sort -u)" \
		'["none","default",null,0,0]'
}

@test "the rate is kept, and what was left out is told: nothing goes uncounted" {
	variables=(CONNMARK_TRACE="$file" CONNMARK_TRACE_RATE=10)
	traced query=300
	local written left
	written=$(lines_of query)
	left=$(jq -s 'map(select(.event == "left-out") | .count) | add' "$file")
	[ "$written" -ge 10 ] && [ "$written" -lt 300 ] || fail "$written lines"
	assert_equal "$((written + left))" 300
	run "$trace" "$file"
	assert_output --partial "lines were left out (CONNMARK_TRACE_RATE)"
	rm "$file"
	variables=(CONNMARK_TRACE="$file" CONNMARK_TRACE_RATE=0)
	traced query=300
	assert_equal "$(lines_of query)" 300
	assert_equal "$(lines_of left-out)" 0
}

@test "an inherited descriptor, also from another root and by another user" {
	variables=(CONNMARK_TRACE=fd:7 CONNMARK_TRACE_RATE=0)
	exec 7>"$file"
	traced query=3 "chroot=$BATS_TEST_TMPDIR" setuid=65534 query=4
	exec 7>&-
	assert_equal "$(lines_of query)" 7
	run cat "$log"
	refute_output --partial "the trace could not be written"
}

@test "a descriptor that is not there, and one that the program closes: said once, and the program runs" {
	variables=(CONNMARK_TRACE=fd:7)
	traced query=3
	assert_equal "$(grep -c 'the trace could not be written (CONNMARK_TRACE) \[EBADF\]' "$log")" 1
	rm "$log"
	exec 7>"$file"
	traced query=2 closeall query=3
	exec 7>&-
	assert_equal "$(lines_of query)" 2
	assert_equal "$(grep -c 'the trace could not be written (CONNMARK_TRACE) \[EBADF\]' "$log")" 1
}

@test "a pipe that nobody empties does not hold the program up" {
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	variables=(CONNMARK_TRACE=fd:7 CONNMARK_TRACE_RATE=0)
	exec 7<>"$BATS_TEST_TMPDIR/pipe"
	traced query=1000
	timeout 1 cat <&7 >"$file" || true
	exec 7>&-
	local written
	written=$(lines_of query)
	[ "$written" -gt 50 ] && [ "$written" -lt 1000 ] || fail "$written lines"
	assert_equal "$(grep -c 'the trace could not be written (CONNMARK_TRACE) \[EAGAIN\]' "$log")" 1
}

@test "a directory of root's own: the file is opened before the program drops to its user" {
	traced query=2 setuid=65534 query=3
	assert_equal "$(lines_of query)" 5
	assert_equal "$(stat -c '%a %u' "$file")" '640 0'
	run cat "$log"
	refute_output --partial "the trace could not be written"
}

@test "a file that is rotated away is written no more" {
	traced query=2 "rename=$file=$file.1" query=3
	assert_equal "$(lines_of query)" 3
	assert_equal "$(wc -l <"$file.1")" 2
}

@test "a link is not followed" {
	touch "$BATS_TEST_TMPDIR/target"
	ln -s "$BATS_TEST_TMPDIR/target" "$file"
	traced query=3
	assert_equal "$(stat -c %s "$BATS_TEST_TMPDIR/target")" 0
	assert_equal "$(grep -c 'the trace could not be written (CONNMARK_TRACE) \[ELOOP\]' "$log")" 1
}

@test "followed over a rotation" {
	local copy=$BATS_TEST_TMPDIR/trace i
	: >"$copy"
	"$trace" -f --json "$copy" >"$BATS_TEST_TMPDIR/out" 3>&- &
	local pid=$!
	for ((i = 0; i < 100; i++)); do
		[ "$(readlink "/proc/$pid/fd/"* 2>/dev/null | grep -cFx "$copy")" -eq 0 ] || break
		sleep 0.1
	done
	head -n 5 "$BATS_FILE_TMPDIR/trace" >>"$copy"
	for ((i = 0; i < 100; i++)); do
		[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" -lt 5 ] || break
		sleep 0.1
	done
	mv "$copy" "$copy.1"
	sed -n 6,9p "$BATS_FILE_TMPDIR/trace" >"$copy"
	for ((i = 0; i < 100; i++)); do
		[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" -lt 9 ] || break
		sleep 0.1
	done
	kill "$pid"
	assert_equal "$(cat "$BATS_TEST_TMPDIR/out")" "$(sed -n 1,9p "$BATS_FILE_TMPDIR/trace")"
}
