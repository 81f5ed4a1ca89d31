#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# connmark-check: set-ups that work, and the same broken on purpose in one place; the finding must name the cause and
# the remedy, and the remedy, where it is a command, must mend it.
#
# shellcheck disable=SC2030,SC2031,SC2154 # stage.bash sets what `stage` says; each test is a subshell of its own, and meant to be

load helpers
load stage

setup_file() {
	export specimens=$BATS_FILE_TMPDIR
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR"
	echo 'int main(void) { return 0; }' >"$specimens/true.c"
	echo '#include <unistd.h>
int main(void) { pause(); return 0; }' >"$specimens/pause.c"
}

setup() {
	need_root
	need_shim
	unset "${!CONNMARK_@}"
}

teardown() {
	stage_down
}

# stand ARGUMENT...: a stage whose entries in conntrack outlast a slow machine
stand() {
	stage "$@"
	in_resolver sysctl -qw net.netfilter.nf_conntrack_udp_timeout=600 net.netfilter.nf_conntrack_udp_timeout_stream=600
}

# in_resolver COMMAND...: in its network namespace
in_resolver() {
	ip netns exec "$resolver_ns" "$@"
}

# check ARGUMENT...: the report for a person, in $output, and as JSON; `found` looks into both.
check() {
	report=$BATS_TEST_TMPDIR/report.json
	timeout 60 "$REPO/scripts/connmark-check" --library "$SHIM" --json "$@" >"$report" || true
	/usr/bin/python3 -m json.tool "$report" >"$report.pretty" || fail "no JSON: $(cat "$report")"
	told=$BATS_TEST_TMPDIR/told
	run timeout 60 "$REPO/scripts/connmark-check" --library "$SHIM" "$@"
	printf '%s\n' "$output" >"$told"
}

# found LEVEL ID FINDING [REMEDY]: such a finding is in both reports; the texts are regular expressions.
found() {
	jq -e --arg level "$1" --arg id "$2" --arg finding "$3" --arg remedy "${4-}" '
		.findings[] | select(.level == $level and .id == $id and (.finding | test($finding)) and
			(.remedy | test($remedy)))' "$report" >/dev/null ||
		fail "no $1 $2 '$3' '${4-}' in: $(cat "$report.pretty")"
	grep -qE -- "$2 +.*${3#^}" "$told" || fail "no $2 '$3' in: $(cat "$told")"
}

# no_problem: none, and no warning either
no_problem() {
	run jq -r '.findings[] | select(.level == "problem" or .level == "warning")' "$report"
	assert_output ''
}

# sole_problem ID: this one and no other
sole_problem() {
	run jq -r '[.findings[] | select(.level == "problem") | .id] | unique | join(" ")' "$report"
	assert_output "$1"
}

# remedy_of ID: the commands that the finding says to type
remedy_of() {
	jq -r --arg id "$1" '[.findings[] | select(.id == $id and .level != "ok")][0].remedy' "$report"
}

# ---- usage

@test "--help, --version, wrong usage" {
	run "$REPO/scripts/connmark-check" --help
	assert_success
	assert_line --index 0 'Usage: connmark-check [options] [RESOLVER | --pid PID]'
	run "$REPO/scripts/connmark-check" --version
	assert_success
	run "$REPO/scripts/connmark-check" --pdi 1
	assert_failure 64
	assert_output 'connmark-check: --pdi: there is no such option; see connmark-check --help'
	run "$REPO/scripts/connmark-check" --pid 0x1
	assert_failure 64
	assert_output 'connmark-check: --pid 0x1: it is not a process number; see connmark-check --help'
	run "$REPO/scripts/connmark-check" --pid 4194305
	assert_failure 64
	assert_output --partial 'there is no such process'
	run "$REPO/scripts/connmark-check" unbound --pid 1
	assert_failure 64
	# as --pid $(pidof RESOLVER) has it where none runs, and where several do
	run "$REPO/scripts/connmark-check" --pid
	assert_failure 64
	assert_output --partial '--pid: a value is missing: does the resolver run?'
	run "$REPO/scripts/connmark-check" --pid 1 2
	assert_failure 64
	assert_output --partial '2: one process at a time'
}

