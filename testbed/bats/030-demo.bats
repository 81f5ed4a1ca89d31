#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What `make demo` shows.

load helpers

setup() {
	need_root
	need_shim
}

@test "the demo shows every mark arriving, and lost without the library" {
	run timeout 120 "$REPO/testbed/demo" --shim "$SHIM" 3>&-
	assert_success
	assert_line --regexp '^ +192\.168\.111\.139 +139 +100 x mark 139 +ok'
	assert_line --regexp '^ +192\.168\.111\.139 +139 +100 x no mark +LOST'
	assert_line --partial 'Every upstream packet carried the mark'
}

@test "the demo fails where the library does nothing" {
	run timeout 120 "$REPO/testbed/demo" --shim "$(realpath /lib/x86_64-linux-gnu/libmnl.so.0)" 3>&-
	assert_failure 1
	assert_output --partial 'unmarked questions'
}
