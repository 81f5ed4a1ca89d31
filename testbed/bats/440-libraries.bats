#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Other libraries in the same process: their constructors and destructors, allocators, and what is loaded later.

load helpers

setup() {
	need_root
	need_shim
	programs=$REPO/build/programs
	log=$BATS_TEST_TMPDIR/log
}

# beside LIBRARIES PROGRAM [ARGUMENT...]: clients, resolver and upstream in one
beside() {
	local libraries=$1 program=$2
	shift 2
	run timeout 100 env LIBRARY="$libraries" LOG="$log" "$REPO/testbed/bin/transparency-marks" \
		"$programs/$program" "$@" 3>&-
	assert_success
}

@test "a library whose constructor runs before ours uses sockets, and its destructor after ours" {
	local libraries
	for libraries in "$SHIM $programs/early.so" "$programs/early.so $SHIM"; do
		EARLY=here beside "$libraries" f_ask nothing 20
		assert_line 'here: before the program'
		assert_line 'first: 20 with mark 1, 0 unmarked, 0 with another, 0 not sent'
		assert_line 'here: after the program'
	done
	EARLY=here beside "$programs/early.so" f_ask nothing 20
	assert_line 'first: 0 with mark 1, 20 unmarked, 0 with another, 0 not sent'
}

# allocator LIBRARY: before ours and behind it; forks, threads, signals, and a resolver
allocator() {
	local libraries
	for libraries in "$1 $SHIM" "$SHIM $1"; do
		CONNMARK_TABLE=1024 beside "$libraries" s_threads
		assert_line 'marks: all right, wrong: 0'
		assert_line 'descriptors: +0'
		beside "$libraries" s_fork 500
		assert_output 'children: 0 hung, 0 failed'
		beside "$libraries" s_handler send
		assert_output --partial 'hung: 0, failed: 0'
	done
	shimmed unbound --queries 500 --beneath "$1"
	shimmed bind --queries 500 --beneath "$1"
}

@test "jemalloc" {
	allocator "$(ldconfig -p | sed -n 's/.*libjemalloc\.so\.2 .* => //p' | head -n 1)"
}

@test "tcmalloc" {
	allocator "$(ldconfig -p | sed -n 's/.*libtcmalloc_minimal\.so\.4 .* => //p' | head -n 1)"
}

@test "libraries that are loaded for each query and unloaded; the library itself stays" {
	CONNMARK_TABLE=1024 beside "$SHIM" f_dlopen "$programs/plugin.so" "$SHIM"
	assert_output "$(
		cat <<-'END'
			plugin: 400 right, 0 unmarked, 0 wrong
			plugin again: 400 right, 0 unmarked, 0 wrong
			the library too: 400 right, 0 unmarked, 0 wrong
			descriptors: +0
			memory: flat
		END
	)"
}

@test "the library loaded by a running program, and unloaded: the program goes on, unmarked" {
	beside "" f_dlopen "$programs/plugin.so" "$SHIM"
	assert_line 'plugin: 0 right, 400 unmarked, 0 wrong'
	assert_line 'the library too: 0 right, 400 unmarked, 0 wrong'
}
