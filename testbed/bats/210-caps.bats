# SPDX-License-Identifier: GPL-2.0-or-later
# Capabilities after the drop, the resolvers of the matrix: the bare run's, CAP_NET_ADMIN, no more.

load helpers

NET_ADMIN=0000000000001000

setup() {
	need_root
}

# adds RESOLVER SET [INHERITED]: every thread has exactly this set, and the users are the bare run's
adds() {
	local name
	shimmed "$1" --queries 200 --inspect
	for name in CapEff CapPrm; do
		run tasks 1 "$name"
		assert_output "$2"
	done
	for name in CapInh CapAmb; do
		run tasks 1 "$name"
		assert_output "${3:-0000000000000000}"
	done
	for name in Uid CapBnd; do
		run tasks 1 "$name"
		assert_output "$(tasks 0 "$name")"
	done
}

@test "Knot Resolver keeps CAP_NET_ADMIN alone" {
	adds kresd "$NET_ADMIN"
}

@test "PowerDNS Recursor keeps CAP_NET_ADMIN alone" {
	adds pdns-recursor "$NET_ADMIN"
}

@test "dnsdist keeps CAP_NET_ADMIN alone" {
	adds dnsdist "$NET_ADMIN"
}

@test "smartdns keeps what it keeps itself" {
	adds smartdns 0000000000003400
}

@test "systemd-resolved keeps CAP_NET_ADMIN beside its own CAP_NET_RAW" {
	adds systemd-resolved 0000000000003000
}

@test "stubby has what its unit's drop-in gives it" {
	adds stubby 0000000000001400 0000000000001400
}