# ---- programs

@test "each resolver of the testbed works, and is known; the calls it imports are those that nm finds" {
	local resolver calls
	for resolver in unbound named dnsmasq kresd pdns_recursor stubby; do
		check "$resolver"
		assert_success
		found ok known "^$resolver is one of the resolvers"
		no_problem
	done
	for resolver in smartdns dnsdist; do
		check "$resolver"
		assert_failure 1
		found warning known 'from one UDP socket' '--zone-orig mark'
	done

	calls=$(comm -12 <(nm -D --defined-only "$SHIM" | awk '{ print $3 }' | sort -u) \
		<({ ldd /usr/sbin/unbound | awk '$3 ~ /^\// { print $3 }'; echo /usr/sbin/unbound; } | grep -v '/libc\.so' |
			xargs -n 1 nm -D --undefined-only | awk '{ print $2 }' | sed 's/@.*//' | sort -u) | wc -l)
	check unbound
	found ok calls "import $calls of the $(nm -D --defined-only "$SHIM" | wc -l) calls .*sendmsg"
}

@test "a static binary, a Go binary, a binary for another machine" {
	gcc -static -o "$specimens/static" "$specimens/true.c"
	check "$specimens/static"
	assert_failure 2
	found problem program 'statically linked' 'dynamically linked'

	printf '__asm__(".section .go.buildinfo,\\"a\\",@progbits\\n.long 1\\n.previous");int main(void){return 0;}' \
		>"$specimens/go.c"
	gcc -o "$specimens/go" "$specimens/go.c"
	check "$specimens/go"
	assert_failure 2
	found problem program 'it is a Go program' 'not written in Go'

	cp /bin/true "$specimens/mips"
	printf '\010\000' | dd of="$specimens/mips" bs=1 seek=18 conv=notrunc status=none
	check "$specimens/mips"
	assert_failure 2
	found problem program 'for 64-bit little-endian MIPS' 'build the library for it'
}

@test "a real Go resolver out of Debian: connmark-check and connmark-run name the cause" {
	local folder=$REPO/build/cache/dnss
	/usr/bin/python3 -c "import sys; sys.path.insert(0, '$REPO/testbed/lib'); import unpacked
unpacked.package('dnss')"
	check "$folder/usr/bin/dnss"
	assert_failure 2
	found problem program 'it is a Go program' 'not written in Go'
	run "$REPO/scripts/connmark-run" --library "$SHIM" "$folder/usr/bin/dnss"
	assert_failure 2
	assert_output --partial 'it is a Go program'
}

@test "file capabilities and set-user-ID bits: a warning for root, a problem for another user" {
	install -m 755 /bin/true "$specimens/capable"
	setcap cap_net_bind_service+ep "$specimens/capable"
	check "$specimens/capable"
	found warning secure-execution 'it has file capabilities' "setcap -r $specimens/capable"

	# Where the library and the script can be read by others.
	cp -r "$REPO/scripts/connmark-check" "$REPO/scripts/lib" "$SHIM" "$specimens/"
	run setpriv --reuid nobody --regid nogroup --clear-groups "$specimens/connmark-check" \
		--library "$specimens/libconnmarkshim.so" "$specimens/capable"
	assert_failure 2
	assert_output --partial 'it has file capabilities, and so its loader ignores LD_PRELOAD'
	assert_output --partial "setcap -r $specimens/capable"

	install -m 4755 -o nobody /bin/true "$specimens/setuid"
	check "$specimens/setuid"
	assert_failure 2
	found problem secure-execution 'set-user-ID' "chmod ug-s $specimens/setuid"
}

