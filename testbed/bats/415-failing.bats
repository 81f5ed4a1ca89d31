#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Failing surroundings: the resolver answers, nothing bears a wrong mark, one line names the cause and the remedy, and
# where the cause goes the marks come back.

load helpers

setup() {
	need_root
	need_shim
	log=$BATS_TEST_TMPDIR/log
	programs=$REPO/build/programs
	export CONNMARK_SOURCE=conntrack
}

# marks COMMAND [ARGUMENT...]: a program that is clients, resolver and upstream in one; FAULT: see faulty.c
marks() {
	: >"$log"
	run timeout 60 env LIBRARY="$SHIM${FAULT:+ $programs/faulty.so}" LOG="$log" \
		"$REPO/testbed/bin/transparency-marks" "$@" 3>&-
	assert_success
}

# said CAUSE REMEDY: one line has both, and there is no other
said() {
	sed -i '/marks come from/d' "$log"
	assert_equal "$(grep -c '^connmarkshim' "$log")" 1
	grep -F -- "$1" "$log" | grep -qF -- "$2" || fail "not said: $1 … $2: $(cat "$log")"
}

# nothing was said but where marks come from
assert_quiet() {
	assert_equal "$(grep -v 'marks come from' "$log")" ''
}

# netlink FAULT CAUSE REMEDY: it fails until the end
netlink() {
	FAULT=$1 marks "$programs/f_ask" nothing 20
	assert_line 'first: 0 with mark 1, 20 unmarked, 0 with another, 0 not sent'
	assert_line 'then: 0 with mark 1, 20 unmarked, 0 with another, 0 not sent'
	assert_line 'netlink sockets: 0'
	said "$2" "$3"
	# the same, for some time
	FAULT=$1:40 marks "$programs/f_ask" nothing 60
	assert_line --regexp '^first: .* 0 with another, 0 not sent$'
	refute_line --regexp '^first: 60 '
	assert_line 'then: 60 with mark 1, 0 unmarked, 0 with another, 0 not sent'
	assert_line 'netlink sockets: 1'
	said "$2" "$3"
}

FAMILIES='RestrictAddressFamilies= has AF_NETLINK'

@test "no netlink socket" {
	netlink socket:EPERM 'conntrack could not be asked [EPERM]' "$FAMILIES"
	netlink socket:EAFNOSUPPORT 'conntrack could not be asked [EAFNOSUPPORT]' "$FAMILIES"
	netlink socket:EMFILE 'no descriptor is free [EMFILE]' LimitNOFILE=
	netlink socket:ENFILE 'no descriptor is free [ENFILE]' LimitNOFILE=
	netlink socket:ENOMEM 'the kernel had no memory for it [ENOMEM]' MemoryMax=
}

@test "questions that cannot be sent" {
	netlink sendto:EPERM 'not permitted: conntrack may not be asked [EPERM]' CONNMARK_KEEP_CAPS=yes
	netlink sendto:ENOBUFS 'the kernel had no memory for it [ENOBUFS]' MemoryMax=
	netlink sendto:ECONNREFUSED 'conntrack could not be asked [ECONNREFUSED]' nf_conntrack_netlink
}

@test "answers that cannot be received, or are none" {
	netlink recv:ENOBUFS 'the kernel had no memory for it [ENOBUFS]' MemoryMax=
	netlink recv:silent 'the kernel did not answer [ETIMEDOUT]' 'what else is preloaded'
	netlink recv:garbage 'conntrack could not be asked [EBADMSG]' nf_conntrack_netlink
	netlink recv:late 'the kernel did not answer [ETIMEDOUT]' 'what else is preloaded'
	netlink recv:short 'the kernel did not answer [ETIMEDOUT]' 'what else is preloaded'
}

@test "interrupted calls are tried again, not for ever" {
	netlink sendto:EINTR 'conntrack could not be asked [EINTR]' nf_conntrack_netlink
	netlink recv:EINTR 'conntrack could not be asked [EINTR]' nf_conntrack_netlink
	FAULT=sendto:EINTR:3 marks "$programs/f_ask" nothing 20
	assert_line 'first: 20 with mark 1, 0 unmarked, 0 with another, 0 not sent'
	assert_quiet
}

@test "CONNMARK_SOURCE=auto: a failure that may pass decides nothing, one that will not does" {
	local fault
	export CONNMARK_SOURCE=auto
	for fault in socket:EMFILE:5 sendto:ENOBUFS:5 recv:silent:5; do
		FAULT=$fault marks "$programs/f_ask" nothing 20
		assert_line 'then: 20 with mark 1, 0 unmarked, 0 with another, 0 not sent'
		assert_line 'netlink sockets: 1'
		grep -q "marks come from conntrack" "$log" || fail "$(cat "$log")"
	done
	FAULT=socket:EPERM marks "$programs/f_ask" nothing 20
	grep -q "marks come from their packets (CONNMARK_SOURCE=auto: conntrack may not be asked \[EPERM\])" "$log" ||
		fail "$(cat "$log")"
}

@test "control: the same programs without a fault" {
	marks "$programs/f_ask" nothing 20
	assert_line 'first: 20 with mark 1, 0 unmarked, 0 with another, 0 not sent'
	assert_quiet
}

@test "no free descriptor, then some" {
	marks "$programs/f_ask" descriptors 20
	assert_line 'first: 0 with mark 1, 20 unmarked, 0 with another, 0 not sent'
	assert_line 'then: 20 with mark 1, 0 unmarked, 0 with another, 0 not sent'
	said 'no descriptor is free [EMFILE]' LimitNOFILE=
}

