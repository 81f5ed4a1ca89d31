# SPDX-License-Identifier: GPL-2.0-or-later
# The quick cells of the matrix, each resolver's: all faults mixed, and the paths that differ most.

load helpers

setup() {
	need_root
	need_shim
}

# quick RESOLVER: its quick cells, all as they must be
quick() {
	run timeout --kill-after=30 280 "$REPO/testbed/matrix" --shim "$SHIM" --quick --only "^$1 " \
		--json "$BATS_TEST_TMPDIR/matrix.json" --html "$BATS_TEST_TMPDIR/matrix.html" 3>&-
	assert_success
	refute_output --partial ' error'
	[ -s "$BATS_TEST_TMPDIR/matrix.html" ]
}

@test "dnsmasq" {
	quick dnsmasq
}

@test "unbound" {
	quick unbound
}

@test "BIND" {
	quick bind
}

@test "Knot Resolver" {
	quick kresd
}

@test "Knot Resolver, two processes" {
	quick kresd-two
}

@test "PowerDNS Recursor, distributing" {
	quick pdns-recursor
}

@test "PowerDNS Recursor, reuseport" {
	quick pdns-recursor-reuseport
}

@test "smartdns" {
	quick smartdns
}

@test "dnsdist" {
	quick dnsdist
}

@test "stubby" {
	quick stubby
}

@test "systemd-resolved" {
	quick systemd-resolved
}

@test "the matrix says what a resolver cannot do, and fails where a cell falls short" {
	run "$REPO/testbed/matrix" --only '^systemd-resolved uptcp$' --json "$BATS_TEST_TMPDIR/m.json" \
		--html "$BATS_TEST_TMPDIR/m.html"
	assert_success
	assert_output --partial 'no way to ask over TCP alone'
	# A library that does nothing leaves every question unmarked.
	echo 'int nothing;' >"$BATS_TEST_TMPDIR/nothing.c"
	gcc -shared -fPIC -o "$BATS_TEST_TMPDIR/nothing.so" "$BATS_TEST_TMPDIR/nothing.c"
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR"
	run "$REPO/testbed/matrix" --only '^unbound none$' --shim "$BATS_TEST_TMPDIR/nothing.so" \
		--json "$BATS_TEST_TMPDIR/m.json" --html "$BATS_TEST_TMPDIR/m.html"
	assert_failure 1
	assert_output --partial '1000 unmarked questions'
	run grep -c 'class="unmarked" title' "$BATS_TEST_TMPDIR/m.html"
	assert_output 1
}
