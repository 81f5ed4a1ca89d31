# SPDX-License-Identifier: GPL-2.0-or-later
# What the library costs, in instructions: no change makes it dearer unseen. The limits are in
# testbed/bench/instructions.json; 'testbed/bench/instructions --update' writes them anew.

load helpers

setup() {
	need_root
	need_shim
	[ -x "$REPO/build/bench/drivers" ] || fail "no drivers: make bench-programs"
}

# counts CASE...: within their limits, and really counted
counts() {
	local each
	for each; do
		run timeout 120 "$REPO/testbed/bench/instructions" --all --shim "$SHIM" --only "$each" \
			--json "$BATS_TEST_TMPDIR/counted.json"
		assert_success
		run jq -e --arg case "$each" '.[$case] > 0' "$BATS_TEST_TMPDIR/counted.json"
		assert_success
	done
}

@test "a cached query's receive and answer" {
	counts cached cached-any cached-msg cached-packet
}

@test "20 queries in one call, and their answers; 100 as BIND takes them when it is busy" {
	counts batch batch-packet burst
}

@test "a query that goes upstream" {
	counts miss miss-shared miss-lent miss-alias miss-packet
}

@test "a read on a pipe, and an event wait" {
	counts pipe epoll
}

@test "what is beyond its limit is said" {
	cp -r "$REPO/testbed/bench" "$BATS_TEST_TMPDIR/bench"
	mkdir -p "$BATS_TEST_TMPDIR/x/testbed"
	mv "$BATS_TEST_TMPDIR/bench" "$BATS_TEST_TMPDIR/x/testbed/"
	ln -s "$REPO/build" "$BATS_TEST_TMPDIR/x/build"
	local limits=$BATS_TEST_TMPDIR/x/testbed/bench/instructions.json
	jq '.cached *= 0.9' "$limits" > "$limits.new"
	mv "$limits.new" "$limits"
	run timeout 120 "$BATS_TEST_TMPDIR/x/testbed/bench/instructions" --shim "$SHIM" --only cached
	assert_failure 1
	assert_output --partial 'cached: '
	jq 'del(.cached)' "$limits" > "$limits.new"
	mv "$limits.new" "$limits"
	run timeout 120 "$BATS_TEST_TMPDIR/x/testbed/bench/instructions" --shim "$SHIM" --only cached
	assert_failure 1
	assert_output --partial 'no limit'
}

@test "a library that marks nothing is not measured" {
	cat > "$BATS_TEST_TMPDIR/rules.sh" <<-'SCRIPT'
		set -e
		ip link set lo up
		nft add table inet bench
		nft add chain inet bench prerouting '{ type filter hook prerouting priority mangle; }'
		nft add rule inet bench prerouting udp dport 5353 ct mark set 137
		export CONNMARK_SOURCE=conntrack
		LD_PRELOAD=$SHIM "$DRIVERS" cached 10 137 && echo marked
		CONNMARK_DRY_RUN=yes LD_PRELOAD=$SHIM "$DRIVERS" cached 10 137
	SCRIPT
	SHIM=$SHIM DRIVERS=$REPO/build/bench/drivers run timeout 100 unshare --net bash "$BATS_TEST_TMPDIR/rules.sh"
	assert_failure 1
	assert_output --partial marked
	assert_output --partial 'has the mark 0, not 137'
}
