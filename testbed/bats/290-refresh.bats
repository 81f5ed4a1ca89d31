#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The cache has answered, and the resolver asks upstream all the same: before the answer's time is over (prefetch), or
# after it (stale answers). One client had the name into the cache, another's question causes the refresh: its mark.

load helpers

setup() {
	need_root
	need_shim
}

# refreshed KIND RESOLVER...: side by side, since these cells mostly wait
refreshed() {
	local kind=$1 resolver
	shift
	run timeout --kill-after=30 280 "$REPO/testbed/matrix" --shim "$SHIM" --jobs 4 --only " $kind\$" \
		--json "$BATS_TEST_TMPDIR/matrix.json" --html "$BATS_TEST_TMPDIR/matrix.html" 3>&-
	assert_success
	for resolver; do
		assert_line --regexp "^$resolver +cached answers: $kind +[1-9][0-9]+ +0 +0 .* right\$"
	done
}

@test "stale answers: the query behind them has the mark of whom they went to" {
	refreshed stale dnsmasq unbound bind pdns-recursor pdns-recursor-reuseport smartdns
}

@test "prefetches have the mark of whom the cache answered" {
	refreshed prefetch unbound bind kresd kresd-two pdns-recursor pdns-recursor-reuseport
}

@test "control: another client's mark on refreshes is noticed, and so is a cache that does not refresh" {
	cell --resolver control-wrong --queries 100 --refresh stale --directives dly100 --expect right
	assert_equal "$status" 3
	assert_output --partial 'no such refresh'
	cell --resolver dnsmasq --env CONNMARK_MASK=1 --queries 100 --refresh stale --directives dly100 --expect right
	assert_failure 1
	assert_output --partial '200 unmarked questions'
}

@test "an alias is cached, and not what it leads to: the target's query has the mark of who waits at the alias" {
	refreshed alias unbound bind pdns-recursor pdns-recursor-reuseport
}
