# SPDX-License-Identifier: GPL-2.0-or-later
# What else makes a resolver ask: chasing CNAMEs, retrying, falling back to TCP, sharing a question.

load helpers

setup() {
	need_root
}

@test "dnsmasq: lost answers, retried" {
	shimmed dnsmasq --queries 500 --directives drop1 --retries 2 --timeout 1
}

@test "dnsmasq: NXDOMAIN" {
	shimmed dnsmasq --queries 500 --directives nx
}

@test "dnsmasq: everything mixed" {
	shimmed dnsmasq --queries 500 --directives rnd50:8,cnin:1,cnout+rnd30:1,drop1:1,tc:1,nx:1 --retries 2
}

@test "dnsmasq: five clients with the same question" {
	shimmed dnsmasq --queries 500 --same 5 --directives rnd50
}

@test "unbound: CNAMEs within the zone" {
	shimmed unbound --queries 500 --directives cnin
}

@test "unbound: CNAMEs out of the zone" {
	shimmed unbound --queries 500 --directives cnout
}

@test "unbound: chains of CNAMEs, answers in any order" {
	shimmed unbound --queries 500 --directives cnch+rnd50
}

@test "unbound: lost answers, retried" {
	shimmed unbound --queries 500 --directives drop1
}

@test "unbound: NXDOMAIN" {
	shimmed unbound --queries 500 --directives nx
}

@test "unbound: everything mixed" {
	shimmed unbound --queries 500 --directives rnd50:8,cnin:1,cnout+rnd30:1,drop1:1,tc:1,nx:1
}

@test "unbound: five clients with the same question" {
	shimmed unbound --queries 500 --same 5 --directives rnd50
}

@test "unbound: SERVFAIL at first" {
	shimmed unbound --queries 500 --directives servf1
}

@test "BIND: CNAMEs within the zone" {
	shimmed bind --queries 500 --directives cnin
}

@test "BIND: CNAMEs out of the zone" {
	shimmed bind --queries 500 --directives cnout
}

@test "BIND: chains of CNAMEs, answers in any order" {
	shimmed bind --queries 500 --directives cnch+rnd50
}

@test "BIND: lost answers, retried" {
	shimmed bind --queries 500 --directives drop1
}

@test "BIND: NXDOMAIN" {
	shimmed bind --queries 500 --directives nx
}

@test "BIND: everything mixed" {
	shimmed bind --queries 500 --directives rnd50:8,cnin:1,cnout+rnd30:1,drop1:1,tc:1,nx:1
}

@test "BIND: five clients with the same question" {
	shimmed bind --queries 500 --same 5 --directives rnd50
}
