#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016,SC2030,SC2031,SC2054
# The counters: their sums are the witness's, to the packet; and their files, whatever becomes of the programs that count.

load helpers

MIXED=(--queries 500 --directives rnd50:8,cnin:1,drop1:1,tc:1,servf1:1 --retries 2)

setup() {
	need_root
	need_shim
	stat=$REPO/build/connmark-stat
	stats=$BATS_TEST_TMPDIR/stats
	mkdir -p "$stats"
	subjects=()
}

teardown() {
	local pid
	for pid in "${subjects[@]}"; do
		kill -9 "$pid" 2>/dev/null || true
	done
}

# ---- what the witness saw

# accounted RESOLVER ARGUMENT...: every upstream query counted once, under its mark
accounted() {
	local resolver=$1
	shift
	cell --resolver "$resolver" --shim "$SHIM" --account "$@"
	assert_success
	assert_field 'runs[0]["account"]["differs"]' '[]'
	assert_field 'runs[0]["account"]["counted"] == runs[0]["account"]["seen"] > 0' True
	assert_field 'runs[0]["account"]["counted"] == runs[0]["account"]["traced"]' True
}

@test "control: counters that do not count are noticed" {
	cell --resolver unbound --shim "$SHIM" --account --queries 50 --env CONNMARK_STATS=off
	assert_failure 1
	assert_output --partial 'connmark-stat says 0, the witness '
	assert_output --partial 'evidence: 0 together'
}

@test "dnsmasq: UDP, TCP clients by forked children, gone to the background" {
	accounted dnsmasq "${MIXED[@]}" --timeout 1
	accounted dnsmasq --queries 500 --client-proto tcp
	accounted dnsmasq --queries 500 --daemonise
}

@test "unbound: UDP, TCP, TLS" {
	accounted unbound "${MIXED[@]}"
	accounted unbound "${MIXED[@]}" --upstream-proto tcp
	accounted unbound --queries 500 --upstream-proto tls
}

@test "BIND: UDP, TCP, gone to the background" {
	accounted bind "${MIXED[@]}"
	accounted bind --queries 500 --upstream-proto tcp
	accounted bind --queries 500 --daemonise
}

@test "kresd, PowerDNS Recursor" {
	accounted kresd "${MIXED[@]}"
	accounted kresd --queries 500 --upstream-proto tcp
	accounted pdns-recursor "${MIXED[@]}"
}

@test "smartdns, dnsdist: one socket for all" {
	accounted smartdns --queries 500 --directives rnd50
	accounted dnsdist --queries 500 --directives rnd50
	# flows whose packets had several marks
	assert_field 'runs[0]["account"]["counters"]["flow_conflicts"] > 100' True
	accounted unbound --queries 100
	assert_field 'runs[0]["account"]["counters"]["flow_conflicts"]' 0
}

@test "stubby, started as an ordinary user; systemd-resolved" {
	accounted stubby "${MIXED[@]}"
	accounted systemd-resolved "${MIXED[@]}"
}

@test "recursing: every kind of evidence" {
	accounted unbound-recursing --queries 500 --directives rnd50:8,cnin:1,cnout+rnd30:1
	local reason
	for reason in exact learned ancestor unattributed; do
		assert_field "runs[0]['account']['reasons']['$reason'] > 0" True
	done
}

@test "TCP Fast Open: a query that the SYN brings is counted once" {
	accounted unbound --queries 300 --upstream-proto tcp --directives rnd50 --fast-open
	accounted dnsdist --queries 300 --upstream-proto tcp --directives rnd50 --fast-open
	accounted pdns-recursor --queries 300 --directives tc --fast-open
}

@test "refreshes behind stale answers, as such" {
	local resolver
	for resolver in dnsmasq unbound bind; do
		accounted "$resolver" --queries 100 --refresh stale --directives dly100
		assert_field 'runs[0]["account"]["reasons"]["answered"] > 0' True
	done
}

@test "a dry run decides, traces and counts everything, and marks nothing" {
	accounted unbound "${MIXED[@]}" --env CONNMARK_DRY_RUN=yes
	assert_field 'runs[0]["witness"]["right"] + runs[0]["witness"]["wrong"] + runs[0]["witness"]["other_marked"]' 0
	assert_field 'runs[0]["account"]["counters"]["set_dry_run"] == runs[0]["account"]["seen"]' True
	assert_field 'runs[0]["account"]["counters"]["set_marked"]' 0
	assert_field 'len(runs[0]["account"]["by_mark"])' 41
	accounted dnsmasq --queries 200 --upstream-ip 6 --env CONNMARK_DRY_RUN=yes
	assert_field 'runs[0]["witness"]["right"] + runs[0]["witness"]["wrong"]' 0
}

