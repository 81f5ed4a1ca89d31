#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Threads, forks and signals amid the library's work: everything ends, within its time, and works on.

load helpers

setup() {
	need_root
	need_shim
}

# busy SECONDS PROGRAM [ARGUMENT...]: under the library; its output without the library's own lines
busy() {
	local seconds=$1 program=$2
	shift 2
	run timeout --kill-after=5 "$seconds" env LIBRARY="$SHIM" LOG="$BATS_TEST_TMPDIR/log" \
		"$REPO/testbed/bin/transparency-marks" "$REPO/build/programs/$program" "$@" 3>&-
}

@test "2000 forks while other threads send and receive" {
	busy 60 s_fork 2000
	assert_success
	assert_output 'children: 0 hung, 0 failed'
}

@test "a signal handler that sends amid sends" {
	busy 30 s_handler send
	assert_success
	assert_output 'main sent: yes, handler came: often, hung: 0, failed: 0'
}

@test "a signal handler that forks amid sends" {
	busy 30 s_handler fork
	assert_success
	assert_output 'main sent: yes, handler came: often, hung: 0, failed: 0'
}

@test "threads cancelled in each call that waits" {
	busy 30 s_cancel
	assert_success
	local what
	for what in recv recvmsg recvmmsg read accept poll send 'send, pending'; do
		assert_line "$what: 30 of 30 cancelled, memory as before"
	done
}

@test "a write that waits: what others may write meanwhile, and after it was cancelled, is as without the library" {
	run timeout 60 "$REPO/testbed/bin/transparency-marks" "$REPO/build/programs/s_writers" 3>&-
	assert_success
	local bare=$output
	busy 60 s_writers
	assert_success
	assert_output "$bare"
	assert_line 'in a handler: EAGAIN'
	assert_line 'the child: ended'
}

@test "5000 short-lived threads: marks right, memory and descriptors flat" {
	CONNMARK_TABLE=1024 busy 60 s_threads
	assert_success
	assert_line 'marks: all right, wrong: 0'
	assert_line 'memory: flat'
	assert_line 'descriptors: +0'
}

# daemon HOW: after all descriptors were closed, marks are found again, and the file is left alone
daemon() {
	busy 30 s_daemon "$1"
	assert_success
	assert_output "$(
		cat <<-'END'
			query = 29
			  mark 1
			netlink socket: there
			netlink socket: none
			query = 28
			  mark 2
			query = 28
			  mark 3
			fstat(file, &status) = 0
			  a file of 0 bytes
			write(file, "abc", 3) = 3
		END
	)"
}

@test "a daemon closes all descriptors: close" {
	daemon close
}

@test "a daemon closes all descriptors: close_range" {
	daemon close_range
}

@test "a daemon closes all descriptors: closefrom" {
	daemon closefrom
}

@test "a daemon closes all descriptors: syscall(SYS_close)" {
	daemon syscall
}

@test "a daemon closes all descriptors: dup2" {
	daemon dup2
}

@test "a daemon closes all descriptors: fclose, which the library does not see" {
	daemon fclose
}

@test "bare, the same programs end as well, and nothing is marked" {
	run timeout 60 "$REPO/testbed/bin/transparency-marks" "$REPO/build/programs/s_threads" 3>&-
	assert_success
	assert_line 'marks: none, wrong: 0'
	run timeout 60 "$REPO/testbed/bin/transparency-marks" "$REPO/build/programs/s_daemon" close 3>&-
	assert_success
	assert_line --index 1 '  mark 0'
	assert_line --index 2 'netlink socket: none'
	run timeout 60 "$REPO/testbed/bin/transparency-marks" "$REPO/build/programs/s_cancel" 3>&-
	assert_success
	refute_output --partial 'grown'
}
