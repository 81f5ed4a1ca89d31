#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What is no question passes as it came and unmarked; good questions between it bear their client's mark.

load helpers

setup() {
	need_root
	need_shim
}

@test "malformed, compressed, oversized and alien datagrams pass untouched and unmarked" {
	run timeout 120 "$REPO/testbed/bin/hostile.py" --shim "$SHIM"
	assert_success
	assert_output --partial "PASS"
}

@test "the same test fails where nothing is marked" {
	run timeout 120 "$REPO/testbed/bin/hostile.py" --shim ""
	assert_failure 1
	assert_output --partial "a good question: mark 0, must be 137"
	refute_output --partial "arrived as sent"
}