@test "without the capability: counted as refused, with the mark that they had, which is none" {
	cell --resolver unbound --shim "$SHIM" --account --queries 200 --env CONNMARK_KEEP_CAPS=no \
		--env CONNMARK_SOURCE=conntrack
	assert_success
	assert_field 'runs[0]["account"]["differs"]' '[]'
	assert_field 'runs[0]["account"]["counters"]["lookup_not_permitted"] > 0' True
	assert_field 'runs[0]["account"]["counters"]["set_unknown"] == runs[0]["account"]["seen"]' True
	cell --resolver unbound --shim "$SHIM" --account --queries 200 --env CONNMARK_KEEP_CAPS=no \
		--env CONNMARK_SOURCE=conntrack --env CONNMARK_DEFAULT=9
	assert_field 'runs[0]["account"]["differs"]' '[]'
	assert_field 'runs[0]["account"]["counters"]["set_refused"] == runs[0]["account"]["seen"]' True
	assert_field 'runs[0]["account"]["counters"]["mark_not_permitted"] == runs[0]["account"]["seen"]' True
}

@test "only the bits of the mask are told" {
	accounted dnsmasq --queries 200 --mask 0xff --env CONNMARK_MASK=0xff --other-bits rules
	assert_field 'len(runs[0]["account"]["by_mark"])' 41
}

# ---- programs that come and go

inside() { # COMMAND...: with a loopback of its own
	timeout --kill-after=5 100 unshare --net bash -c 'ip link set lo up && exec "$@"' bash "$@"
}

# subject DEED...: a program under the library, in the background, until its file `ready` is there; sets pid
subject() {
	local ready=$BATS_TEST_TMPDIR/ready i
	rm -f "$ready"
	inside env CONNMARK_STATS="$stats" CONNMARK_LOG="$BATS_TEST_TMPDIR/log" LD_PRELOAD="$SHIM" \
		"$REPO/testbed/bin/subject.py" "$@" 3>&- >"$BATS_TEST_TMPDIR/out" 2>&1 </dev/null &
	subjects+=($!)
	for ((i = 0; i < 400; i++)); do
		[ ! -e "$ready" ] || break
		sleep 0.05
	done
	pid=$(cat "$ready") || fail "not ready: $(cat "$BATS_TEST_TMPDIR/out")"
	subjects+=("$pid")
}

# until_gone PID
until_gone() {
	local i
	for ((i = 0; i < 200; i++)); do
		[ -e "/proc/$1" ] || return 0
		sleep 0.05
	done
	fail "process $1 did not end"
}

# told FILTER: of the JSON
told() {
	"$stat" --directory "$stats" --json "${OPTIONS[@]}" | jq -rc "$1"
}

OPTIONS=()
READY=ready=

@test "a program's file is there while it lives, and gone when it ends" {
	subject "query=7" "$READY$BATS_TEST_TMPDIR/ready" pause
	assert_equal "$(told '.[0] | [.pid, .comm, .alive, .upstream_queries]')" "[$pid,\"subject.py\",true,7]"
	assert_equal "$(told '.[0].marks')" \
		'[{"mark":0,"queries":7,"unattributed":7,"repeat":0,"exact":0,"learned":0,"ancestor":0,"answered":0,"turn":0}]'
	assert_equal "$(told '.[0].counters.set_default')" 7
	assert_equal "$(ls "$stats")" subject_py-0
	assert_equal "$(stat -c '%a %u' "$stats/subject_py-0")" '640 0'
	kill "$pid"
	until_gone "$pid"
	assert_equal "$(ls -A "$stats")" ''
	assert_equal "$(told length)" 0
}

@test "a crash leaves its counters to be read, for an hour after they were" {
	subject "query=5" "$READY$BATS_TEST_TMPDIR/ready" pause
	kill -9 "$pid"
	until_gone "$pid"
	assert_equal "$(told length)" 0
	OPTIONS=(--dead)
	assert_equal "$(told '.[0] | [.alive, .upstream_queries]')" '[false,5]'
	run "$stat" --directory "$stats" --dead
	assert_success
	assert_line --partial 'DEAD'
	# first seen dead at (stats_layout.h): more than an hour ago
	python3 - "$stats/subject_py-0" <<-'END'
		import struct, sys
		with open(sys.argv[1], "r+b") as file:
		    file.seek(24)
		    seen, = struct.unpack("=Q", file.read(8))
		    assert seen, "not noted"
		    file.seek(24)
		    file.write(struct.pack("=Q", seen - 3601 * 10**9))
	END
	assert_equal "$(told length)" 0
	assert_equal "$(ls "$stats")" ''
}

