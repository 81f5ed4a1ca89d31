#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# How clients come: translated to another address and port, to specific and wildcard addresses, over DNS over TLS, with
# several queries on a connection.

load helpers

setup() {
	need_root
}

RESOLVERS=(dnsmasq unbound bind kresd pdns-recursor smartdns dnsdist stubby)

@test "DNAT to another address and port, wildcard sockets" {
	local resolver
	for resolver in "${RESOLVERS[@]}"; do
		shimmed "$resolver" --queries 200 --via dnat
	done
}

@test "DNAT to another address and port, specific sockets, IPv6" {
	local resolver
	for resolver in "${RESOLVERS[@]}"; do
		shimmed "$resolver" --queries 200 --via dnat --bind specific --client-ip 6
	done
}

@test "DNAT, TCP, several queries on a connection, marks in conntrack alone" {
	local resolver
	for resolver in "${RESOLVERS[@]}"; do
		shimmed "$resolver" --queries 200 --via dnat --client-proto tcp --tcp-pipeline 5 --rules nft-ct \
			--timeout 10
	done
}

@test "DNS over TLS to the resolver" {
	local resolver
	for resolver in unbound kresd dnsdist; do
		shimmed "$resolver" --queries 200 --client-proto tls --directives rnd50
	done
}

@test "DNS over TLS to the resolver, several queries on a connection" {
	local resolver
	for resolver in unbound kresd dnsdist; do
		shimmed "$resolver" --queries 300 --client-proto tls --tcp-pipeline 5 --directives rnd50
		shimmed "$resolver" --queries 300 --client-proto tls --tcp-pipeline 5 --client-ip 6 --bind specific
	done
}
