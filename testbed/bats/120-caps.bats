# SPDX-License-Identifier: GPL-2.0-or-later
# Capabilities after the resolver's drop: the one that marking needs, its own, and never more.

load helpers

NET_ADMIN=0000000000001000
NET_ADMIN_AND_BIND_SERVICE=0000000000001400
NONE=0000000000000000

setup() {
	need_root
	need_shim
	log_folder=$(mktemp -d)
	chmod 1777 "$log_folder"
}

teardown() {
	rm -rf "$log_folder"
}

# keeps RESOLVER SET: every thread has exactly this set, and hands nothing on
keeps() {
	shimmed "$1" --queries 200 --inspect
	local name
	for name in CapEff CapPrm; do
		run tasks 1 "$name"
		assert_output "$2"
	done
	for name in CapInh CapAmb; do
		run tasks 1 "$name"
		assert_output "$NONE"
	done
	run tasks 1 Uid
	assert_output "$(tasks 0 Uid)"
}

# gives_up RESOLVER ARGUMENT...: told to keep nothing, it has the bare run's sets, and answers
gives_up() {
	local resolver=$1
	shift
	cell --resolver "$resolver" --shim "$SHIM" --compare-bare --queries 200 --inspect \
		--env CONNMARK_KEEP_CAPS=no "$@"
	assert_success
	assert_field 'runs[1]["mapped"]' True
	assert_field 'runs[1]["clients"]["answered"]' 200
	local name
	for name in CapEff CapPrm CapInh CapAmb Uid; do
		run tasks 1 "$name"
		assert_output "$(tasks 0 "$name")"
	done
}

# says_so: one line about it on standard input, no more
says_so() {
	run grep -c 'connmarkshim.*not permitted'
	assert_output 1
}

@test "dnsmasq keeps CAP_NET_ADMIN alone" {
	keeps dnsmasq "$NET_ADMIN"
}

@test "unbound keeps CAP_NET_ADMIN alone" {
	keeps unbound "$NET_ADMIN"
}

@test "BIND keeps CAP_NET_ADMIN beside its own CAP_NET_BIND_SERVICE" {
	keeps bind "$NET_ADMIN_AND_BIND_SERVICE"
}

@test "dnsmasq, told to keep no capability: as bare, one line on it, every answer" {
	# dnsmasq turns its standard error into /dev/null, also in the foreground.
	gives_up dnsmasq --env CONNMARK_LOG="$log_folder/log"
	says_so <"$log_folder/log"
}

@test "unbound, told to keep no capability: as bare, one line on it, every answer" {
	gives_up unbound
	field 'runs[1]["resolver"]["stderr"]' >"$log_folder/stderr"
	says_so <"$log_folder/stderr"
}

@test "BIND, told to keep no capability: as bare, one line on it, every answer" {
	gives_up bind
	field 'runs[1]["resolver"]["stderr"]' >"$log_folder/stderr"
	says_so <"$log_folder/stderr"
}