@test "a crash that had counted nothing leaves nothing" {
	subject "$READY$BATS_TEST_TMPDIR/ready" crash
	until_gone "$pid"
	assert_equal "$(ls "$stats")" subject_py-0
	OPTIONS=(--dead)
	assert_equal "$(told length)" 0
	assert_equal "$(ls "$stats")" ''
}

@test "crash after crash: no more than eight files of one program" {
	local i
	for ((i = 0; i < 12; i++)); do
		inside env CONNMARK_STATS="$stats" LD_PRELOAD="$SHIM" "$REPO/testbed/bin/subject.py" query=1 crash 3>&- || true
	done
	assert_equal "$(find "$stats" -type f | wc -l)" 8
	OPTIONS=(--dead)
	assert_equal "$(told '[.[].upstream_queries] | add')" 8
}

@test "a daemon and its children count together, and nothing is lost when they end" {
	subject "query=2" fork "child=3" "child=4" "query=1" "$READY$BATS_TEST_TMPDIR/ready" pause
	assert_equal "$(told 'length')" 1
	assert_equal "$(told '.[0] | [.pid, .pids, .upstream_queries]')" "[$pid,[$pid],10]"
	run "$stat" --directory "$stats" --pid "$pid"
	assert_success
	kill "$pid"
	until_gone "$pid"
	assert_equal "$(ls -A "$stats")" ''
}

@test "a hundred children, each with its own thread and file of descriptors" {
	local deeds=() i
	for ((i = 0; i < 100; i++)); do
		deeds+=("child=2")
	done
	subject "${deeds[@]}" "$READY$BATS_TEST_TMPDIR/ready" pause
	assert_equal "$(told '.[0].upstream_queries')" 200
	assert_equal "$(told '.[0].pids | length')" 1
}

@test "more threads at once than there are lanes, and many in turn" {
	subject "threads=150" "threads=60" "threads=60" "$READY$BATS_TEST_TMPDIR/ready" pause
	assert_equal "$(told '.[0] | [.upstream_queries, .counters.set_default]')" '[2700,2700]'
}

@test "another root, another user, no descriptor: it goes on counting, and its file goes all the same" {
	mkdir "$BATS_TEST_TMPDIR/root"
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR" 2>/dev/null || true
	subject "query=1" closeall "$READY$BATS_TEST_TMPDIR/ready" "chroot=$BATS_TEST_TMPDIR/root" setuid=65534 \
		"query=4" pause
	local i
	for ((i = 0; i < 100; i++)); do
		[ "$(told '.[0].upstream_queries')" != 5 ] || break
		sleep 0.05
	done
	assert_equal "$(told '.[0] | [.pid, .upstream_queries]')" "[$pid,5]"
	kill "$pid"
	until_gone "$pid"
	# it may not remove it itself any more
	assert_equal "$(ls "$stats")" subject_py-0
	OPTIONS=(--dead)
	assert_equal "$(told length)" 0
	assert_equal "$(ls "$stats")" ''
}

@test "a program's next start takes the place of one that ended well" {
	local i
	for i in 1 2 3; do
		inside env CONNMARK_STATS="$stats" LD_PRELOAD="$SHIM" "$REPO/testbed/bin/subject.py" query=1 \
			"chroot=$BATS_TEST_TMPDIR" 3>&-
	done
	assert_equal "$(ls "$stats")" subject_py-0
}

@test "several programs of one name, side by side" {
	subject "query=1" "$READY$BATS_TEST_TMPDIR/ready" pause
	local first=$pid
	subject "query=2" "$READY$BATS_TEST_TMPDIR/ready" pause
	assert_equal "$(told '[.[] | [.pid, .upstream_queries]]')" "[[$first,1],[$pid,2]]"
	OPTIONS=(--pid "$pid")
	assert_equal "$(told '[.[] | [.pid, .upstream_queries]]')" "[[$pid,2]]"
}