@test "entries that went before they were asked for" {
	marks "$programs/f_ask" entry 20
	assert_line 'first: 0 with mark 1, 20 unmarked, 0 with another, 0 not sent'
	assert_line 'then: 20 with mark 1, 0 unmarked, 0 with another, 0 not sent'
	said 'conntrack has no entry' notrack
}

@test "conntrack's table is full: the kernel's EPERM is the program's to see, as bare" {
	marks "$programs/f_ask" table 20
	assert_line 'first: 0 with mark 1, 0 unmarked, 0 with another, 20 not sent'
	assert_line 'then: 20 with mark 1, 0 unmarked, 0 with another, 0 not sent'
	assert_quiet
	run timeout 60 "$REPO/testbed/bin/transparency-marks" "$programs/f_ask" table 20 3>&-
	assert_line 'first: 0 with mark 1, 0 unmarked, 0 with another, 20 not sent'
	assert_line 'then: 0 with mark 1, 20 unmarked, 0 with another, 0 not sent'
}

@test "no memory for a descriptor with a high number, then some" {
	marks "$programs/f_ask" memory 20
	assert_line 'first: 0 with mark 1, 20 unmarked, 0 with another, 0 not sent'
	assert_line 'then: 20 with mark 1, 0 unmarked, 0 with another, 0 not sent'
	said 'no memory for what is known of descriptors' LimitAS=
}

@test "the library's number is another socket now: nothing is written there, nothing read, and it stays open" {
	local kind
	for kind in tcp udp unix; do
		marks "$programs/f_number" "$kind"
		assert_output "$(
			cat <<-'END'
				before.test: mark 1
				after.test: mark 2
				later.test: mark 3
				the program: from the peer
				the program: what the peer got: EAGAIN
				its child: from the peer
				its child: what the peer got: EAGAIN
			END
		)"
	done
	marks "$programs/f_number" route
	assert_line --index 1 'after.test: mark 2'
	assert_line --index 3 'the program: answer 7 is there'
	assert_line --index 4 'its child: answer 7 is there'
	assert_quiet
}

@test "a child made past fork asks by a netlink socket of its own" {
	marks "$programs/f_clone"
	assert_output "$(
		cat <<-'END'
			the parent: mark 1
			its child: mark 2
			its child: 1 netlink sockets that are not the parent's
			the parent: mark 3
			the parent: 0 netlink sockets besides
		END
	)"
	assert_quiet
}

@test "a seccomp filter forbids netlink sockets" {
	marks "$programs/f_seccomp" netlink "$programs/f_ask" nothing 20
	assert_line 'then: 0 with mark 1, 20 unmarked, 0 with another, 0 not sent'
	said 'conntrack could not be asked [EPERM]' seccomp
}

@test "a seccomp filter forbids SO_MARK: datagrams are marked without it, connections say so" {
	marks "$programs/f_seccomp" mark "$programs/f_ask" nothing 20
	assert_line 'then: 20 with mark 1, 0 unmarked, 0 with another, 0 not sent'
	assert_quiet
	marks "$programs/f_seccomp" mark "$programs/m_stream"
	assert_line 'client 1 = 28'
	refute_line --regexp '^  mark [1-9]'
	refute_output --partial ' = -1'
	said 'though the capability is there [EPERM]' SystemCallFilter=
}

# answering RESOLVER ARGUMENT...: every query is answered, and nothing bears another client's mark
answering() {
	local resolver=$1
	shift
	cell --resolver "$resolver" --shim "$SHIM" --queries 200 --inspect --env CONNMARK_SOURCE=conntrack "$@"
	assert_success
	assert_field 'runs[0]["mapped"]' True
	assert_field 'runs[0]["clients"]["answered"]' 200
	assert_field 'runs[0]["witness"]["wrong"]' 0
	field 'runs[0]["resolver"]["stderr"]' >"$log"
}

# unmarked RESOLVER CAUSE REMEDY ARGUMENT...: ... nor its own
unmarked() {
	local resolver=$1 cause=$2 remedy=$3
	shift 3
	answering "$resolver" "$@"
	assert_field 'runs[0]["witness"]["right"]' 0
	assert_field 'runs[0]["witness"]["unmarked"] >= 200' True
	said "$cause" "$remedy"
}

@test "resolvers whose netlink fails answer, unmarked" {
	local resolver
	for resolver in unbound bind; do
		unmarked "$resolver" 'the kernel did not answer' 'what else' --env FAULT=recv:silent \
			--beneath "$programs/faulty.so"
		unmarked "$resolver" 'had no memory' MemoryMax= --env FAULT=recv:ENOBUFS --beneath "$programs/faulty.so"
		unmarked "$resolver" 'could not be asked [EPERM]' "$FAMILIES" \
			--through "$programs/f_seccomp netfilter"
	done
}

@test "resolvers under a filter of SO_MARK answer, and their datagrams are marked" {
	answering unbound --through "$programs/f_seccomp mark"
	assert_field 'runs[0]["witness"]["right"] >= 200' True
	assert_equal "$(grep connmarkshim "$log" | grep -cv 'marks come from')" 0
	unmarked unbound 'though the capability is there' SystemCallFilter= --upstream-proto tcp \
		--through "$programs/f_seccomp mark"
}

@test "no /proc: marked as ever" {
	local resolver
	for resolver in unbound bind; do
		answering "$resolver" --through "unshare --mount sh -c 'umount -l /proc; exec \"\$@\"' sh"
		assert_field 'runs[0]["witness"]["right"] >= 200' True
	done
}

@test "no memory for the table: answers, unmarked, one line" {
	unmarked unbound 'no memory for the table of clients' CONNMARK_TABLE --env CONNMARK_TABLE=1048576 \
		--through 'prlimit --as=3000000000'
}
