# SPDX-License-Identifier: GPL-2.0-or-later
# Every way in and every way out, 500 queries each.

load helpers

setup() {
	need_root
}

@test "dnsmasq: clients that are redirected" {
	shimmed dnsmasq --queries 500 --via redirect
}

@test "dnsmasq: clients that are redirected, IPv6" {
	shimmed dnsmasq --queries 500 --via redirect --client-ip 6
}

@test "dnsmasq: IPv6 clients" {
	shimmed dnsmasq --queries 500 --client-ip 6
}

@test "dnsmasq: TCP clients" {
	shimmed dnsmasq --queries 500 --client-proto tcp
}

@test "dnsmasq: TCP clients, five queries on a connection" {
	shimmed dnsmasq --queries 500 --client-proto tcp --tcp-pipeline 5
}

@test "dnsmasq: connmarks that are never restored to packets (nft)" {
	shimmed dnsmasq --queries 500 --rules nft-ct
}

@test "dnsmasq: IPv6 upstream" {
	shimmed dnsmasq --queries 500 --upstream-ip 6
}

@test "dnsmasq: listening on specific addresses" {
	shimmed dnsmasq --queries 500 --bind specific
}

@test "dnsmasq: truncated answers, upstream asked again over TCP" {
	shimmed dnsmasq --queries 500 --directives tc
}

@test "dnsmasq: AAAA and A" {
	shimmed dnsmasq --queries 500 --qtypes A,AAAA
}

@test "unbound: clients that are redirected" {
	shimmed unbound --queries 500 --via redirect
}

@test "unbound: clients that are redirected, IPv6" {
	shimmed unbound --queries 500 --via redirect --client-ip 6
}

@test "unbound: IPv6 clients" {
	shimmed unbound --queries 500 --client-ip 6
}

@test "unbound: TCP clients" {
	shimmed unbound --queries 500 --client-proto tcp
}

@test "unbound: TCP clients, five queries on a connection" {
	shimmed unbound --queries 500 --client-proto tcp --tcp-pipeline 5
}

@test "unbound: connmarks that are never restored to packets (nft)" {
	shimmed unbound --queries 500 --rules nft-ct
}

@test "unbound: IPv6 upstream" {
	shimmed unbound --queries 500 --upstream-ip 6
}

@test "unbound: listening on specific addresses" {
	shimmed unbound --queries 500 --bind specific
}

@test "unbound: truncated answers, upstream asked again over TCP" {
	shimmed unbound --queries 500 --directives tc
}

@test "unbound: AAAA and A" {
	shimmed unbound --queries 500 --qtypes A,AAAA
}

@test "unbound: upstream over TCP" {
	shimmed unbound --queries 500 --upstream-proto tcp
}

@test "BIND: clients that are redirected" {
	shimmed bind --queries 500 --via redirect
}

@test "BIND: clients that are redirected, IPv6" {
	shimmed bind --queries 500 --via redirect --client-ip 6
}

@test "BIND: IPv6 clients" {
	shimmed bind --queries 500 --client-ip 6
}

@test "BIND: TCP clients" {
	shimmed bind --queries 500 --client-proto tcp
}

@test "BIND: TCP clients, five queries on a connection" {
	shimmed bind --queries 500 --client-proto tcp --tcp-pipeline 5
}

@test "BIND: connmarks that are never restored to packets (nft)" {
	shimmed bind --queries 500 --rules nft-ct
}

@test "BIND: IPv6 upstream" {
	shimmed bind --queries 500 --upstream-ip 6
}

@test "BIND: listening on specific addresses" {
	shimmed bind --queries 500 --bind specific
}

@test "BIND: truncated answers, upstream asked again over TCP" {
	shimmed bind --queries 500 --directives tc
}

@test "BIND: AAAA and A" {
	shimmed bind --queries 500 --qtypes A,AAAA
}

@test "BIND: upstream over TCP" {
	shimmed bind --queries 500 --upstream-proto tcp
}
