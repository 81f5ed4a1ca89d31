# SPDX-License-Identifier: GPL-2.0-or-later
# What resolvers do without the library, and proof that the witness sees right, wrong and nothing.

load helpers

setup() {
	need_root
}

# bare RESOLVER: no mark anywhere and no query lost
bare() {
	cell --resolver "$1" --expect bare-unmarked
	assert_success
	assert_field 'runs[0]["clients"]["answered"]' 2000
	assert_field 'runs[0]["witness"]["marks"]["0"]' "$(field 'runs[0]["witness"]["unmarked"]')"
	assert_field 'runs[0]["witness"]["other_marked"]' 0
}

@test "bare dnsmasq: every upstream query is unmarked, none is lost" {
	bare dnsmasq
}

@test "bare unbound: every upstream query is unmarked, none is lost" {
	bare unbound
}

@test "bare BIND: every upstream query is unmarked, none is lost" {
	bare bind
}

@test "a bare run does not pass for a right one" {
	cell --resolver unbound --queries 100 --expect right
	assert_failure 1
	assert_output --partial 'unmarked questions'
	assert_output --partial '0 right questions for 100 queries'
}

@test "control: the right marks are seen as right" {
	cell --resolver control-right --queries 500 --expect right
	assert_success
	assert_field 'runs[0]["witness"]["right"]' 500
	assert_field 'len(runs[0]["witness"]["marks"])' 40
}

@test "control: some client's mark is right for a question of several" {
	cell --resolver control-right --queries 500 --same 5 --expect right
	assert_success
	cell --resolver control-wrong --queries 500 --same 5 --expect right
	assert_failure 1
	assert_field 'runs[0]["witness"]["right"]' 0
}

@test "control: the right marks over TCP are seen as right, the SYN's as well" {
	cell --resolver control-right --queries 500 --upstream-proto tcp --expect right
	assert_success
	assert_field 'runs[0]["witness"]["tcp_questions"]' 500
	assert_field 'runs[0]["witness"]["syn_right"]' 500
}

@test "control: another client's mark is seen as wrong" {
	cell --resolver control-wrong --queries 500 --expect right
	assert_failure 1
	assert_output --partial "500 questions with another client's mark"
	assert_field 'runs[0]["witness"]["wrong"]' 500
	assert_field 'runs[0]["witness"]["right"]' 0
	assert_field 'runs[0]["witness"]["details"][0]["seen"] - runs[0]["witness"]["details"][0]["expected"]' 1
}

@test "control: another client's mark over TCP and IPv6 is seen as wrong" {
	cell --resolver control-wrong --queries 200 --upstream-proto tcp --upstream-ip 6 --expect right
	assert_failure 1
	assert_field 'runs[0]["witness"]["wrong"]' 200
	assert_field 'runs[0]["witness"]["syn_wrong"]' 200
}

@test "dnsmasq --conntrack is right where clients are not redirected" {
	local path
	for path in '' '--client-ip 6' '--client-proto tcp' '--rules nft-ct' '--upstream-ip 6' \
		'--directives tc' '--bind specific'; do
		# shellcheck disable=SC2086 # words
		cell --resolver dnsmasq-conntrack --queries 500 --expect right $path
		assert_success
	done
}

@test "clients are really redirected: dnsmasq --conntrack does not find their marks" {
	local path
	for path in '' '--client-ip 6' '--rules nft-ct'; do
		# shellcheck disable=SC2086 # words
		cell --resolver dnsmasq-conntrack --queries 500 --via redirect \
			--expect bare-unmarked --inspect $path
		assert_success
		assert_field 'sum("198.51.100.53" in flow or "fd00:99::53" in flow
			for flow in runs[0]["flows"]) > 0' True
	done
}

@test "packets that the witness missed make the run an error" {
	local tries
	for tries in 1 2 3 4 5 6 7 8 9 10; do
		cell --resolver dnsmasq --witness-buffer 1 --expect bare-unmarked
		[ "$status" -eq 0 ] || break
		assert_field 'runs[0]["witness"]["packets"] == runs[0]["logged"]' True
	done
	echo "tries: $tries"
	assert_failure 2
	assert_output --partial 'INCOMPLETE'
}

@test "an interrupted run leaves nothing behind" {
	export TMPDIR=$BATS_TEST_TMPDIR
	"$REPO/testbed/run" --resolver unbound --directives dropall >/dev/null 2>&1 3>&- &
	local pid=$! tries=0 status=0
	until [ -e "$(echo "$TMPDIR"/connmark-testbed.*/1-bare/clients.out)" ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 1000 ] || fail 'no clients within 10 s'
		sleep 0.01
	done
	run ip netns list
	assert_output --partial "cms-$pid-"
	kill -TERM "$pid"
	wait "$pid" || status=$?
	assert_equal "$status" 143
	run ip netns list
	refute_output --partial "cms-$pid-"
	run ls "$TMPDIR"
	refute_output --partial connmark-testbed
}
