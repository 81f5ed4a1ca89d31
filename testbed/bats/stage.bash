# SPDX-License-Identifier: GPL-2.0-or-later
# Loaded by suites that look at a resolver while it runs: `load stage`, and `stage_down` in their teardown.

processes=()

# stage ARGUMENT...: a cell that stays (testbed/stage); sets resolver_pid, resolver_ns, client_ns, upstream_ns and
# stage_folder.
# shellcheck disable=SC2034 # for the suites
stage() {
	local ready=$BATS_TEST_TMPDIR/stage.json
	rm -f "$ready"
	timeout 280 "$REPO/testbed/stage" --ready "$ready" "$@" 3>&- < <(exec sleep 300 3>&-) \
		>"$BATS_TEST_TMPDIR/stage.log" 2>&1 &
	stage_pid=$!
	until [ -e "$ready" ]; do
		kill -0 "$stage_pid" 2>/dev/null || fail "no stage: $(cat "$BATS_TEST_TMPDIR/stage.log")"
		sleep 0.1
	done
	resolver_pid=$(jq .pid "$ready")
	resolver_ns=$(jq -r .resolver "$ready")
	client_ns=$(jq -r .clients "$ready")
	upstream_ns=$(jq -r '.upstreams[0]' "$ready")
	stage_folder=$(jq -r .folder "$ready")
}

# Takes down the stage, and every process whose number is in `processes`.
stage_down() {
	local pid
	for pid in ${stage_pid:+"$stage_pid"} "${processes[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	stage_pid='' processes=()
}

# ask COUNT [ARGUMENT...]: that many new names, the clients in turn; the last result is in clients.json.
asked=0
ask() {
	local count=$1
	shift
	ip netns exec "$client_ns" "$REPO/testbed/bin/clients.py" --server 192.168.111.1 --queries "$count" \
		--first-serial "$asked" --json "$BATS_TEST_TMPDIR/clients.json" "$@" 3>&-
	asked=$((asked + count))
}
