#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Resolvers that go to the background and that load anew: right before and after, no zombies, and no more descriptors
# after 1000 queries again. What SIGHUP ends also without the library, and what has no background mode, is not asked.

load helpers

setup() {
	need_root
}

# lives RESOLVER LOADS_ANEW ARGUMENT...
lives() {
	local resolver=$1 anew=$2
	shift 2
	shimmed "$resolver" --queries 1000 --reload --directives none:4,rnd50:1 "$@"
	assert_field 'runs[1]["life"]["reloaded"]' "$anew"
	assert_field 'runs[1]["life"]["zombies"]' 0
	assert_field 'runs[1]["life"]["descriptors2"] <= runs[1]["life"]["descriptors1"]' True
}

@test "dnsmasq: SIGHUP, in the background" {
	lives dnsmasq True
	lives dnsmasq True --daemonise --client-proto tcp --tcp-pipeline 10 --timeout 10
}

@test "unbound: SIGHUP, in the background" {
	lives unbound True
	lives unbound True --daemonise
}

@test "BIND: SIGHUP, in the background" {
	lives bind True
	lives bind True --daemonise
}

@test "PowerDNS Recursor: rec_control reload-zones, in the background" {
	lives pdns-recursor True
	lives pdns-recursor True --daemonise
}

@test "smartdns in the background" {
	lives smartdns False --daemonise
}

@test "stubby in the background" {
	lives stubby False --daemonise
}

@test "systemd-resolved: SIGUSR2 empties its caches" {
	lives systemd-resolved True
}

@test "Knot Resolver and dnsdist have neither: no leak" {
	lives kresd False
	lives dnsdist False
}
