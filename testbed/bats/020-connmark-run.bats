#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# connmark-run: what it refuses, each with a real specimen, and what it hands on to the resolver.
#
# LIBRARY_UNDER_TEST names another library than the build tree's.
#
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, and meant to be

setup_file() {
	root=$(realpath "$BATS_TEST_DIRNAME/../..")
	export root
	export connmark_run=$root/scripts/connmark-run
	export library=${LIBRARY_UNDER_TEST:-$root/build/libconnmarkshim.so}
	unset "${!CONNMARK_@}"

	# Specimens lie where every user may execute them, on a file system that honours set-user-ID bits.
	export specimens=$BATS_FILE_TMPDIR
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR"
	echo 'int main(void) { return 0; }' >"$specimens/true.c"

	# The same library where a user without access to the source tree can load it.
	cp "$library" "$specimens/libconnmarkshim.so"
	export public_library=$specimens/libconnmarkshim.so
	cp -r "$connmark_run" "${connmark_run%/*}/lib" "$specimens/"
}

setup() {
	export BATS_LIB_PATH=${BATS_LIB_PATH:-/usr/lib/bats}
	bats_load_library bats-support
	bats_load_library bats-assert
}

connmark_run() {
	timeout 30 "$connmark_run" --library "$library" "$@"
}

# Runs connmark-run as nobody; arguments before `--` are setpriv's.
as_nobody() {
	local options=()
	while [[ $1 != -- ]]; do
		options+=("$1")
		shift
	done
	shift
	timeout 30 setpriv --reuid nobody --regid nogroup --clear-groups "${options[@]}" \
		"$specimens/connmark-run" --library "$public_library" "$@"
}

# assert_refused INPUT REASON REMEDY: one line of that shape, exit status 2. REMEDY is a regular expression.
assert_refused() {
	assert_failure 2
	assert_equal "${#lines[@]}" 1
	assert_line --index 0 --partial "connmark-run: $1: "
	assert_line --index 0 --partial "$2"
	assert_line --index 0 --regexp "; .*$3"
}

# ---- usage

@test "--help and --version answer and succeed" {
	run "$connmark_run" --help
	assert_success
	assert_line --index 0 'Usage: connmark-run [options] [--] RESOLVER [ARGUMENT...]'
	run "$connmark_run" --version
	assert_success
	assert_output --regexp '^connmark-run .+'
}

@test "wrong usage exits with 64" {
	run connmark_run
	assert_failure 64
	assert_output 'connmark-run: RESOLVER: no resolver was named; see connmark-run --help'
	run connmark_run --
	assert_failure 64
	run connmark_run --maks 1 true
	assert_failure 64
	assert_output 'connmark-run: --maks: there is no such option; see connmark-run --help'
	run connmark_run --mask
	assert_failure 64
	assert_output 'connmark-run: --mask: a value is missing; see connmark-run --help'
}

# ---- the library

@test "refused: no library" {
	run "$connmark_run" --library "$specimens/absent.so" true
	assert_refused "$specimens/absent.so" 'not a readable file' 'another one with --library'

	# A script that lies alone has neither a build tree nor an installed library beside it.
	mkdir -p "$BATS_TEST_TMPDIR/alone"
	cp "$connmark_run" "$BATS_TEST_TMPDIR/alone/"
	run "$BATS_TEST_TMPDIR/alone/connmark-run" true
	assert_refused preflight.bash 'was not found' 'make install'
	cp -r "${connmark_run%/*}/lib" "$BATS_TEST_TMPDIR/alone/"
	run "$BATS_TEST_TMPDIR/alone/connmark-run" true
	assert_refused libconnmarkshim.so 'was not found' 'run make'
}

@test "refused: a library that is none" {
	run "$connmark_run" --library /etc/passwd true
	assert_refused /etc/passwd 'not a shared library' --library
}

@test "refused: a library whose path LD_PRELOAD cannot carry" {
	mkdir "$BATS_TEST_TMPDIR/a b"
	cp "$library" "$BATS_TEST_TMPDIR/a b/"
	run "$connmark_run" --library "$BATS_TEST_TMPDIR/a b/libconnmarkshim.so" true
	assert_refused "$BATS_TEST_TMPDIR/a b/libconnmarkshim.so" 'LD_PRELOAD cannot carry' 'move the library'
}

