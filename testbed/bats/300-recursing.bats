# SPDX-License-Identifier: GPL-2.0-or-later
# Full recursion from a root of the testbed's own: own names right, shared ancestors with the mark
# of a client that waits beneath them, the root's own business unmarked.

load helpers

FAULTS=rnd50:8,cnin:1,cnout+rnd30:1,cnch+rnd20:1,drop1:1,tc:1,nx:1,none:2

setup() {
	need_root
}

# recursing RESOLVER ARGUMENT...: everything mixed; delegations were really asked for
recursing() {
	local resolver=$1-recursing
	shift
	shimmed "$resolver" --queries 1000 --in-flight 64 --directives "$FAULTS" "$@"
	assert_field 'runs[1]["clients"]["answered"]' 1000
	assert_field 'runs[1]["witness"]["ancestor_right"] > 0' True
	assert_field 'runs[1]["witness"]["background_unmarked"] > 0' True
	# after a truncated answer the SYN is marked; after a time-out nothing says whose it is
	assert_field 'runs[1]["witness"]["syn_missing"] <= runs[1]["witness"]["syn_right"]' True
}

# expiring RESOLVER: name servers known by name, whose addresses must be asked for again and again
expiring() {
	cell --resolver "$1-recursing" --shim "$SHIM" --expect right --queries 10000 \
		--directives dly100 --zones hosted:4,cached:1
	assert_success
}

# alone RESOLVER: one client at a time, so that each turn has one message; the root's own business
# must not be taken for that client's
alone() {
	cell --resolver "$1-recursing" --shim "$SHIM" --expect right --queries 500 --in-flight 1 \
		--directives dly5
	assert_success
}

@test "unbound recursing, minimised names" {
	recursing unbound
}

@test "unbound recursing, full names" {
	recursing unbound --no-minimise
}

@test "unbound recursing over IPv6" {
	recursing unbound --upstream-ip 6 --client-ip 6
}

@test "unbound recursing over TCP" {
	recursing unbound --upstream-proto tcp
}

@test "unbound recursing, five clients with the same question" {
	shimmed unbound-recursing --queries 500 --same 5 --directives rnd50
}

@test "unbound recursing, addresses of name servers expire" {
	expiring unbound
}

@test "BIND recursing, minimised names" {
	recursing bind
}

@test "BIND recursing, full names" {
	recursing bind --no-minimise
}

@test "BIND recursing over IPv6" {
	recursing bind --upstream-ip 6 --client-ip 6
}

@test "BIND recursing, five clients with the same question" {
	shimmed bind-recursing --queries 500 --same 5 --directives rnd50
}

@test "BIND recursing, addresses of name servers expire" {
	expiring bind
}

@test "kresd recursing, minimised names" {
	recursing kresd
}

@test "kresd recursing, full names" {
	recursing kresd --no-minimise
}

@test "kresd recursing over IPv6" {
	recursing kresd --upstream-ip 6 --client-ip 6
}

@test "kresd recursing, five clients with the same question" {
	shimmed kresd-recursing --queries 500 --same 5 --directives rnd50
}

@test "kresd recursing, addresses of name servers expire" {
	expiring kresd
}

@test "PowerDNS recursing, minimised names" {
	recursing pdns
}

@test "PowerDNS recursing, full names" {
	recursing pdns --no-minimise
}

@test "PowerDNS recursing over IPv6" {
	recursing pdns --upstream-ip 6 --client-ip 6
}

@test "PowerDNS recursing, five clients with the same question" {
	shimmed pdns-recursing --queries 500 --same 5 --directives rnd50
}

@test "PowerDNS recursing, addresses of name servers expire" {
	expiring pdns
}

@test "unbound recursing, one query at a time" {
	alone unbound
}

@test "BIND recursing, one query at a time" {
	alone bind
}

@test "kresd recursing, one query at a time" {
	alone kresd
}

@test "PowerDNS recursing, one query at a time" {
	alone pdns
}
