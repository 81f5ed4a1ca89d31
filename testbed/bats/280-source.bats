#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Where clients' marks come from: their packets (CONNMARK_SOURCE=packet), without netlink and with CAP_NET_RAW alone;
# and what CONNMARK_SOURCE=auto chooses.

load helpers

NET_RAW=0000000000002000
NET_RAW_AND_BIND_SERVICE=0000000000002400
PACKET=(--env CONNMARK_SOURCE=packet)
NO_NETLINK=(--without-capability net_admin)
ACCEPT=(--sysctl net.ipv4.tcp_fwmark_accept=1)

setup() {
	need_root
}

# stderr_of RUN: what the resolver and the library said
stderr_of() {
	field "runs[$1][\"resolver\"][\"stderr\"]"
}

@test "packet: UDP clients of every resolver that serves them, at a wildcard and at one address" {
	local resolver
	for resolver in dnsmasq unbound bind kresd pdns-recursor dnsdist; do
		shimmed "$resolver" "${PACKET[@]}" "${NO_NETLINK[@]}" --queries 300
	done
	for resolver in smartdns stubby; do # which want CAP_NET_ADMIN for themselves
		shimmed "$resolver" "${PACKET[@]}" --queries 300
	done
	for resolver in unbound bind kresd dnsmasq; do
		shimmed "$resolver" "${PACKET[@]}" "${NO_NETLINK[@]}" --queries 300 --bind specific --directives rnd50
	done
}

@test "packet: IPv6 clients, REDIRECT, DNAT, a conntrack zone of their own" {
	local resolver
	for resolver in dnsmasq unbound bind; do
		shimmed "$resolver" "${PACKET[@]}" "${NO_NETLINK[@]}" --queries 200 --client-ip 6 --upstream-ip 6
		shimmed "$resolver" "${PACKET[@]}" "${NO_NETLINK[@]}" --queries 200 --via redirect
		shimmed "$resolver" "${PACKET[@]}" "${NO_NETLINK[@]}" --queries 200 --via dnat
	done
	shimmed unbound "${PACKET[@]}" "${NO_NETLINK[@]}" --queries 200 --client-zone 7
}

@test "packet: recursing" {
	shimmed unbound-recursing "${PACKET[@]}" "${NO_NETLINK[@]}" --queries 200
	shimmed bind-recursing "${PACKET[@]}" "${NO_NETLINK[@]}" --queries 200
}

@test "packet: TCP clients, where connections inherit the mark of their SYN" {
	local resolver
	for resolver in dnsmasq unbound bind; do
		shimmed "$resolver" "${PACKET[@]}" "${NO_NETLINK[@]}" "${ACCEPT[@]}" --queries 200 --client-proto tcp
	done
	shimmed unbound "${PACKET[@]}" "${NO_NETLINK[@]}" "${ACCEPT[@]}" --queries 200 --client-proto tls
}

@test "packet: TCP clients by conntrack, where that may be asked and nothing is inherited" {
	shimmed smartdns "${PACKET[@]}" --queries 200 --client-proto tcp # it keeps CAP_NET_ADMIN for itself
}

@test "control: packet without either has no marks for TCP clients, and says so" {
	need_shim
	cell --resolver unbound --shim "$SHIM" "${PACKET[@]}" "${NO_NETLINK[@]}" --queries 200 --client-proto tcp \
		--expect right
	assert_failure 1
	assert_output --partial '200 unmarked questions'
	run stderr_of 0
	assert_output --partial 'net.ipv4.tcp_fwmark_accept=1'
}

@test "control: packet where no rule gives the packet its connection's mark" {
	need_shim
	cell --resolver unbound --shim "$SHIM" "${PACKET[@]}" --rules nft-ct --queries 200 --expect right
	assert_failure 1
	assert_output --partial '200 unmarked questions'
}

@test "packet keeps CAP_NET_RAW alone" {
	local resolver name
	for resolver in dnsmasq unbound bind; do
		shimmed "$resolver" "${PACKET[@]}" --queries 200 --inspect
		for name in CapEff CapPrm; do
			run tasks 1 "$name"
			if [ "$resolver" = bind ]; then
				assert_output "$NET_RAW_AND_BIND_SERVICE"
			else
				assert_output "$NET_RAW"
			fi
		done
		for name in CapInh CapAmb; do
			run tasks 1 "$name"
			assert_output 0000000000000000
		done
	done
}

@test "auto: conntrack where it may be asked, and the log says so" {
	shimmed unbound --queries 200 --rules nft-ct
	run stderr_of 1
	assert_output --partial "clients' marks come from conntrack (CONNMARK_SOURCE=auto: conntrack may be asked)"
}

@test "auto: packets where conntrack may not be asked, and the log says why" {
	shimmed unbound "${NO_NETLINK[@]}" --queries 200
	run stderr_of 1
	assert_output --partial "clients' marks come from their packets (CONNMARK_SOURCE=auto: conntrack may not be asked [EPERM])"
	shimmed bind "${NO_NETLINK[@]}" --queries 200
}

# In a namespace whose rules restore the mark of each packet that comes in.
@test "packet: nothing shows, and threads, forks and streams get the right marks as well" {
	need_shim
	run env CONNMARK_SOURCE=packet timeout 300 bats "$BATS_TEST_DIRNAME/150-transparency.bats" 3>&-
	assert_success
	run env CONNMARK_SOURCE=packet timeout 300 bats --filter 'thread|fork|firewall|upstream|TCP' \
		"$BATS_TEST_DIRNAME/160-threads-forks-signals.bats" "$BATS_TEST_DIRNAME/170-marks.bats" 3>&-
	assert_success
	assert_output --partial 'ok 10 '
}