@test "refused: a library that the loader cannot load" {
	head -c 4096 "$library" >"$BATS_TEST_TMPDIR/libconnmarkshim.so"
	run "$connmark_run" --library "$BATS_TEST_TMPDIR/libconnmarkshim.so" true
	assert_failure 2
	assert_output --regexp 'connmark-run: .*: .*; '
}

@test "the library is found in the build tree, and then where it was installed" {
	local tree=$BATS_TEST_TMPDIR/tree
	mkdir -p "$tree/scripts" "$tree/lib/connmarkshim" "$tree/build"
	cp -r "$connmark_run" "${connmark_run%/*}/lib" "$tree/scripts/"
	cp "$library" "$tree/lib/connmarkshim/"
	run "$tree/scripts/connmark-run" --check true
	assert_success
	assert_output --partial "LD_PRELOAD=$tree/lib/connmarkshim/libconnmarkshim.so "
	cp "$library" "$tree/build/"
	run "$tree/scripts/connmark-run" --check true
	assert_output --partial "LD_PRELOAD=$tree/build/libconnmarkshim.so "
}

# ---- the resolver

@test "refused: a resolver that is not there" {
	run connmark_run "$specimens/absent"
	assert_refused "$specimens/absent" 'there is no such file' 'install the resolver'
	run connmark_run no-such-resolver
	assert_refused no-such-resolver 'it was not found in PATH' 'install it'
}

@test "refused: not a regular file, not executable" {
	run connmark_run "$specimens"
	assert_refused "$specimens" 'not a regular file' "resolver's program"
	install -m 644 /bin/true "$specimens/plain"
	run connmark_run "$specimens/plain"
	assert_refused "$specimens/plain" 'not executable' 'chmod \+x'
}

@test "refused: neither a program nor a script" {
	install -m 755 /etc/passwd "$specimens/text"
	run connmark_run "$specimens/text"
	assert_refused "$specimens/text" 'neither an ELF program nor a script' "resolver's program"
}

@test "a script is allowed, with a warning that names its interpreter" {
	printf '#! /bin/sh\nexit 7\n' >"$specimens/script"
	chmod 755 "$specimens/script"
	run connmark_run "$specimens/script"
	assert_failure 7
	assert_output "connmark-run: $specimens/script: warning: it is a script of /bin/sh: the programs that it starts are not checked"
}