@test "3000 marks: what has no place of its own is counted as other, and nothing is lost" {
	inside bash -c '
		nft -f - <<-END || exit 1
			table ip t {
				chain c {
					type filter hook output priority mangle
					udp dport 5300 ct mark set numgen inc mod 3000 offset 1
				}
			}
		END
		CONNMARK_STATS=$1 LD_PRELOAD=$2 "$3" serve=3000 crash
	' bash "$stats" "$SHIM" "$REPO/testbed/bin/subject.py" 3>&- || true
	OPTIONS=(--dead)
	# its clients are in it, too: each query is sent twice
	assert_equal "$(told '.[0] | [.upstream_queries, ([.marks[].queries] | add)]')" '[6000,6000]'
	run told '.[0].marks | [length <= 1025, length > 900, (last | .mark), (last | .queries > 1900)]'
	assert_output '[true,true,"other",true]'
}

# ---- where nothing can be counted

# refused REASON: a program that runs as ever, and says once why it is not seen
refused() {
	run inside env "${VARIABLES[@]}" CONNMARK_STATS="$stats" CONNMARK_LOG="$BATS_TEST_TMPDIR/log" LD_PRELOAD="$SHIM" \
		"$REPO/testbed/bin/subject.py" query=3 child=3 3>&-
	assert_success
	assert_equal "$(wc -l <"$BATS_TEST_TMPDIR/log")" 1
	run cat "$BATS_TEST_TMPDIR/log"
	assert_output --partial "the counters are not to be seen by connmark-stat (CONNMARK_STATS) [$1]: 1 time; "
	rm "$BATS_TEST_TMPDIR/log"
}

VARIABLES=()

@test "a directory that is missing, a file, a link, or open to anybody: said once, and the program runs" {
	stats=$BATS_TEST_TMPDIR/a/b refused ENOENT
	touch "$BATS_TEST_TMPDIR/file"
	stats=$BATS_TEST_TMPDIR/file refused ENOTDIR
	ln -s "$stats" "$BATS_TEST_TMPDIR/link"
	stats=$BATS_TEST_TMPDIR/link refused ENOTDIR
	chmod 777 "$stats"
	refused EPERM
	chmod 1777 "$stats"
	subject query=1 "$READY$BATS_TEST_TMPDIR/ready" pause
	assert_equal "$(told '.[0].upstream_queries')" 1
}

@test "a file system that is full does not end the program" {
	mount -t tmpfs -o size=100k none "$stats"
	refused ENOSPC
	assert_equal "$(ls -A "$stats")" ''
	umount "$stats"
}

@test "a missing directory is made, by root" {
	stats=$BATS_TEST_TMPDIR/made
	subject query=1 "$READY$BATS_TEST_TMPDIR/ready" pause
	assert_equal "$(stat -c '%a %u' "$stats")" '755 0'
	assert_equal "$(told '.[0].upstream_queries')" 1
}

@test "off: no file, no word" {
	run inside env CONNMARK_STATS=off CONNMARK_LOG="$BATS_TEST_TMPDIR/log" LD_PRELOAD="$SHIM" \
		"$REPO/testbed/bin/subject.py" query=3 3>&-
	assert_success
	[ ! -e "$BATS_TEST_TMPDIR/log" ]
	assert_equal "$(ls -A "$stats")" ''
}

# ---- what connmark-stat shows

@test "the table" {
	subject "query=12" "$READY$BATS_TEST_TMPDIR/ready" pause
	run "$stat" --directory "$stats"
	assert_success
	assert_line --index 0 --regexp "^subject.py  pid $pid .* since 20"
	assert_line --index 1 '  client queries 0, conntrack lookups 0'
	assert_line --index 2 '  default 12'
	assert_line --index 3 --regexp '^ +MARK +QUERIES +EXACT +LEARNED +ANCESTOR +ANSWERED +TURN +REPEAT +UNATTRIBUTED$'
	assert_line --index 4 --regexp '^ +0x0 +12 +0 +0 +0 +0 +0 +0 +12$'
	assert_line --index 5 --regexp '^ +all +12 +0 +0 +0 +0 +0 +0 +12$'
}

