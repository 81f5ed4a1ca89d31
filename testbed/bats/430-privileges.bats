#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# One capability and no more, for nobody else; a set-user-ID program's environment is a stranger's; files are opened
# with care.

load helpers

setup() {
	need_root
	need_shim
	programs=$REPO/build/programs
	folder=$BATS_TEST_TMPDIR/folder
	mkdir -m 0755 "$folder"
}

# inside COMMAND [ARGUMENT...]: clients, resolver and upstream in one, under the library
inside() {
	run timeout 60 env LIBRARY="${LIBRARY-$SHIM}" LOG="$folder/stderr" "$REPO/testbed/bin/transparency-marks" "$@" 3>&-
	assert_success
}

NET_ADMIN='permitted 000001000 effective 000001000 inheritable 000000000 ambient 0 keepcaps 0 securebits 0'
NOTHING='permitted 000000000 effective 000000000 inheritable 000000000 ambient 0 keepcaps 0 securebits 0'

# gives_up LEFT: after each way to give root up, this is left; and in a program started then, nothing
gives_up() {
	local how
	for how in setuid setreuid setresuid 'seteuid, setuid'; do
		assert_line "$how: $1"
	done
	assert_equal "$(grep -cFx "a program that it starts: $NOTHING" <<<"$output")" 4
	assert_equal "$(grep -c '^setuid(0) = -1 EPERM' <<<"$output")" 4
	assert_equal "$(grep -c '^bind.* = -1 EACCES' <<<"$output")" 4
	assert_equal "$(grep -c '^socket.* = -1 EPERM' <<<"$output")" 4
	assert_equal "$(grep -c '^chown.* = -1 EPERM' <<<"$output")" 4
	assert_equal "$(grep -c '^chroot.* = -1 EPERM' <<<"$output")" 4
}

@test "after each change of user CAP_NET_ADMIN is left, of no use for anything else, and not handed on" {
	CONNMARK_SOURCE=conntrack inside "$programs/f_privileges"
	gives_up "$NET_ADMIN"
}

@test "CONNMARK_KEEP_CAPS=no: nothing is left, as bare" {
	CONNMARK_KEEP_CAPS=no inside "$programs/f_privileges"
	gives_up "$NOTHING"
	run timeout 60 "$REPO/testbed/bin/transparency-marks" "$programs/f_privileges" 3>&-
	assert_success
	gives_up "$NOTHING"
}

# secure PROGRAM OWNER-S-BITS: a copy of it, run by nobody
secure() {
	cp "$programs/$1" "$folder/$1"
	chmod "$2" "$folder/$1"
	inside setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set +all "$folder/$1"
}

@test "control: a program that is linked to the library reads its variables" {
	run timeout 60 env CONNMARK_DEFAULT=77 CONNMARK_TRACE="$folder/trace" \
		"$REPO/testbed/bin/transparency-marks" "$programs/f_secure-linked" 3>&-
	assert_success
	assert_line 'secure: no'
	assert_line 'library: yes'
	assert_line 'client 1: mark 1'
	assert_line 'nobody: mark 77'
	assert_equal "$(wc -l <"$folder/trace")" 2
	CONNMARK_NONSENSE=1 run timeout 60 "$REPO/testbed/bin/transparency-marks" "$programs/f_secure-linked" 3>&-
	assert_output --partial "CONNMARK_NONSENSE='1' is refused"
}

@test "secure-execution mode: CONNMARK_ variables are ignored, and nothing is written where they say" {
	export CONNMARK_DEFAULT=77 CONNMARK_TRACE=$folder/trace CONNMARK_LOG=$folder/log CONNMARK_NONSENSE=1 \
		CONNMARK_STATS=$folder/stats CONNMARK_ON_FAILURE=drop
	LIBRARY="" secure f_secure-linked 4755
	assert_line 'secure: yes'
	assert_line 'library: yes'
	assert_line 'client 1: mark 1'
	assert_line 'nobody: mark 0'
	assert_equal "$(cd "$folder" && echo *)" 'f_secure-linked stderr'
	run grep -c refused "$folder/stderr"
	assert_output 0
}

@test "secure-execution mode: the loader ignores LD_PRELOAD" {
	secure f_secure 4755
	assert_line 'secure: yes'
	assert_line 'library: no'
	assert_line 'client 1: mark 0'
	secure f_secure 0755
	assert_line 'secure: no'
	assert_line 'library: yes'
}

# logs FILE: something is said there, of a query that could not be looked up
logs() {
	run timeout 60 env FAULT=recv:silent LIBRARY="$SHIM $programs/faulty.so" LOG="$folder/stderr" CONNMARK_LOG="$1" \
		CONNMARK_SOURCE=conntrack CONNMARK_TRACE="${2:-$folder/trace}" \
		"$REPO/testbed/bin/transparency-marks" "$programs/f_ask" nothing 5 3>&-
	assert_success
}

# refuses ERROR: the file is as it was, and the line is on standard error, with the reason
refuses() {
	assert_equal "$(grep -c "CONNMARK_LOG=.*cannot be written \[$1\]" "$folder/stderr")" 1
	grep -q 'the kernel did not answer' "$folder/stderr" || fail "not said: $(cat "$folder/stderr")"
}

@test "the log: a file of the process's own" {
	logs "$folder/log"
	grep -q 'the kernel did not answer' "$folder/log" || fail "not said: $(cat "$folder/log" "$folder/stderr")"
	assert_equal "$(stat -c %a "$folder/log")" 640
}

@test "the log: no link is followed, no second name, and none that everybody may write" {
	echo precious >"$folder/target"
	ln -s "$folder/target" "$folder/link"
	logs "$folder/link"
	refuses ELOOP
	ln "$folder/target" "$folder/second"
	: >"$folder/stderr"
	logs "$folder/second"
	refuses EACCES
	assert_equal "$(cat "$folder/target")" precious
	install -m 0666 /dev/null "$folder/anybodys"
	: >"$folder/stderr"
	logs "$folder/anybodys"
	refuses EACCES
	[ ! -s "$folder/anybodys" ]
}

@test "the log and the trace: a stranger's file in everybody's folder" {
	mkdir -m 1777 "$folder/tmp"
	install -o 65534 -m 0644 /dev/null "$folder/tmp/log"
	install -o 65534 -m 0644 /dev/null "$folder/tmp/trace"
	logs "$folder/tmp/log" "$folder/tmp/trace"
	[ ! -s "$folder/tmp/log" ]
	[ ! -s "$folder/tmp/trace" ]
	refuses EACCES
	grep -q 'the trace could not be written (CONNMARK_TRACE) \[EACCES\]' "$folder/stderr" ||
		fail "not said: $(cat "$folder/stderr")"
	# the same user's files, in a folder of root's
	install -o 65534 -m 0644 /dev/null "$folder/log"
	install -o 65534 -m 0644 /dev/null "$folder/trace"
	logs "$folder/log" "$folder/trace"
	[ -s "$folder/log" ]
	assert_equal "$(wc -l <"$folder/trace")" 10
}
