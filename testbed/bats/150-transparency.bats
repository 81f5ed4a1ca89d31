#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Programs that look closely at what each call returns and leaves behind see the same with the library as without:
# testbed/bin/transparency runs each bare and under the library (as it is, with a mark for every query, and not
# permitted to set it), in namespaces of their own, and compares what it prints.

load helpers

setup() {
	need_root
	need_shim
}

# transparent PROGRAM [ARGUMENT...]
transparent() {
	local program=$1
	shift
	run timeout 120 "$REPO/testbed/bin/transparency" "$SHIM" "$REPO/build/programs/$program" "$@" 3>&-
	assert_success
}

@test "MSG_PEEK" {
	transparent t_peek
}

@test "MSG_TRUNC, also without a buffer, on UDP and TCP" {
	transparent t_trunc
}

@test "control messages in buffers of every size: IPv4" {
	transparent t_control
}

@test "control messages in buffers of every size: IPv6 and both" {
	transparent t_control6
}

@test "a program that asks for IP_RECVORIGDSTADDR itself" {
	transparent t_origdst
}

@test "descriptors and credentials over UNIX sockets" {
	transparent t_rights
}

@test "the sender's name: none, too short, at the end of a page" {
	transparent t_names
}

@test "recvmmsg: partial batches, timeouts, MSG_WAITFORONE, many messages" {
	transparent t_batch
}

@test "sendmmsg: partial sends, many messages" {
	transparent t_sendbatch
}

@test "datagrams, reads and writes of no byte" {
	transparent t_nothing
}

@test "vectors of many pieces, up to the limit and beyond" {
	transparent t_pieces
}

@test "EAGAIN, EINTR, time limits and restarted calls" {
	transparent t_wait
}

@test "success leaves errno alone" {
	transparent t_errno
}

@test "no address where there should be one" {
	transparent t_fault
}

@test "files, pipes, eventfds, UNIX, netlink and raw sockets" {
	transparent t_kinds
}

@test "descriptors with large numbers" {
	transparent t_numbers
}

@test "dup, fcntl, close_range, closefrom, vfork" {
	transparent t_dup
}

@test "connect: again, to nobody, refused, without waiting; the error queue" {
	transparent t_connect
}

@test "a program that sets SO_MARK itself" {
	transparent t_ownmark
}

@test "syscall()" {
	transparent t_syscall
}

@test "the fortified calls" {
	run nm -D --undefined-only "$REPO/build/programs/t_fortify"
	local name
	for name in __read_chk __recv_chk __recvfrom_chk __poll_chk __ppoll_chk; do
		assert_output --partial "$name"
	done
	transparent t_fortify
}

@test "connections that take no more: waiting, interrupted, shut down, reset" {
	transparent t_full
}

@test "numbers that the C library gave to something else" {
	transparent t_reuse
}

@test "the C library's own resolver" {
	transparent t_resolver
}

@test "posix_spawn, vfork, system and popen" {
	transparent s_spawn
}

@test "the comparison fails where something differs, and where nothing is printed" {
	run timeout 60 "$REPO/testbed/bin/transparency" "$SHIM" /usr/bin/cat /proc/self/environ 3>&-
	assert_failure 1
	assert_output --partial 'bare and shimmed differ'
	run timeout 60 "$REPO/testbed/bin/transparency" "$SHIM" /bin/sh -c 'echo x; exit 3' 3>&-
	assert_failure 2
	assert_output --partial 'bare: exit status 3'
	run timeout 60 "$REPO/testbed/bin/transparency" "$SHIM" /bin/true 3>&-
	assert_failure 1
	run timeout 60 "$REPO/testbed/bin/transparency" "$SHIM" /bin/echo x 3>&-
	assert_success
}