@test "refused: a script whose interpreter is a script, missing, or static" {
	printf '#!%s\n' "$specimens/other-script" >"$specimens/script-of-script"
	printf '#!/bin/sh\n' >"$specimens/other-script"
	printf '#!/absent/interpreter\n' >"$specimens/script-of-nothing"
	gcc -static -o "$specimens/static-interpreter" "$specimens/true.c"
	printf '#!%s\n' "$specimens/static-interpreter" >"$specimens/script-of-static"
	chmod 755 "$specimens"/*script*

	run connmark_run "$specimens/script-of-script"
	assert_refused "$specimens/script-of-script" "interpreter '$specimens/other-script' is not an ELF program" 'the script starts'
	run connmark_run "$specimens/script-of-nothing"
	assert_refused "$specimens/script-of-nothing" "'/absent/interpreter'" 'the script starts'
	run connmark_run "$specimens/script-of-static"
	assert_failure 2
	assert_output --partial "connmark-run: $specimens/static-interpreter: it is statically linked"
}

@test "refused: a static binary, and a static position-independent one" {
	gcc -static -o "$specimens/static" "$specimens/true.c"
	run connmark_run "$specimens/static"
	assert_refused "$specimens/static" 'statically linked' 'dynamically linked'
	gcc -static-pie -o "$specimens/static-pie" "$specimens/true.c"
	run connmark_run "$specimens/static-pie"
	assert_refused "$specimens/static-pie" 'statically linked' 'dynamically linked'
}

@test "refused: a Go binary, although it is dynamic" {
	cat >"$specimens/go.c" <<'END'
int main(void) { return 0; }
__asm__(".section .note.go.buildid,\"a\",@note\n"
	".long 4, 4, 4\n.asciz \"Go\"\n.byte 0\n.long 1\n.previous");
END
	gcc -o "$specimens/go" "$specimens/go.c"
	run connmark_run "$specimens/go"
	assert_refused "$specimens/go" 'Go makes its system calls itself' 'not written in Go'

	sed 's/\.note\.go\.buildid.*note/.go.buildinfo,\\"a\\",@progbits/' "$specimens/go.c" >"$specimens/go2.c"
	gcc -o "$specimens/go2" "$specimens/go2.c"
	run connmark_run "$specimens/go2"
	assert_refused "$specimens/go2" 'Go makes its system calls itself' 'not written in Go'
}

@test "a program that only mentions Go's sections is no Go binary" {
	echo 'const char *s = ".go.buildinfo"; int main(void) { return 0; }' >"$specimens/mentions.c"
	gcc -o "$specimens/mentions" "$specimens/mentions.c"
	run connmark_run "$specimens/mentions"
	assert_success
}

@test "refused: a program for another machine, or of another class" {
	cp /bin/true "$specimens/mips"
	printf '\010\000' | dd of="$specimens/mips" bs=1 seek=18 conv=notrunc status=none
	run connmark_run "$specimens/mips"
	assert_refused "$specimens/mips" 'it is a program for 64-bit little-endian MIPS' 'build the library for it'
	cp /bin/true "$specimens/class"
	printf '\001' | dd of="$specimens/class" bs=1 seek=4 conv=notrunc status=none
	run connmark_run "$specimens/class"
	assert_refused "$specimens/class" 'it is a program for 32-bit' 'build the library for it'
}

@test "refused: a program of another C library, or whose loader is missing" {
	gcc -Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1 -o "$specimens/musl" "$specimens/true.c"
	run connmark_run "$specimens/musl"
	assert_refused "$specimens/musl" 'it uses musl, the library uses glibc' 'against musl'
	gcc -Wl,--dynamic-linker=/lib/ld-absent.so.9 -o "$specimens/loaderless" "$specimens/true.c"
	run connmark_run "$specimens/loaderless"
	assert_refused "$specimens/loaderless" 'its loader /lib/ld-absent.so.9 is not installed' 'C library'
}

# ---- secure execution (AT_SECURE)

@test "refused: file capabilities, for a user that is not root" {
	install -m 755 /bin/true "$specimens/capable"
	setcap cap_net_bind_service+ep "$specimens/capable"
	run as_nobody --inh-caps +net_admin --ambient-caps +net_admin -- "$specimens/capable"
	assert_refused "$specimens/capable" 'file capabilities' "setcap -r $specimens/capable, .*AmbientCapabilities=CAP_NET_ADMIN"
	# The evidence behind the refusal: the loader does not take the library.
	run setpriv --reuid nobody --regid nogroup --clear-groups \
		env LD_PRELOAD="$public_library" LD_TRACE_LOADED_OBJECTS=1 "$specimens/capable"
	refute_output --partial libconnmarkshim
}

@test "file capabilities do not hinder root" {
	install -m 755 /bin/true "$specimens/capable"
	setcap cap_net_bind_service+ep "$specimens/capable"
	run connmark_run "$specimens/capable"
	assert_success
	refute_output
}

@test "refused: set-user-ID and set-group-ID of somebody else" {
	install -m 4755 /bin/true "$specimens/setuid-root"
	run as_nobody -- "$specimens/setuid-root"
	assert_refused "$specimens/setuid-root" 'set-user-ID' 'chmod ug-s'
	install -m 4755 -o nobody /bin/true "$specimens/setuid-nobody"
	run connmark_run "$specimens/setuid-nobody"
	assert_refused "$specimens/setuid-nobody" 'set-user-ID' 'chmod ug-s'
	install -m 2755 -g nogroup /bin/true "$specimens/setgid-nogroup"
	run connmark_run "$specimens/setgid-nogroup"
	assert_refused "$specimens/setgid-nogroup" 'set-group-ID' 'chmod ug-s'
}

@test "set-user-ID root does not hinder root, nor any where privileges cannot be gained" {
	install -m 4755 /bin/true "$specimens/setuid-root"
	run connmark_run "$specimens/setuid-root"
	assert_success
	install -m 4755 -o nobody /bin/true "$specimens/setuid-nobody"
	run setpriv --no-new-privs "$connmark_run" --library "$library" "$specimens/setuid-nobody"
	assert_success
}

# ---- the system

@test "refused: no CAP_NET_ADMIN" {
	run as_nobody -- /bin/true
	assert_refused CAP_NET_ADMIN 'CAP_NET_ADMIN missing: a resolver started by nobody' AmbientCapabilities=CAP_NET_ADMIN
	run setpriv --bounding-set -net_admin,-net_raw "$connmark_run" --library "$library" /bin/true
	assert_refused CAP_NET_ADMIN 'CAP_NET_ADMIN missing: it is not in the bounding set' CapabilityBoundingSet=
}

@test "CAP_NET_RAW alone: enough where packets bring the marks, not where conntrack must be asked" {
	run setpriv --bounding-set -net_admin "$connmark_run" --library "$library" --source packet /bin/true
	assert_success
	refute_output
	run setpriv --bounding-set -net_admin "$connmark_run" --library "$library" /bin/true
	assert_success
	assert_output --partial 'connmark-run: CAP_NET_ADMIN: warning: CAP_NET_ADMIN missing, CAP_NET_RAW is there'
	run setpriv --bounding-set -net_admin "$connmark_run" --library "$library" --source conntrack /bin/true
	assert_refused CAP_NET_ADMIN 'CAP_NET_ADMIN missing: it is not in the bounding set' CapabilityBoundingSet=
}

@test "an ambient CAP_NET_ADMIN is enough" {
	run as_nobody --inh-caps +net_admin --ambient-caps +net_admin -- /bin/true
	assert_success
}

@test "refused: a kernel without conntrack" {
	# A /proc that has what bash needs, and nothing of conntrack.
	mkdir "$BATS_TEST_TMPDIR/proc"
	# shellcheck disable=SC2016 # expanded by the inner shell
	run unshare --mount bash -c '
		mount --bind /proc "$1"
		mount -t tmpfs none /proc
		ln -s "$1/self" "$1/$$" /proc
		exec "$2" --library "$3" /bin/true' - "$BATS_TEST_TMPDIR/proc" "$connmark_run" "$library"
	assert_refused kernel 'does not track connections' 'modprobe nf_conntrack'
}

# ---- the variables: the grammar is the library's

# assert_variable_refused NAME VALUE ALLOWED...: as a variable of the environment; the one line names all three.
assert_variable_refused() {
	local name=$1 value=$2
	shift 2
	run env "$name=$value" timeout 30 "$connmark_run" --library "$library" /bin/true
	assert_failure 2
	assert_equal "${#lines[@]}" 1
	assert_output --partial "connmarkshim: $name='$value' is refused: "
	local allowed
	for allowed; do
		assert_output --partial "$allowed"
	done
}

@test "refused: a bad CONNMARK_SOURCE" {
	assert_variable_refused CONNMARK_SOURCE packets 'auto, conntrack or packet'
}

@test "refused: a bad CONNMARK_MASK" {
	assert_variable_refused CONNMARK_MASK zz 4294967295
	assert_variable_refused CONNMARK_MASK 0 4294967295
	assert_variable_refused CONNMARK_MASK 4294967296 4294967295
	assert_variable_refused CONNMARK_MASK '' 4294967295
	assert_variable_refused CONNMARK_MASK ' 1' 4294967295
	assert_variable_refused CONNMARK_MASK -1 4294967295
}

@test "refused: a bad CONNMARK_DEFAULT" {
	assert_variable_refused CONNMARK_DEFAULT zz 4294967295
	assert_variable_refused CONNMARK_DEFAULT 0x100000000 4294967295
}

@test "refused: a bad CONNMARK_STREAM" {
	assert_variable_refused CONNMARK_STREAM last follow first
}

@test "refused: a bad CONNMARK_ZONE" {
	assert_variable_refused CONNMARK_ZONE 65536 65535
}

@test "refused: a bad CONNMARK_ON_FAILURE" {
	assert_variable_refused CONNMARK_ON_FAILURE maybe pass drop
}

@test "refused: a bad CONNMARK_KEEP_CAPS" {
	assert_variable_refused CONNMARK_KEEP_CAPS maybe yes no
}

@test "refused: a bad CONNMARK_LOG" {
	assert_variable_refused CONNMARK_LOG relative/path stderr syslog
}

@test "refused: a bad CONNMARK_TRACE" {
	assert_variable_refused CONNMARK_TRACE relative/path absolute
}

@test "refused: a bad CONNMARK_DRY_RUN" {
	assert_variable_refused CONNMARK_DRY_RUN 1 yes no
}

@test "refused: a bad CONNMARK_TABLE" {
	assert_variable_refused CONNMARK_TABLE 1023 1024 1048576
	assert_variable_refused CONNMARK_TABLE 1048577 1024 1048576
}

@test "refused: an unknown CONNMARK_ variable" {
	run env CONNMARK_MAKS=1 "$connmark_run" --library "$library" /bin/true
	assert_failure 2
	assert_output --partial CONNMARK_MAKS
}

@test "refused: a bad value given as an option; each bad one has its line" {
	run connmark_run --mask zz /bin/true
	assert_failure 2
	assert_output --partial "CONNMARK_MASK='zz' is refused: "
	run connmark_run --zone=65536 --stream last /bin/true
	assert_failure 2
	assert_equal "${#lines[@]}" 2
	assert_output --partial "CONNMARK_ZONE='65536' is refused: "
	assert_output --partial "CONNMARK_STREAM='last' is refused: "
}

@test "an option takes the place of a variable, good or bad" {
	run env CONNMARK_MASK=zz "$connmark_run" --library "$library" --mask 0xff --check /bin/true
	assert_success
	assert_output "LD_PRELOAD=$library CONNMARK_MASK=0xff /bin/true"
}

@test "all allowed values are accepted" {
	local setting
	for setting in SOURCE=auto SOURCE=conntrack SOURCE=packet MASK=1 MASK=4294967295 MASK=0xffffffff DEFAULT=0 DEFAULT=4294967295 STREAM=follow \
		STREAM=first ZONE=0 ZONE=65535 ON_FAILURE=pass ON_FAILURE=drop KEEP_CAPS=yes KEEP_CAPS=no LOG=stderr LOG=syslog \
		"LOG=$BATS_TEST_TMPDIR/log" "TRACE=$BATS_TEST_TMPDIR/trace" DRY_RUN=yes DRY_RUN=no TABLE=1024 TABLE=1048576; do
		run env "CONNMARK_$setting" "$connmark_run" --library "$library" --check /bin/true
		assert_success
		assert_output --partial "CONNMARK_$setting"
	done
}

# ---- success: what the resolver gets

@test "each option sets its variable, and variables already there stay" {
	run env CONNMARK_TABLE=2048 "$connmark_run" --library "$library" --mask 0xff --default=7 --zone 3 --stream first \
		--keep-caps no --log syslog --trace "$BATS_TEST_TMPDIR/trace" --dry-run /usr/bin/env
	assert_success
	local setting
	for setting in TABLE=2048 MASK=0xff DEFAULT=7 ZONE=3 STREAM=first KEEP_CAPS=no LOG=syslog \
		"TRACE=$BATS_TEST_TMPDIR/trace" DRY_RUN=yes; do
		assert_line "CONNMARK_$setting"
	done
}

@test "the environment is handed on exactly, with nothing but LD_PRELOAD added" {
	local given=(PATH=/usr/bin:/bin 'SPACE=a  b' $'NEWLINE=a\nb' 'EQUALS=a=b' EMPTY= 'odd-name=1' '_=before')
	env -i "${given[@]}" "$connmark_run" --library "$library" /usr/bin/env -0 | sort -z >"$BATS_TEST_TMPDIR/got"
	printf '%s\0' "${given[@]}" "LD_PRELOAD=$library" | sort -z >"$BATS_TEST_TMPDIR/expected"
	run cmp "$BATS_TEST_TMPDIR/got" "$BATS_TEST_TMPDIR/expected"
	assert_success
}

@test "the arguments are handed on exactly" {
	cat >"$specimens/show.c" <<'END'
#include <stdio.h>
int main(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		printf("<%s>", argv[i]);
	return 0;
}
END
	gcc -o "$specimens/show" "$specimens/show.c"
	run connmark_run -- "$specimens/show" -d '' 'a  b' --mask -- 'x=y' '*' $'new\nline'
	assert_success
	assert_output "<$specimens/show><-d><><a  b><--mask><--><x=y><*><"$'new\nline>'
	# A name that PATH resolves stays argument zero.
	run env PATH="$specimens:$PATH" "$connmark_run" --library "$library" show
	assert_output '<show>'
}

@test "other LD_PRELOAD entries are kept, behind ours" {
	echo 'int connmark_run_specimen;' >"$specimens/other.c"
	gcc -shared -fPIC -o "$specimens/other.so" "$specimens/other.c"
	# shellcheck disable=SC2016 # expanded by the inner shell
	run env LD_PRELOAD="$specimens/other.so" "$connmark_run" --library "$library" \
		/bin/sh -c 'echo "$LD_PRELOAD"; grep -c -e libconnmarkshim.so -e other.so /proc/self/maps'
	assert_success
	assert_line --index 0 "$library:$specimens/other.so"
	refute_line --index 1 0
}

@test "the exit status of the resolver is handed on" {
	run connmark_run /bin/sh -c 'exit 3'
	assert_failure 3
	# shellcheck disable=SC2016 # expanded by the inner shell
	run connmark_run /bin/sh -c 'kill -TERM $$'
	assert_failure 143
}

@test "the resolver takes the place of connmark-run: same process, same standard input" {
	# shellcheck disable=SC2016 # expanded by the inner shell
	run bash -c 'echo hello | "$1" --library "$2" /bin/cat' - "$connmark_run" "$library"
	assert_output hello
	# shellcheck disable=SC2016 # expanded by the inner shell
	run bash -c 'echo $$; exec "$1" --library "$2" /bin/sh -c "echo \$\$"' - "$connmark_run" "$library"
	assert_equal "${lines[0]}" "${lines[1]}"
}

@test "the library is in the resolver's address space" {
	run connmark_run /bin/grep -m 1 -o "$library" /proc/self/maps
	assert_success
	assert_output "$library"
}

@test "--check prints what would run, quoted for a shell, and runs nothing" {
	run env CONNMARK_ZONE=3 "$connmark_run" --library "$library" --check -- touch "$BATS_TEST_TMPDIR/not there"
	assert_success
	assert_output "LD_PRELOAD=$library CONNMARK_ZONE=3 $(type -P touch) $(printf %q "$BATS_TEST_TMPDIR/not there")"
	assert [ ! -e "$BATS_TEST_TMPDIR/not there" ]
	run connmark_run --check "$specimens/absent"
	assert_failure 2
}

@test "neither binutils nor libcap's tools are needed" {
	# A PATH with the tools of packages that every Debian has, and no others.
	local tool
	mkdir "$BATS_TEST_TMPDIR/bin"
	for tool in bash cat dirname env grep head id od realpath sed tail tar timeout tr; do
		ln -s "$(type -P "$tool")" "$BATS_TEST_TMPDIR/bin/"
	done
	run env PATH="$BATS_TEST_TMPDIR/bin" "$connmark_run" --library "$library" /bin/true
	assert_success
	refute_output
	install -m 755 /bin/true "$specimens/capable"
	setcap cap_net_bind_service+ep "$specimens/capable"
	run setpriv --reuid nobody --regid nogroup --clear-groups env PATH="$BATS_TEST_TMPDIR/bin" \
		"$specimens/connmark-run" --library "$public_library" "$specimens/capable"
	assert_failure 2
	assert_output --partial 'file capabilities'
}
