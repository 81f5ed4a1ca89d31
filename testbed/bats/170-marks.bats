#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Never another client's mark: what a firewall, an upstream, TCP, duplicates of descriptors and lost capabilities can do
# about it. The programs are clients, resolver and upstream in one (testbed/bin/transparency-marks).

load helpers

setup() {
	need_root
	need_shim
}

marked() { # PROGRAM [ARGUMENT...]
	local program=$1
	shift
	run timeout 100 env LIBRARY="$SHIM" LOG="$BATS_TEST_TMPDIR/log" \
		"$REPO/testbed/bin/transparency-marks" "$REPO/build/programs/$program" "$@" 3>&-
	assert_success
}

bare() { # PROGRAM [ARGUMENT...]
	local program=$1
	shift
	run timeout 100 "$REPO/testbed/bin/transparency-marks" "$REPO/build/programs/$program" "$@" 3>&-
	assert_success
}

# after LINE: the mark on the line behind it
after() {
	grep -FxA1 -- "$1" <<<"$output" | tail -n 1
}

DROP='-A OUTPUT -p udp --dport 5301 -m mark --mark 2 -j DROP'

@test "a firewall's DROP of one mark stays a drop" {
	RULES=$DROP marked m_firewall
	refute_line '  arrived with mark 0'
	refute_line '  arrived with mark 2'
	assert_equal "$(grep -c 'arrived with mark 1' <<<"$output")" 6
	assert_equal "$(grep -c 'arrived with mark 3' <<<"$output")" 6
	assert_equal "$(grep -c ' = -1 EPERM$' <<<"$output")" 6
	assert_line 'sendmmsg(fd, many, 3, 0) = 1'
	assert_line 'sendmmsg(fd, many + 1, 2, 0) = -1 EPERM'
}

@test "the same firewall drops nothing where nothing is marked" {
	RULES=$DROP bare m_firewall
	assert_equal "$(grep -c 'arrived with mark 0' <<<"$output")" 21
	refute_output --partial EPERM
}

@test "a query that comes from an upstream makes nobody a client" {
	marked m_trick
	assert_line 'client 1: mark 1'
	assert_line 'the same turn, nobody has asked: mark 0'
	assert_line 'nobody has asked: mark 0'
	assert_line 'client 2 has asked: mark 2'
}

@test "a client waits no longer from the moment its answer is handed over" {
	local way
	SHIM=$SHIM:$REPO/build/programs/behind.so marked m_answer
	for way in sendto sendmsg sendmmsg TCP; do
		assert_line "$way: mark 2, once client 2 has its answer 1"
	done
}

@test "TCP: whole queries, and queries in pieces" {
	marked m_stream
	assert_equal "$(after 'client 1 = 28')" '  mark 1'
	assert_equal "$(after 'client 2, half a question = 20')" '  mark 0'
	assert_equal "$(after 'client 2, the rest = 8')" '  mark 0'
	assert_equal "$(after 'client 3, a length alone = 2')" '  mark 0'
	assert_equal "$(after 'client 3, the message = 26')" '  mark 3'
	assert_equal "$(after 'client 1, half a length = 1')" '  mark 0'
	assert_equal "$(after 'client 1, the rest = 32')" '  mark 1'
	assert_equal "$(after 'nobody = 31')" '  mark 0'
}

@test "TCP: TLS bears its turn's mark, and none outside of a turn" {
	marked m_stream
	assert_equal "$(head -n 8 <<<"$output")" "$(
		cat <<-'END'
			TLS hello in client 1's turn = 64
			  mark 1
			TLS in no turn = 64
			  mark 0
			TLS in client 2's turn = 64
			  mark 2
			TLS in no turn = 64
			  mark 0
		END
	)"
}

@test "TCP: duplicates of a descriptor keep no stale mark" {
	marked m_stream
	assert_equal "$(after 'nobody, over a duplicate = 37')" '  mark 0'
	assert_equal "$(after 'client 2, over the duplicate = 29')" '  mark 2'
	assert_equal "$(after 'nobody, over the first = 43')" '  mark 0'
}

# by_name: rules that count, for each client's name, which marks its segments bear (m_writers.c)
by_name() {
	local name mark=0
	for name in first second; do
		mark=$((mark + 1))
		printf -- '-t mangle -A OUTPUT -p tcp --dport 5301 -m string --algo bm --string %s-client -m mark %s %s -m comment --comment %s\n' \
			"$name" '' "--mark $mark" "$name-right" "$name" '!' "--mark $mark" "$name-wrong"
	done
}

@test "TCP: threads that write on one connection at the same moment bear their own clients' marks" {
	local how
	for how in wait poll; do
		RULES=$(by_name) SHIM=$SHIM:$REPO/build/programs/behind.so marked m_writers "$how" held
		assert_line 'first-wrong 0'
		assert_line 'second-wrong 0'
		assert_line --regexp '^first-right [0-9]{3}$'
		assert_line --regexp '^second-right [0-9]{3}$'
	done
}

@test "control: without the library their segments bear none" {
	RULES=$(by_name) bare m_writers wait
	assert_line 'first-right 0'
	assert_line --regexp '^first-wrong [0-9]{3,4}$'
}

