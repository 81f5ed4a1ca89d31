#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# One mark for each upstream flow, where everybody's queries leave by one socket: two firewall rules. conntrack's events
# say which marks each entry had, the upstream from which ports the questions came.

load helpers

setup() {
	need_root
}

LOAD=(--queries 2000 --in-flight 200 --directives rnd50 --one-flow-per-mark)

# forty RESOLVER ARGUMENT...: 40 clients, 40 entries with a mark each, 40 ports
forty() {
	shimmed "$@" "${LOAD[@]}"
	local name
	for name in entries marks ports; do
		assert_field "runs[1]['marked_flows']['$name']" 40
	done
	assert_field 'runs[1]["marked_flows"]["entries_changed"]' 0
	assert_field 'runs[1]["arrivals"]["udp_ports"]' 40
	assert_field 'runs[1]["arrivals"]["udp_ports_shared"]' 0
}

@test "control: without the rules one entry has everybody's marks in turn, and that is seen" {
	need_shim
	cell --resolver smartdns --shim "$SHIM" --queries 500 --watch-flows --expect right
	assert_failure 1
	assert_output --partial '1 conntrack entries had several marks'
	assert_output --partial 'a source port served several marks'
	assert_field 'runs[0]["marked_flows"]["entries"]' 1
	assert_field 'runs[0]["marked_flows"]["marks"]' 40
}

@test "smartdns" {
	forty smartdns
	forty smartdns --upstream-ip 6
}

@test "smartdns, nft" {
	forty smartdns --rules nft-ct
	forty smartdns --rules nft-ct --upstream-ip 6
}

@test "dnsdist" {
	forty dnsdist
	forty dnsdist --rules nft-ct
}

@test "dnsmasq with one port" {
	forty dnsmasq-one-port
	forty dnsmasq-one-port --rules nft-ct
}

@test "dnsmasq under load: sockets are shared, entries are not" {
	local rules
	for rules in iptables nft-ct; do
		shimmed dnsmasq "${LOAD[@]}" --rules "$rules"
		assert_field 'runs[1]["marked_flows"]["marks"]' 40
		assert_field 'runs[1]["marked_flows"]["entries_changed"]' 0
		assert_field 'runs[1]["arrivals"]["udp_ports_shared"]' 0
	done
}
