#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Policy routing: ip rule fwmark sends every other client's mark out of a second interface, to an upstream of its own.
# Every question must arrive at its client's upstream, from that interface's address, and the answer must come back.

load helpers

setup() {
	need_root
}

# routed RESOLVER ARGUMENT...: every question right, and arrived where it should
routed() {
	local resolver=$1
	shift
	shimmed "$resolver" --queries 300 --timeout 2 --uplinks 2 "$@"
}

# one_way RESOLVER ARGUMENT...: connections shared by clients whose ways differ can go but one way. That is the first
# client's for good (CONNMARK_STREAM=first), so that none breaks; UDP is each client's own.
one_way() {
	local resolver=$1 name
	shift
	need_shim
	cell --resolver "$resolver" --shim "$SHIM" --compare-bare --queries 200 --timeout 2 --uplinks 2 \
		--env CONNMARK_STREAM=first "$@"
	assert_success
	assert_field 'runs[1]["clients"]["answered"]' "$(field 'runs[0]["clients"]["answered"]')"
	for name in syn_wrong tcp_mixed; do
		assert_field "runs[1]['witness']['$name']" 0
	done
	for name in astray foreign_source; do
		assert_field "runs[1]['arrivals']['udp_$name']" 0
	done
	echo "# $resolver: $(field 'runs[1]["arrivals"]["tcp_home"]') over TCP at home," \
		"$(field 'runs[1]["arrivals"]["tcp_astray"]') at the connection's first client's upstream;" \
		"SYN right $(field 'runs[1]["witness"]["syn_right"]')," \
		"unmarked $(field 'runs[1]["witness"]["syn_missing"]')" >&3
}

@test "control: what is not marked goes one way, and that is seen" {
	cell --resolver unbound --queries 200 --uplinks 2 --expect bare-unmarked
	assert_success
	assert_field 'runs[0]["arrivals"]["udp_home"]' 100
	assert_field 'runs[0]["arrivals"]["udp_astray"]' 100
	cell --resolver control-wrong --queries 200 --uplinks 2 --expect right
	assert_failure 1
	assert_output --partial "200 udp questions at another's upstream"
}

@test "UDP: a socket for each query" {
	local resolver
	for resolver in dnsmasq unbound bind kresd pdns-recursor stubby; do
		routed "$resolver" --directives rnd50
	done
}

@test "UDP over IPv6: a socket for each query" {
	local resolver
	for resolver in dnsmasq unbound bind kresd pdns-recursor stubby; do
		routed "$resolver" --directives rnd50 --upstream-ip 6
	done
}

@test "UDP: one socket for all, with the rules that give each mark its own flow" {
	local resolver
	for resolver in dnsmasq-one-port smartdns dnsdist; do
		routed "$resolver" --directives rnd50 --one-flow-per-mark
		routed "$resolver" --directives rnd50 --one-flow-per-mark --upstream-ip 6 --rules nft-ct
		assert_field 'runs[1]["marked_flows"]["entries"]' 40
	done
}

@test "TCP after a truncated answer: a connection for each query" {
	routed dnsmasq --directives tc
	routed bind --directives tc
	routed bind --directives tc --upstream-ip 6
}

@test "TCP after a truncated answer: connections that clients use one after the other" {
	local proto
	for proto in 4 6; do
		routed pdns-recursor --directives tc --upstream-ip "$proto"
	done
}

@test "TCP alone: connections on which nothing is under way go where the next client's mark leads" {
	local resolver proto
	for resolver in unbound kresd stubby smartdns; do
		for proto in 4 6; do
			routed "$resolver" --in-flight 1 --directives rnd50:1,none:4 --upstream-proto tcp \
				--upstream-ip "$proto"
			# none was lost and asked again
			assert_field 'runs[1]["witness"]["tcp_questions"]' 300
		done
	done
}

@test "TCP alone: connections made before their question is known" {
	local proto
	for proto in 4 6; do
		routed bind --directives rnd50 --upstream-proto tcp --upstream-ip "$proto"
	done
}

@test "TCP: connections that clients share are nobody's to break" {
	local resolver
	for resolver in unbound kresd stubby pdns-recursor; do
		one_way "$resolver" --directives tc
	done
	for resolver in unbound kresd stubby smartdns dnsdist; do
		one_way "$resolver" --upstream-proto tcp --directives rnd50
	done
}