@test "a program that sends nothing; a program that is none; a bad variable; no library" {
	gcc -o "$specimens/quiet" "$specimens/pause.c"
	check "$specimens/quiet"
	found problem calls 'neither it nor its libraries import any call'
	check "$specimens/absent"
	assert_failure 2
	found problem program 'there is no such file' 'install the resolver'
	export CONNMARK_MASK=zz
	check unbound
	assert_failure 2
	found problem variables "CONNMARK_MASK='zz' is refused" 'correct the variable'
	unset CONNMARK_MASK
	run "$REPO/scripts/connmark-check" --library "$specimens/absent.so" --json unbound
	assert_failure 2
	assert_output --partial 'the library is not a readable file'
}

@test "JSON holds whatever bytes a name has" {
	local name
	name=$specimens/$'a"b\\c\td\001\xff\xc3\xa9\ne'
	cp /bin/true "$name"
	run "$REPO/scripts/connmark-check" --library "$SHIM" --json "$name"
	printf '%s' "$output" | /usr/bin/python3 -c '
import json, sys
target = json.load(sys.stdin.buffer)["findings"][0]["target"]
assert target.endswith("a\"b\\c\td\x01" + "\ufffd" * 3 + "\ne"), ascii(target)'
	name=$specimens/$'caf\xc3\xa9'
	cp /bin/true "$name"
	run "$REPO/scripts/connmark-check" --library "$SHIM" --json "$name"
	printf '%s' "$output" | /usr/bin/python3 -c '
import json, sys
assert json.load(sys.stdin.buffer)["findings"][0]["target"].endswith("caf\u00e9")'
}

# ---- a running resolver: works as it should

@test "a resolver that works, with the rules of iptables" {
	stand --resolver unbound --shim "$SHIM"
	ask 100
	check --pid "$resolver_pid"
	assert_success
	no_problem
	found ok library "in its memory: $SHIM"
	found ok capability 'effective in 2 of 2 threads'
	found ok rule-set 'IPv4, iptables: -t mangle -A PREROUTING -s 192.168.111.137/32 .*and 39 more'
	found ok rule-set 'IPv6, iptables: '
	found ok rule-save 'IPv4, iptables'
	found ok rule-restore 'IPv4, iptables'
	found ok rule-output 'IPv4, iptables: -t mangle -A OUTPUT'
	# Probes have no mark, what a busy machine has sent twice counts twice, and two queries may share a source port.
	found ok client-flows '^100 of 1[0-9][0-9] flows'
	found ok upstream-flows '^(9[0-9]|1[0-9][0-9]) of (9[0-9]|1[0-9][0-9]) flows'
	found ok seccomp 'no filter'
	run jq -r .verdict "$report"
	assert_output works
}

@test "a resolver that works, with the rules of nft; in a zone of its own" {
	stand --resolver dnsmasq --shim "$SHIM" --rules nft-ct --client-zone 7 --env CONNMARK_ZONE=7
	ask 50
	check --pid "$resolver_pid"
	assert_success
	no_problem
	found ok rule-set 'IPv4, nft: inet connmark prerouting: .*ct mark set ip saddr map'
	found ok rule-set 'IPv6, nft: '
	found ok rule-output 'IPv6, nft: inet connmark output: '
	found ok zone 'in zone 7'
	found ok client-flows '^50 of [5-9][0-9] flows'
	found ok variables 'CONNMARK_ZONE=7'
}

