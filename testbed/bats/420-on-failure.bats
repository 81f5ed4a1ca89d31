#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# CONNMARK_ON_FAILURE: a query whose client's mark is not known, or cannot be set, leaves unmarked (pass) or not at all
# (drop). What arrives decides; and that the resolver goes on.

load helpers

setup() {
	need_root
	need_shim
	log=$BATS_TEST_TMPDIR/log
	export CONNMARK_SOURCE=conntrack
}

UNKNOWN='-t raw -A OUTPUT -s 127.0.1.4 -j CT --notrack'

# failing POLICY MODE: f_drop, where client 4 has no conntrack entry
failing() {
	run timeout 100 env RULES="$UNKNOWN" LIBRARY="$SHIM" LOG="$log" CONNMARK_ON_FAILURE="$1" \
		"$REPO/testbed/bin/transparency-marks" "$REPO/build/programs/f_drop" "$2" 3>&-
	assert_success
}

# said COUNT TEXT: how many lines of the log say so
said() {
	assert_equal "$(grep -c -- "$2" "$log")" "$1"
}

@test "drop, UDP: each call reports success, nothing of an unknown client arrives" {
	failing drop udp
	assert_output "$(
		cat <<-'END'
			send(fd, query, n, 0) = 30
			write(fd, query, n) = 30
			writev(fd, iov, 2) = 30
			sendto(open, query, n, 0, (struct sockaddr *)&to, sizeof(to)) = 30
			sendmsg(open, &m, 0) = 30
			send(fd, query, n, 0) = 26
			  one arrived with mark 1
			send(fd, query, n, 0) = 29
			  nobody arrived with mark 0
			send(fd, query, n, 0) = 30
			write(fd, query, n) = 30
			lseek(fd, 0, SEEK_END) = 30
		END
	)"
	said 1 'conntrack has no entry'
	said 1 'an upstream query was not sent (CONNMARK_ON_FAILURE=drop)'
}

@test "pass, UDP: the same queries arrive unmarked" {
	failing pass udp
	assert_equal "$(grep -c 'unknown arrived with mark 0' <<<"$output")" 6
	assert_line '  one arrived with mark 1'
	said 1 'conntrack has no entry'
	said 0 'was not sent'
}

@test "drop, sendmmsg: each message counts as sent, with its length" {
	failing drop batch
	assert_output "$(
		cat <<-'END'
			sendmmsg(fd, many, MANY, 0) = 5
			  message 0: 32 of 32 bytes
			  message 1: 26 of 26 bytes
			  message 2: 32 of 32 bytes
			  message 3: 32 of 32 bytes
			  message 4: 26 of 26 bytes
			  one arrived with mark 1
			  two arrived with mark 2
		END
	)"
	failing pass batch
	assert_equal "$(grep -c 'unknown-[abc] arrived with mark 0' <<<"$output")" 3
}

@test "drop, TCP: the message is left out whole, and the others come framed" {
	failing drop tcp
	assert_equal "$(sed '/^nobody = /q' <<<"$output")" "$(
		cat <<-'END'
			unknown = 32
			  mark 0
			client 1 = 28
			  one came
			  mark 1
			unknown, the first half = 28
			  mark 1
			unknown, the rest = 4
			  mark 1
			client 1, unknown, client 1 = 88
			  one came
			  uno came
			  mark 1
			unknown and a byte of client 1's length = 33
			  1 bytes are there of another
			  mark 0
			the rest of client 1's = 27
			  uno came
			  mark 1
			half a question = 20
			  mark 1
			the rest = 8
			  mark 1
			nobody = 31
		END
	)"
}

@test "drop, TCP: where its length has left already, the connection ends; where there is none yet, none is made" {
	failing drop tcp
	assert_equal "$(sed -n '/^a length alone/,$p' <<<"$output")" "$(
		cat <<-'END'
			a length alone = 2
			  2 bytes are there of another
			  mark 0
			unknown, the message = -1 ECONNRESET
			  2 bytes are there of another
			  the connection has ended
			  mark 0
			once more = -1 ECONNRESET
			  2 bytes are there of another
			  the connection has ended
			  mark 0
			sendto(fd, query, n, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to)) = -1 ECONNRESET
			accept(listener, NULL, NULL) = -1 EAGAIN
		END
	)"
}

@test "pass, TCP: everything comes" {
	failing pass tcp
	refute_output --partial ECONNRESET
	refute_output --partial 'has ended'
	assert_equal "$(grep -c '^  unknown came' <<<"$output")" 5
}

@test "drop, a lost capability: nothing leaves that needs a mark, nobody's queries do" {
	failing drop caps
	assert_equal "$(sed -n '/^send(fd, two/,$p' <<<"$output")" "$(
		cat <<-'END'
			send(fd, two, m, 0) = 26
			send(fd6, two, m, 0) = 26
			sendmmsg(fd, many, 2, 0) = 2
			client 2 on the connection of client 1 = 28
			  mark 1
			client 2 on a new connection = 28
			  mark 0
			nobody = 31
			  nobody came
			  mark 0
			send(fd, query + 2, n - 2, 0) = 29
			  nobody arrived with mark 0
		END
	)"
	said 1 'not permitted: a mark could not be set'
	said 1 'was not sent'
}

