#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# A mark shared with another user of it, whose rules are like mwan3's: 0x3f00 is theirs, 0xff ours. And clients whose
# flows are in a conntrack zone of their own.

load helpers

setup() {
	need_root
}

# beside RESOLVER WHOSE ARGUMENT...: our bits right on each packet, the others as their user set them
beside() {
	local resolver=$1 whose=$2
	shift 2
	shimmed "$resolver" --queries 300 --mask 0xff --env CONNMARK_MASK=0xff --other-bits "$whose" "$@"
	assert_field 'runs[1]["witness"]["other_bits_changed"]' 0
}

@test "control: without CONNMARK_MASK the other's bits are those of the client" {
	need_shim
	cell --resolver unbound --shim "$SHIM" --queries 200 --mask 0xff --other-bits rules --expect right
	assert_failure 1
	assert_output --partial "packets with another user's bits changed"
}

@test "bits that rules set: UDP" {
	local resolver family
	for resolver in dnsmasq unbound bind dnsdist; do
		for family in 4 6; do
			beside "$resolver" rules --upstream-ip "$family" --client-ip "$family"
		done
	done
}

@test "bits that rules set: TCP" {
	local resolver family
	for resolver in unbound bind dnsdist; do
		for family in 4 6; do
			beside "$resolver" rules --upstream-proto tcp --upstream-ip "$family" --client-proto tcp
		done
	done
	beside dnsmasq rules --directives tc
}

@test "bits that the resolver gives its sockets itself" {
	local protocol family
	for protocol in udp tcp; do
		for family in 4 6; do
			beside smartdns socket --upstream-proto "$protocol" --upstream-ip "$family"
		done
	done
}

@test "control: another zone than CONNMARK_ZONE has no marks for us" {
	need_shim
	cell --resolver unbound --shim "$SHIM" --queries 200 --client-zone 7 --expect right
	assert_failure 1
	assert_output --partial '200 unmarked questions'
}

@test "clients in a zone of their own" {
	local resolver
	for resolver in dnsmasq unbound bind kresd; do
		shimmed "$resolver" --queries 200 --client-zone 7 --env CONNMARK_ZONE=7
	done
	shimmed unbound --queries 200 --client-zone 7 --env CONNMARK_ZONE=7 --rules nft-ct --client-proto tcp
	shimmed bind --queries 200 --client-zone 65535 --env CONNMARK_ZONE=65535 --client-ip 6
	shimmed dnsmasq --queries 200 --client-zone 7 --env CONNMARK_ZONE=7 --via redirect
}