@test "a file in place of a connection that bore a client's mark can be written" {
	marked m_stream
	assert_line 'write(fd, frame, n) = 30'
	assert_line 'write(fd, "x", 1) = 1'
	assert_line 'lseek(fd, 0, SEEK_END) = 31'
}

TAIL=(start-of-one whole-of-two batch-of-one batch-of-two batch-of-three) # in m_tail.c

# counting NAME...: a rule for each name and mark
counting() {
	local name mark
	for name in "$@"; do
		for mark in 0 1 2 3; do
			echo "-t mangle -A OUTPUT -p tcp --dport 5301 -m string --algo bm --string $name" \
				"-m mark --mark $mark -m comment --comment $name:$mark"
		done
	done
}

# only NAME MARK: its packet had that mark, and was there once
only() {
	local mark
	for mark in 0 1 2 3; do
		assert_line "$1:$mark $((mark == $2))"
	done
}

@test "TCP: the end of one client's query and another's in one write leave apart" {
	RULES=$(counting "${TAIL[@]}") marked m_tail
	only start-of-one 1
	only whole-of-two 2
	only batch-of-one 1
	only batch-of-two 2
	only batch-of-three 3
}

@test "bare, they leave together and unmarked" {
	RULES=$(counting "${TAIL[@]}") bare m_tail
	only start-of-one 0
	only whole-of-two 0
	only batch-of-three 0
}

TLS=(alone-of-one pair-of-two pair-of-three half-of-one rest-of-two other-of-two first-of-three joined-of-one
	joined-of-two last-of-one) # in m_tls.c

@test "TLS: records that are written later bear their own queries' marks" {
	RULES=$(counting "${TLS[@]}") SHIM=$SHIM:$REPO/build/programs/records.so marked m_tls
	only alone-of-one 1
	only pair-of-two 2
	only pair-of-three 3
	only half-of-one 1
	only rest-of-two 2
	only other-of-two 2
	only first-of-three 3
	only joined-of-one 0 # one record, which cannot have two marks
	only joined-of-two 0
	only last-of-one 1
}

@test "a thread that lost the capability does not send with another client's mark" {
	marked m_lost
	assert_output "$(
		cat <<-'END'
			client 1
			TCP: sent, socket's mark 1
			connected UDP over IPv6: sent, arrived with mark 1
			UDP over IPv4: sent, arrived with mark 1
			client 2, in a thread that may no longer set marks
			TCP: EPERM, socket's mark 1
			connected UDP over IPv6: EPERM, arrived with mark -1
			UDP over IPv4: sent, arrived with mark 0
			client 2, in the thread that changed its user
			TCP: sent, socket's mark 2
			connected UDP over IPv6: sent, arrived with mark 2
			UDP over IPv4: sent, arrived with mark 2
		END
	)"
}

NET_ADMIN=0000000000001000
AND_BIND_SERVICE=0000000000001400

@test "capset keeps the capability with each version of its interface" {
	local version
	marked m_capset
	for version in 1 2 3; do
		run grep -A4 "^version $version\$" <<<"$output"
		assert_line --index 2 \
			"  effective $AND_BIND_SERVICE permitted $AND_BIND_SERVICE inheritable 0000000000000000"
		assert_line --index 4 "  effective $NET_ADMIN permitted $NET_ADMIN inheritable 0000000000000000"
		marked m_capset
	done
	bare m_capset
	refute_output --partial "$AND_BIND_SERVICE"
}

@test "changes of user keep the capability, and the rest as without the library" {
	local all seen line
	bare m_capset
	local without=$output
	marked m_capset
	all=$(sed -n '/^setuid with SECBIT_NO_SETUID_FIXUP$/{n;n;p;}' <<<"$without")
	# as the kernel has it, whatever the library asked for
	assert_equal "$(sed -n '/^setuid with SECBIT_NO_SETUID_FIXUP$/,+4p' <<<"$output")" \
		"$(sed -n '/^setuid with SECBIT_NO_SETUID_FIXUP$/,+4p' <<<"$without")"
	[[ $all == *1fffeffffff* || $all == *ffffffff* ]]
	line="  effective $NET_ADMIN permitted $NET_ADMIN inheritable 0000000000000000"
	seen=$(sed -n '/^setuid$/{n;n;p;}' <<<"$output")
	assert_equal "$seen" "$line"
	assert_equal "$(sed -n '/^setuid with SECBIT_KEEP_CAPS_LOCKED$/,+4p' <<<"$output")" \
		"$(sed -n '/^setuid with SECBIT_KEEP_CAPS_LOCKED$/,+4p' <<<"$without")"
	# what is permitted is as without the library, where the program kept it itself
	for line in 'setuid with PR_SET_KEEPCAPS' 'seteuid there and back'; do
		assert_equal "$(grep -A2 "^$line\$" <<<"$output" | grep -o 'permitted [0-9a-f]*')" \
			"$(grep -A2 "^$line\$" <<<"$without" | grep -o 'permitted [0-9a-f]*')"
	done
}