@test "the counters of connmark-stat go into the report, from where the process has them" {
	local folder=$BATS_TEST_TMPDIR/counters
	make -s -C "$REPO" build/connmark-stat
	mkdir -m 755 "$folder"
	stand --resolver unbound --shim "$SHIM" --env CONNMARK_STATS="$folder"
	ask 30
	check --pid "$resolver_pid"
	found ok counters "of connmark-stat --pid $resolver_pid:"
	# Its own numbers, which are those of the queries that were asked.
	run "$REPO/build/connmark-stat" --directory "$folder" --pid "$resolver_pid" --json
	assert_equal "$(jq -S ".counters[\"$resolver_pid\"]" "$report")" "$(jq -S . <<<"$output")"
	assert [ "$(jq "[.counters[\"$resolver_pid\"][].marks[] | select(.mark > 0).queries] | add" "$report")" -ge 30 ]
	run cat "$told"
	assert_line --regexp '^ +MARK +QUERIES +EXACT'
	assert_line --regexp '^ +0x89 \(137\) +[1-9]'
}

@test "a process that does not count: the report says so, and is JSON all the same" {
	CONNMARK_STATS=off run_shimmed
	check --pid "$started"
	found note counters "no live counters: .*--pid $started: no such process counts"
	run jq -c .counters "$report"
	assert_output '{}'
}

@test "without an argument: every process that has the library, or the rules alone" {
	stand --resolver unbound --shim "$SHIM"
	check
	found ok library "in its memory: $SHIM"
	run jq -r '.findings[].target' "$report"
	assert_line "unbound (process $resolver_pid)"
}

# ---- a running resolver: broken

@test "missing: each of the four rules of iptables; what the finding says to type mends it" {
	local number id
	stand --resolver unbound --shim "$SHIM"
	ask 20
	in_resolver ip6tables -t mangle -F
	check --pid "$resolver_pid"
	assert_failure 2
	found problem rule-set 'IPv6: no rule marks the clients' 'ip6tables -t mangle -A PREROUTING'
	found problem rule-output 'IPv6: no rule saves' 'ip6tables -t mangle -A OUTPUT'

	# Of IPv4, in the place of forty rules one.
	in_resolver iptables -t mangle -F
	in_resolver iptables -t mangle -A PREROUTING -m mark --mark 0 -s 192.168.111.137 -j MARK --set-mark 137
	in_resolver iptables -t mangle -A PREROUTING -j CONNMARK --save-mark
	# This one does not stand for the one that saves marks.
	in_resolver iptables -t mangle -A OUTPUT -p udp --dport 53 -m mark --mark 0 -m conntrack --ctdir ORIGINAL \
		-j CONNMARK --save-mark
	in_resolver ip6tables-restore <<-'END'
		*mangle
		-A PREROUTING -j CONNMARK --restore-mark
		-A PREROUTING -m mark --mark 0 -s fd00::1 -j MARK --set-mark 137
		-A PREROUTING -j CONNMARK --save-mark
		-A OUTPUT -m mark ! --mark 0 -j CONNMARK --save-mark
		COMMIT
	END
	check --pid "$resolver_pid"
	assert_failure 2
	sole_problem rule-output
	found problem rule-output 'IPv4: no rule saves the mark of what leaves in OUTPUT' '^iptables -t mangle -A OUTPUT'
	found warning rule-restore 'IPv4: no rule restores the mark' '^iptables -t mangle -I PREROUTING'
	for id in rule-output rule-restore; do
		# shellcheck disable=SC2046 # words
		in_resolver $(remedy_of "$id")
	done
	check --pid "$resolver_pid"
	assert_success
	no_problem

	for number in 3 2; do # save, set
		in_resolver iptables -t mangle -D PREROUTING "$number"
	done
	check --pid "$resolver_pid"
	assert_failure 2
	found problem rule-set 'IPv4: no rule marks the clients in PREROUTING' 'PREROUTING .*-s CLIENT -j MARK --set-mark N'
	sole_problem rule-set

	# Where the other rules are there, it has to come between them.
	in_resolver iptables -t mangle -A PREROUTING -j CONNMARK --save-mark
	check --pid "$resolver_pid"
	found problem rule-set 'no rule marks' '^iptables -t mangle -I PREROUTING 2 -m mark'
	remedy_of rule-set | sed 's/CLIENT/192.168.111.137/; s/ N$/ 137/' | in_resolver bash -e
	check --pid "$resolver_pid"
	assert_success
	in_resolver iptables -t mangle -D PREROUTING -j CONNMARK --save-mark
	check --pid "$resolver_pid"
	found problem rule-save 'IPv4: no rule saves the clients. mark' '^iptables -t mangle -A PREROUTING -j CONNMARK --save-mark$'
	# shellcheck disable=SC2046
	in_resolver $(remedy_of rule-save)
	check --pid "$resolver_pid"
	assert_success
}

@test "rules in the wrong order; rules in chains of the user's own" {
	stand --resolver unbound --shim "$SHIM"
	ask 10
	in_resolver nft flush ruleset
	for command in iptables-restore ip6tables-restore; do
		in_resolver $command <<-'END'
			*mangle
			:CLIENTS -
			:OTHERS -
			-A PREROUTING -j CONNMARK --restore-mark
			-A PREROUTING -i cli0 -j CLIENTS
			-A PREROUTING -j CONNMARK --save-mark
			-A CLIENTS -m mark --mark 0 -j OTHERS
			-A OTHERS -j MARK --set-mark 7
			-A OUTPUT -m mark ! --mark 0 -j CONNMARK --save-mark
			COMMIT
		END
	done
	check --pid "$resolver_pid"
	assert_success
	found ok rule-set 'IPv4, iptables: -t mangle -A OTHERS -j MARK'

	in_resolver iptables -t mangle -D PREROUTING -j CONNMARK --save-mark
	in_resolver iptables -t mangle -I PREROUTING -j CONNMARK --save-mark
	check --pid "$resolver_pid"
	assert_failure 2
	found problem rule-save 'comes before the rule that sets the mark' 'iptables -t mangle -D PREROUTING'
	remedy_of rule-save | in_resolver bash -e
	in_resolver ip6tables -t mangle -D PREROUTING -j CONNMARK --save-mark
	in_resolver ip6tables -t mangle -A PREROUTING -j CONNMARK --save-mark
	check --pid "$resolver_pid"
	assert_success
}

@test "rules of iptables-legacy are seen" {
	local command
	stand --no-rules --resolver unbound --shim "$SHIM"
	check --pid "$resolver_pid"
	assert_failure 2
	for command in iptables ip6tables; do
		in_resolver "$command-legacy-restore" <<-'END'
			*mangle
			-A PREROUTING -j CONNMARK --set-mark 3
			-A OUTPUT -m mark ! --mark 0 -j CONNMARK --save-mark
			COMMIT
		END
	done
	ask 10
	check --pid "$resolver_pid"
	assert_success
	found ok rule-set 'IPv4, iptables: .*--set-xmark 0x3'
	found ok rule-set 'IPv6, iptables: .*--set-xmark 0x3'
	found ok upstream-flows '^1[0-9] of 1[0-9] flows'
}

@test "missing with nft: the rules, and a chain that comes before conntrack" {
	stand --resolver unbound --shim "$SHIM" --rules nft-ct
	ask 10
	in_resolver nft delete chain inet connmark output
	check --pid "$resolver_pid"
	assert_failure 2
	sole_problem rule-output
	remedy_of rule-output | in_resolver bash -e
	check --pid "$resolver_pid"
	assert_success

	in_resolver nft -f - <<-'END'
		delete chain inet connmark prerouting
		table inet connmark {
			chain early { type filter hook prerouting priority raw; ct mark set 5; }
		}
	END
	check --pid "$resolver_pid"
	assert_failure 2
	found problem rule-set 'comes before conntrack' 'priority mangle'
}

@test "notrack: of DNS, not of something else" {
	local rule
	stand --resolver unbound --shim "$SHIM"
	ask 10
	in_resolver iptables -t raw -A PREROUTING -p udp --dport 5353 -j NOTRACK
	in_resolver iptables -t raw -A PREROUTING -p udp -m multiport --dports 123,500 -j CT --notrack
	in_resolver iptables -t raw -A PREROUTING -i lo -j NOTRACK
	check --pid "$resolver_pid"
	assert_success
	for rule in 'PREROUTING -p udp --dport 53 -j NOTRACK' 'PREROUTING -i cli0 -j CT --notrack' \
		'PREROUTING -p udp -m multiport --dports 53,123 -j CT --notrack' 'OUTPUT -p udp --sport 53 -j NOTRACK'; do
		# shellcheck disable=SC2086 # words
		in_resolver iptables -t raw -A $rule
		check --pid "$resolver_pid"
		assert_failure 2
		found problem notrack 'keeps conntrack from seeing the clients: -t raw' '^iptables -t raw -D '
		sole_problem notrack
		remedy_of notrack | head -n 1 | in_resolver bash -e
		check --pid "$resolver_pid"
		assert_success
	done
	in_resolver nft -f - <<-'END'
		table inet bypass { chain c { type filter hook prerouting priority raw; udp dport { 53, 853 } notrack; }; }
	END
	check --pid "$resolver_pid"
	assert_failure 2
	found problem notrack 'inet bypass c: udp dport' '^nft delete rule inet bypass c handle [0-9]'
	remedy_of notrack | head -n 1 | in_resolver bash -e
	check --pid "$resolver_pid"
	assert_success
}

@test "the wrong zone" {
	stand --resolver unbound --shim "$SHIM" --client-zone 7
	ask 10
	check --pid "$resolver_pid"
	assert_failure 2
	found problem zone "in zone 7, and it asks for zone 0" 'CONNMARK_ZONE=7'
	found problem upstream-flows 'none of the .* flows to upstreams'
}

@test "missing capability: not kept, not in the bounding set, an ordinary user's" {
	stand --resolver unbound --shim "$SHIM" --env CONNMARK_KEEP_CAPS=no
	ask 10
	check --pid "$resolver_pid"
	assert_failure 2
	found problem capability 'missing in 2 of 2 threads: CONNMARK_KEEP_CAPS=no' 'without CONNMARK_KEEP_CAPS'
	found problem upstream-flows 'none of the'
	stage_down

	run_shimmed setpriv --bounding-set -net_admin,-net_raw
	check --pid "$started"
	assert_failure 2
	found problem capability 'it is not in the bounding set' 'CapabilityBoundingSet='
	run setpriv --bounding-set -net_admin,-net_raw "$REPO/scripts/connmark-run" --library "$SHIM" /bin/true
	assert_failure 2
	assert_output --partial 'it is not in the bounding set'

	cp "$SHIM" "$specimens/libconnmarkshim.so"
	SHIM=$specimens/libconnmarkshim.so run_shimmed setpriv --reuid nobody --regid nogroup --clear-groups
	check --pid "$started"
	assert_failure 2
	found problem capability 'an ordinary user \(nobody\)' 'AmbientCapabilities='
}

@test "CAP_NET_RAW alone: packets must bring the marks" {
	stand --resolver unbound --shim "$SHIM" --without-capability net_admin --rules nft-ct
	ask 10
	check --pid "$resolver_pid"
	assert_failure 2
	found ok capability 'CAP_NET_RAW is effective in 2 of 2'
	found note source 'takes marks from the clients. packets'
	found problem rule-restore "no rule gives the connection's mark" 'add rule .* meta mark set ct mark'
	in_resolver nft 'insert rule inet connmark prerouting meta mark set ct mark'
	check --pid "$resolver_pid"
	found problem rule-restore "no rule gives the connection's mark"
	remedy_of rule-restore | in_resolver bash -e
	in_resolver conntrack -F
	ask 10
	check --pid "$resolver_pid"
	assert_success
	found ok upstream-flows '^1[0-9] of 1[0-9] flows'
}

# run_shimmed COMMAND...: `sleep` under the library and the command's limits; `started` is its number
run_shimmed() {
	"$@" env LD_PRELOAD="$SHIM" sleep 60 3>&- &
	started=$!
	processes+=("$started")
	until grep -qs "$SHIM" "/proc/$started/maps"; do
		kill -0 "$started" || fail "$* ended"
		sleep 0.05
	done
}

# running PROGRAM: waits until the last of `processes` has become this program
running() {
	until [ "$(readlink "/proc/${processes[-1]}/exe")" = "$(realpath "$1")" ]; do
		kill -0 "${processes[-1]}" || fail "$1 ended"
		sleep 0.05
	done
}

@test "not in its memory: started without it, a static program, a secure execution" {
	stand --resolver unbound
	check --pid "$resolver_pid"
	assert_failure 2
	found problem library 'the process was started without LD_PRELOAD' 'connmark-run'
	stage_down

	gcc -static -o "$specimens/pause-static" "$specimens/pause.c"
	LD_PRELOAD=$SHIM "$specimens/pause-static" 3>&- &
	processes+=($!)
	running "$specimens/pause-static"
	check --pid "${processes[-1]}"
	assert_failure 2
	found problem library 'statically linked' 'dynamically linked'

	gcc -o "$specimens/pause" "$specimens/pause.c"
	setcap cap_net_bind_service+ep "$specimens/pause"
	cp "$SHIM" "$specimens/libconnmarkshim.so"
	setpriv --reuid nobody --regid nogroup --clear-groups env LD_PRELOAD="$specimens/libconnmarkshim.so" \
		"$specimens/pause" 3>&- &
	processes+=($!)
	running "$specimens/pause"
	check --pid "${processes[-1]}"
	assert_failure 2
	found problem library 'secure-execution mode' "setcap -r $specimens/pause"

	LD_PRELOAD=$specimens/gone/libconnmarkshim.so sleep 60 3>&- 2>/dev/null &
	processes+=($!)
	running "$(type -P sleep)"
	check --pid "${processes[-1]}"
	found problem library "though LD_PRELOAD was" 'ls -l'
}

@test "replaced since; dry run; a refused variable; a user namespace" {
	cp "$SHIM" "$specimens/libconnmarkshim.so"
	SHIM=$specimens/libconnmarkshim.so CONNMARK_DRY_RUN=yes run_shimmed
	rm "$specimens/libconnmarkshim.so"
	check --pid "$started"
	found warning library 'was replaced since' 'restart it'
	found warning variables 'CONNMARK_DRY_RUN=yes' 'restart it without'
	stand --resolver unbound --shim "$SHIM" --env CONNMARK_DRY_RUN=yes
	ask 10
	check --pid "$resolver_pid"
	assert_failure 1
	found note upstream-flows 'none of the .*: CONNMARK_DRY_RUN=yes'
	stage_down

	CONNMARK_ZONE=65536 run_shimmed
	check --pid "$started"
	assert_failure 2
	found problem variables "CONNMARK_ZONE='65536' is refused" 'correct the variable'

	run_shimmed unshare --user --map-root-user
	check --pid "$started"
	found warning user-namespace 'a user namespace of its own' 'PrivateUsers=no'
}

@test "what a process is called and was started with is executed nowhere, and does not reach the terminal" {
	local name=$BATS_TEST_TMPDIR/$'pause\033[31m'
	gcc -o "$name" "$specimens/pause.c"
	# shellcheck disable=SC2016 # expanded nowhere is just the point
	CONNMARK_ZONE='a[$(touch '"$BATS_TEST_TMPDIR"'/executed)]' CONNMARK_MASK='a[$(touch '"$BATS_TEST_TMPDIR"'/executed)]' \
		LD_PRELOAD=$SHIM "$name" 3>&- 2>/dev/null &
	processes+=($!)
	until grep -qs "$SHIM" "/proc/${processes[-1]}/maps"; do
		kill -0 "${processes[-1]}" || fail "it ended"
		sleep 0.05
	done
	check --pid "${processes[-1]}"
	found problem variables "CONNMARK_MASK=.* is refused"
	assert [ ! -e "$BATS_TEST_TMPDIR/executed" ]
	refute_output --partial $'\033'
	assert_line --regexp '^pause\?\[31m \(process '
}

@test "AppArmor: a profile without net_admin" {
	local label=$BATS_TEST_TMPDIR/label rules=$BATS_TEST_TMPDIR/local
	[ -e /etc/apparmor.d/usr.sbin.unbound ] || fail "unbound's profile is not there"
	stand --resolver unbound --shim "$SHIM"
	ask 10
	# The kernel here has no AppArmor: what it would say is laid over what it says, for the check alone.
	printf 'unbound (enforce)\n' >"$label"
	: >"$rules"
	export resolver_pid label rules
	confined() {
		# shellcheck disable=SC2016 # expanded by the inner shell
		unshare --mount bash -c 'mount --bind "$label" "/proc/$resolver_pid/attr/current" &&
			mount --bind "$rules" /etc/apparmor.d/local/usr.sbin.unbound && exec "$@"' - \
			"$REPO/scripts/connmark-check" --library "$SHIM" --pid "$resolver_pid"
	}
	run confined
	assert_failure 2
	assert_output --regexp 'PROBLEM +apparmor +the profile unbound does not allow net_admin'
	assert_output --partial 'apparmor_parser -r /etc/apparmor.d/usr.sbin.unbound'
	printf 'capability net_admin,\n' >"$rules"
	run confined
	assert_success
	assert_output --partial 'the profile unbound allows net_admin'
}

@test "systemd: a unit that forbids netlink is named" {
	local cgroup=$BATS_TEST_TMPDIR/cgroup units=$BATS_TEST_TMPDIR/units
	# Laid over what is there, for the check alone: systemd does not run here.
	echo '0::/system.slice/own.service' >"$cgroup"
	mkdir "$units"
	export resolver_pid cgroup units
	in_unit() {
		printf '[Service]\nExecStart=/usr/sbin/unbound\n%s\n' "$1" >"$units/own.service"
		# shellcheck disable=SC2016 # expanded by the inner shell
		run unshare --mount bash -c 'mount --bind "$cgroup" "/proc/$resolver_pid/cgroup" &&
			mount -t tmpfs none /run/systemd && mkdir /run/systemd/system && mount --bind "$units" /run/systemd/system && exec "$@"' - \
			"$REPO/scripts/connmark-check" --library "$SHIM" --pid "$resolver_pid"
	}
	stand --resolver unbound --shim "$SHIM" --env CONNMARK_SOURCE=conntrack
	ask 10
	in_unit 'RestrictAddressFamilies=AF_INET AF_INET6'
	assert_failure 2
	assert_output --regexp 'PROBLEM +seccomp +RestrictAddressFamilies= of own lacks AF_NETLINK'
	assert_output --partial 'connmark-systemd --install own; systemctl restart own'
	in_unit 'RestrictAddressFamilies=AF_INET AF_NETLINK'
	assert_success
	stage_down
	stand --resolver unbound --shim "$SHIM"
	ask 10
	in_unit 'RestrictAddressFamilies=AF_INET AF_INET6'
	assert_failure 1
	assert_output --regexp 'WARNING +seccomp'
}

@test "a container's process: the remedy is the container's" {
	unshare --pid --fork --kill-child setpriv --bounding-set -net_admin,-net_raw env LD_PRELOAD="$SHIM" sleep 60 3>&- &
	processes+=($!)
	until started=$(pgrep -P "${processes[-1]}" -x sleep) && grep -qs "$SHIM" "/proc/$started/maps"; do
		kill -0 "${processes[-1]}" || fail 'it ended'
		sleep 0.05
	done
	check --pid "$started"
	assert_failure 2
	found problem capability 'not in the bounding set' 'in its container: cap_add'
}

@test "another user's view: what could not be seen is no verdict" {
	stand --resolver unbound --shim "$SHIM"
	cp -r "$REPO/scripts/connmark-check" "$REPO/scripts/lib" "$SHIM" "$specimens/"
	run setpriv --reuid nobody --regid nogroup --clear-groups "$specimens/connmark-check" \
		--library "$specimens/libconnmarkshim.so" --pid "$resolver_pid"
	assert_failure 3
	assert_output --partial 'may not be looked into by nobody'
	assert_output --partial "sudo connmark-check --pid $resolver_pid"
}
