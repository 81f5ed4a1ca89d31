#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# TCP Fast Open: the SYN brings the query along, and both bear its client's mark.

load helpers

setup() {
	need_root
}

# opened RESOLVER ARGUMENT...: each SYN has the mark of the client whose query it brings
opened() {
	shimmed "$@" --fast-open --queries 300
	assert_field 'runs[1]["witness"]["syn_missing"]' 0
	assert_field 'runs[1]["witness"]["syn_right"] > 0' True
	assert_field 'runs[1]["fast_open"] > 0' True
}

@test "queries over TCP alone" {
	opened unbound --upstream-proto tcp --directives rnd50
	opened dnsdist --upstream-proto tcp --directives rnd50
	opened stubby --upstream-proto tcp --directives rnd50 --upstream-ip 6
}

@test "after truncated answers" {
	opened pdns-recursor --directives tc
	opened systemd-resolved --directives tc
}

@test "control: a resolver without it does not pass" {
	need_shim
	cell --resolver kresd --shim "$SHIM" --fast-open --upstream-proto tcp --queries 100 --expect right
	assert_failure 1
	assert_output --partial 'no connection was made by TCP Fast Open'
}