@test "Prometheus takes it" {
	command -v promtool || fail 'promtool is missing: package prometheus'
	subject "query=3" "$READY$BATS_TEST_TMPDIR/ready" pause
	"$stat" --directory "$stats" --prometheus >"$BATS_TEST_TMPDIR/metrics"
	run promtool check metrics <"$BATS_TEST_TMPDIR/metrics"
	assert_success
	assert_output ''
	run cat "$BATS_TEST_TMPDIR/metrics"
	assert_line --regexp "^connmark_upstream_queries_total\{pid=\"$pid\",comm=\"subject.py\",unit=\"[^\"]*\",file=\"subject_py-0\",mark=\"0x0\",reason=\"unattributed\"\} 3$"
	assert_line --regexp '^connmark_upstream_outcomes_total\{.*,outcome="default"\} 3$'
	assert_line --regexp '^connmark_events_total\{.*,event="no_entry"\} 0$'
	assert_line --regexp '^connmark_client_queries_total\{.*\} 0$'
	# nothing to tell is no failure of a collector
	kill "$pid"
	until_gone "$pid"
	run "$stat" --directory "$stats" --prometheus
	assert_success
	run promtool check metrics <<<"$output"
	assert_success
}

@test "--watch: a terminal of any size, rates, q" {
	subject "query=3" "$READY$BATS_TEST_TMPDIR/ready" pause
	run timeout 30 "$REPO/testbed/bin/watch-terminal.py" "$stat" --directory "$stats" --watch=0.2 3>&-
	assert_success
	assert_line 'first: subject.py, PER SECOND, all 3'
	assert_line 'small: 5 lines of at most 30 columns, more lines than'
	assert_line 'q: exit status 0, screen and terminal as before'
	assert_line 'SIGINT: exit status 0, screen and terminal as before'
	run "$stat" --directory "$stats" --watch </dev/null
	assert_failure 64
	assert_output --partial 'no terminal'
}

@test "files that are none, or another version's, are named and passed over" {
	subject "query=3" "$READY$BATS_TEST_TMPDIR/ready" pause
	echo nonsense >"$stats/nonsense"
	mkfifo "$stats/fifo"
	ln -s /etc/passwd "$stats/link"
	cp "$stats/subject_py-0" "$stats/version"
	printf '\143' | dd of="$stats/version" bs=1 seek=8 conv=notrunc status=none
	cp "$stats/subject_py-0" "$stats/short"
	truncate -s 5000 "$stats/short"
	run "$stat" --directory "$stats"
	assert_failure 2
	assert_line --regexp "^connmark-stat: $stats/nonsense: is no file of counters; remove it$"
	assert_line --regexp "^connmark-stat: $stats/fifo: is no file of counters; remove it$"
	assert_line --partial "connmark-stat: $stats/link: "
	assert_line --partial "connmark-stat: $stats/version: its layout has version 99, and this program reads 1; "
	assert_line --partial "connmark-stat: $stats/short: "
	assert_line --regexp '^ +all +3 '
}

@test "a file of counters whose every byte is hostile does no harm" {
	subject "query=3" "$READY$BATS_TEST_TMPDIR/ready" pause
	python3 - "$stats/subject_py-0" "$stats/hostile" <<-'END'
		import sys
		data = open(sys.argv[1], "rb").read()
		open(sys.argv[2], "wb").write(data[:16] + b"\xff" * (len(data) - 16))
	END
	local form
	for form in --json --prometheus --dead; do
		run "$stat" --directory "$stats" $form
		assert_success
	done
	OPTIONS=(--dead)
	assert_equal "$(told length)" 1 # it says of itself that it has ended
}

@test "who may not read is told so; wrong usage" {
	subject "query=3" "$READY$BATS_TEST_TMPDIR/ready" pause
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR" "$stats" 2>/dev/null || true
	cp "$stat" "$BATS_TEST_TMPDIR/connmark-stat"
	run setpriv --reuid nobody --regid nogroup --clear-groups "$BATS_TEST_TMPDIR/connmark-stat" --directory "$stats"
	assert_failure 2
	assert_line "connmark-stat: $stats/subject_py-0: may not be read; be root"
	run "$stat" --directory "$BATS_TEST_TMPDIR/absent"
	assert_failure 2
	assert_output --partial "connmark-stat: $BATS_TEST_TMPDIR/absent: there is no such directory"
	run "$stat" --directory "$stats" --pid 1
	assert_failure 1
	assert_output --partial 'connmark-stat: --pid 1: no such process counts in'
	run "$stat" --pid x
	assert_failure 64
	assert_output --partial 'connmark-stat: --pid x: is no number of a process'
	run "$stat" --json --prometheus
	assert_failure 64
	run "$stat" --nonsense
	assert_failure 64
	run "$stat" --directory "$stats" --json >/dev/full
	run bash -c '"$1" --directory "$2" >/dev/full' bash "$stat" "$stats"
	assert_failure 2
	assert_output --partial 'standard output: No space left on device'
}