@test "pass, a lost capability: what may leave does, unmarked" {
	failing pass caps
	assert_line '  two came'
	assert_equal "$(grep -c 'two arrived with mark 0' <<<"$output")" 2
}

@test "drop, and no table or a refused configuration: no upstream query leaves" {
	local setting
	for setting in CONNMARK_TABLE=1 CONNMARK_NONSENSE=1; do
		: >"$log"
		export "${setting?}"
		failing drop udp
		refute_output --partial 'arrived'
		failing drop batch
		refute_output --partial 'arrived'
		assert_line 'sendmmsg(fd, many, MANY, 0) = 5'
		failing drop tcp
		refute_output --partial ' came'
		unset "${setting%=*}"
		grep -q 'no upstream query leaves before the configuration is corrected' "$log" ||
			fail "nothing was said: $(cat "$log")"
	done
	# the same refusal, and pass
	CONNMARK_TABLE=1 failing pass udp
	assert_line '  one arrived with mark 0'
}

@test "drop, and no memory for what is known of a descriptor: it stays" {
	run timeout 60 env LIBRARY="$SHIM" LOG="$log" CONNMARK_ON_FAILURE=drop \
		"$REPO/testbed/bin/transparency-marks" "$REPO/build/programs/f_ask" memory 20 3>&-
	assert_success
	assert_line 'first: 0 with mark 1, 0 unmarked, 0 with another, 20 not sent'
	assert_line 'then: 20 with mark 1, 0 unmarked, 0 with another, 0 not sent'
}

@test "drop, and conntrack does not answer: it stays" {
	run timeout 60 env LIBRARY="$SHIM $REPO/build/programs/faulty.so" LOG="$log" CONNMARK_ON_FAILURE=drop \
		FAULT=recv:silent:20 "$REPO/testbed/bin/transparency-marks" "$REPO/build/programs/f_ask" nothing 20 3>&-
	assert_success
	assert_line 'first: 0 with mark 1, 0 unmarked, 0 with another, 20 not sent'
	assert_line --regexp '^then: [12][0-9]* with mark 1, 0 unmarked, 0 with another'
	said 1 'the kernel did not answer'
	said 1 'was not sent'
}

# resolving POLICY UNMARKED ANSWERED RESOLVER ARGUMENT...: conntrack does not know 10 of the 40 clients
resolving() {
	local policy=$1 unmarked=$2 answered=$3 resolver=$4
	shift 4
	cell --resolver "$resolver" --shim "$SHIM" --queries 400 --untracked 10 --in-flight 128 --timeout 4 \
		--env CONNMARK_SOURCE=conntrack --env CONNMARK_ON_FAILURE="$policy" "$@"
	assert_success
	assert_field 'runs[0]["mapped"]' True
	assert_field 'runs[0]["witness"]["right"] >= 300' True # a resolver may ask again
	assert_field 'runs[0]["witness"]["wrong"]' 0
	assert_field 'runs[0]["witness"]["unmarked"]' "$unmarked"
	assert_field 'runs[0]["clients"]["answered"]' "$answered"
}

@test "drop, resolvers over UDP: only clients that conntrack does not know go without an answer" {
	local resolver
	for resolver in unbound dnsmasq bind; do
		resolving drop 0 300 "$resolver"
		resolving pass 100 400 "$resolver"
	done
}

@test "drop, resolvers over TCP: connections go on for the others" {
	local resolver
	for resolver in unbound bind dnsdist; do
		resolving drop 0 300 "$resolver" --upstream-proto tcp
	done
	resolving pass 100 400 unbound --upstream-proto tcp
}

@test "drop, resolvers over TLS: sessions go on for the others" {
	local resolver
	for resolver in unbound stubby dnsdist; do
		resolving drop 0 300 "$resolver" --upstream-proto tls
	done
	resolving pass 100 400 unbound --upstream-proto tls
}

@test "drop: the counters and the trace say which queries were not sent" {
	local trace=$BATS_TEST_TMPDIR/trace
	CONNMARK_TRACE=$trace failing drop udp
	assert_equal "$(grep -c '"outcome":"withheld"' "$trace")" 6
	run "$REPO/scripts/connmark-trace" --outcome withheld "$trace"
	assert_output --partial 'was NOT SENT: its mark is not known'
	resolving drop 0 300 unbound --account
	assert_field 'runs[0]["stats"][0]["counters"]["no_entry"]' 100
	assert_field 'runs[0]["stats"][0]["counters"]["withheld"] >= 100' True
	assert_field 'runs[0]["stats"][0]["counters"]["set_unknown"]' 0
}
