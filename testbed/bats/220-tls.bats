# SPDX-License-Identifier: GPL-2.0-or-later
# DNS over TLS: the upstream decrypts and says which bytes were whose, the witness which mark they had.

load helpers

setup() {
	need_root
}

@test "control: the right marks over TLS are seen as right" {
	cell --resolver control-right --queries 300 --upstream-proto tls --expect right
	assert_success
	assert_field 'runs[0]["witness"]["tls_questions"]' 300
	assert_field 'runs[0]["witness"]["syn_right"]' 300
	assert_field 'runs[0]["witness"]["record_right"] > 300' True
}

@test "control: another client's mark over TLS and IPv6 is seen as wrong" {
	cell --resolver control-wrong --queries 200 --upstream-proto tls --upstream-ip 6 --expect right
	assert_failure 1
	assert_field 'runs[0]["witness"]["wrong"]' 200
}

@test "bare resolvers over TLS: every record is unmarked, nothing is lost" {
	local resolver
	for resolver in unbound kresd pdns-recursor smartdns dnsdist stubby systemd-resolved; do
		cell --resolver "$resolver" --queries 300 --upstream-proto tls --expect bare-unmarked
		assert_success
		assert_field 'runs[0]["witness"]["tls_questions"]' 300
		assert_field 'runs[0]["clients"]["answered"]' 300
	done
}

@test "under the library every question over TLS bears its client's mark, pipelined or not" {
	local resolver
	for resolver in unbound kresd pdns-recursor dnsdist stubby systemd-resolved; do
		shimmed "$resolver" --upstream-proto tls --queries 300 --in-flight 16
	done
	shimmed smartdns --upstream-proto tls --queries 300 --in-flight 1 # more may share a record, see below
}

@test "records that the resolver writes in a later turn bear their own query's mark" {
	local resolver
	for resolver in kresd kresd-two; do
		shimmed "$resolver" --upstream-proto tls --directives rnd50
	done
}

@test "smartdns puts many queries into one record: those are nobody's, and none is another client's" {
	cell --resolver smartdns --shim "$SHIM" --upstream-proto tls --directives rnd50 --queries 1000
	assert_field 'runs[0]["witness"]["wrong"]' 0
	assert_field 'runs[0]["witness"]["right"] > 900' True
	assert_field 'runs[0]["clients"]["answered"]' 1000
}

@test "CONNMARK_STREAM=first: a connection has its first query's mark for good" {
	local resolver
	for resolver in unbound stubby kresd; do
		cell --resolver "$resolver" --shim "$SHIM" --upstream-proto tls --queries 300 --in-flight 8 --account \
			--env CONNMARK_STREAM=first
		assert_success
		assert_field 'runs[0]["account"]["differs"]' '[]'
		assert_field 'runs[0]["account"]["counters"]["set_first"] > 200' True
		assert_field 'len(runs[0]["account"]["by_mark"]) <= 5' True
	done
}
