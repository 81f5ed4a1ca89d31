# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What can be known before a resolver starts under the library. Sourced by connmark-run, which ends at the first
# refusal, and by connmark-check, which collects them; so a check says `refuse INPUT REASON REMEDY || return`.
#
# Its caller provides `refuse`, `refuse_variables LINES` (the library's own words) and `warn INPUT TEXT`, and the
# variables:
#   here, libdir    where the caller and the installed library lie
#   library         the library's path; empty: to be found
#   environment     NAME=VALUE entries that the resolver will get
#
# Here are set: library, preload (LD_PRELOAD's value), resolver, program (the ELF file the kernel will load for it),
# and objects (what the loader says it would map, the library and what it needs among it).

# shellcheck source=scripts/lib/elf.bash
. "${BASH_SOURCE[0]%/*}/elf.bash"

readonly library_name=libconnmarkshim.so

# ---------------------------------------------------------------------------------------------------------------------
# The library

find_library() {
	local candidate
	if [[ -z $library ]]; then
		for candidate in "$here/../build" "$libdir" "$here/../lib/connmarkshim"; do
			# Not installed, $libdir would be a directory of whoever owns the current one.
			[[ $candidate == /* ]] || continue
			if [[ -e $candidate/$library_name ]]; then
				library=$candidate/$library_name
				break
			fi
		done
		[[ $library ]] ||
			refuse "$library_name" 'the library was not found' 'run make, or name it with --library PATH' || return
	fi
	[[ -f $library && -r $library ]] ||
		refuse "$library" 'the library is not a readable file' 'name another one with --library PATH' || return
	library=$(realpath -- "$library")
	is_elf "$library" ||
		refuse "$library" 'it is not a shared library' 'name another one with --library PATH' || return
	# ld.so(8): LD_PRELOAD is split at spaces and colons, which cannot be quoted, and $TOKENS are expanded.
	[[ $library != *[:\$[:space:]]* ]] ||
		refuse "$library" "LD_PRELOAD cannot carry a path with a space, a colon or a dollar" \
			'move the library to another directory' || return
}

libc_of_library() {
	if tr '\0' '\n' <"$library" | grep -qax 'libc\.so\.6'; then
		echo glibc
	else
		echo musl
	fi
}

# ---------------------------------------------------------------------------------------------------------------------
# The resolver

# Sets `resolver` to the path of the program, and `program` to the ELF file that the kernel will load for it.
find_resolver() { # NAME
	local first_line interpreter
	resolver=$1
	[[ $resolver != *=* ]] ||
		refuse "$resolver" "env(1) takes a name with '=' for a variable" 'rename it or make a link' || return
	if [[ $resolver != */* ]]; then
		resolver=$(type -P -- "$1") ||
			refuse "$1" 'it was not found in PATH' 'install it or give its full path' || return
	fi
	[[ -e $resolver ]] ||
		refuse "$resolver" 'there is no such file' 'install the resolver or correct the path' || return
	[[ -f $resolver ]] ||
		refuse "$resolver" 'it is not a regular file' "name the resolver's program itself" || return
	[[ -x $resolver ]] ||
		refuse "$resolver" "it is not executable by $(id -un)" "chmod +x $resolver, or name the right file" || return
	[[ -r $resolver ]] ||
		refuse "$resolver" "it is not readable by $(id -un), so it cannot be checked" "chmod +r $resolver" || return
	program=$resolver
	is_elf "$program" && return

	IFS= read -r first_line < <(head -c 256 -- "$resolver" | tr -d '\0')
	[[ $first_line == '#!'* ]] ||
		refuse "$resolver" 'it is neither an ELF program nor a script with a #! line' \
			"name the resolver's program itself" || return
	read -r interpreter _ <<<"${first_line#'#!'}"
	if [[ ! -x $interpreter ]] || ! is_elf "$interpreter"; then
		refuse "$resolver" "it is a script, and its interpreter '$interpreter' is not an ELF program" \
			'name the program that the script starts' || return
	fi
	program=$interpreter
	warn "$resolver" "it is a script of $interpreter: the programs that it starts are not checked"
}

# The tests here that need not start the program come first: those they let through are safe to trace below.
check_program() {
	local identity library_identity loader libc
	identity=$(elf_identity "$program")
	library_identity=$(elf_identity "$library")
	[[ $identity == "$library_identity" ]] ||
		refuse "$program" "it is a program for $identity, the library is for $library_identity" \
			'build the library for it, or install the resolver that fits this machine' || return

	! elf_section_names "$program" | grep -qx -e '\.note\.go\.buildid' -e '\.go\.buildinfo' ||
		refuse "$program" 'it is a Go program: Go makes its system calls itself, past every preloaded library' \
			'use a resolver that is not written in Go' || return

	loader=$(elf_loader "$program")
	[[ $loader ]] || refuse "$program" 'it is statically linked: no loader runs that could preload a library' \
			'install or build it dynamically linked' || return
	libc=$(libc_of_program "$program")
	[[ $libc == "$(libc_of_library)" ]] ||
		refuse "$program" "it uses $libc, the library uses $(libc_of_library)" \
			"$(library_against "$libc")" || return
	[[ -e $loader ]] ||
		refuse "$program" "its loader $loader is not installed" 'install the C library that it was built for' || return
}

# Prints how to get a library for a C library.
library_against() { # LIBC
	if [[ $1 == musl ]]; then
		echo 'build the library against musl (make musl) and name that one: --library build/musl/libconnmarkshim.so'
	else
		echo 'name with --library one that was built against glibc (make)'
	fi
}

libc_of_program() { # FILE
	if [[ $(elf_loader "$1") == */ld-musl* ]]; then echo musl; else echo glibc; fi
}

# The loader's own word on whether it takes the library. It knows of everything that makes an exec secure (AT_SECURE:
# which set-user-ID bits and file capabilities count depends on the user, the mount and the kernel) and of the security
# modules that keep it from reading the library.
#
# From glibc 2.39 on, a secure exec ignores LD_TRACE_LOADED_OBJECTS and starts the program; --help is for that case.
check_preload() {
	objects=
	if [[ $(elf_loader "$program") == */ld-musl* ]]; then
		warn "$program" "musl's loader does not tell whether it takes the library"
		return
	fi
	objects=$(timeout 10 env -i -- "${environment[@]}" LD_PRELOAD="$preload" LD_TRACE_LOADED_OBJECTS=1 \
		"$program" --help </dev/null 2>&1)
	grep -qF "$library (" <<<"$objects" && return

	if grep -qF "$library" <<<"$objects"; then
		grep -F "$library" <<<"$objects" >&2
		refuse "$program" 'its loader cannot load the library' \
			'read the line above, and the rules of AppArmor or SELinux for this resolver' || return
	fi
	if has_file_capabilities "$program"; then
		refuse "$program" 'it has file capabilities, and so its loader ignores LD_PRELOAD' \
			"setcap -r $program, and give it capabilities by systemd's AmbientCapabilities=CAP_NET_ADMIN ..." || return
	elif [[ -u $program || -g $program ]]; then
		refuse "$program" 'it is set-user-ID or set-group-ID, and so its loader ignores LD_PRELOAD' \
			"chmod ug-s $program, and let systemd's User= and AmbientCapabilities=CAP_NET_ADMIN ... start it" || return
	fi
	refuse "$program" 'its loader ignores LD_PRELOAD (AT_SECURE)' \
		'start it where no security module changes its domain' || return
}

# tar belongs to every Debian; getcap and getfattr do not.
has_file_capabilities() { # FILE
	tar --create --xattrs --xattrs-include=security.capability --file=- "$(realpath -- "$1")" 2>/dev/null |
		head -c 8192 | grep -qaF security.capability
}

# ---------------------------------------------------------------------------------------------------------------------
# The system

check_conntrack() {
	# One of the two is enough: the first is missing in the network namespaces of user namespaces, the second where
	# the kernel was built without it.
	[[ -e /proc/sys/net/netfilter/nf_conntrack_max || -e /proc/net/nf_conntrack ]] ||
		refuse kernel 'it does not track connections in this network namespace' \
			'modprobe nf_conntrack nf_conntrack_netlink, and load the firewall rules that set the marks' || return
}

# Prints CONNMARK_SOURCE as the library will read it.
source_of_marks() {
	local entry source=auto
	for entry in "${environment[@]}"; do
		[[ $entry == CONNMARK_SOURCE=* ]] && source=${entry#*=}
	done
	echo "$source"
}

check_capability() {
	local net_admin=$((1 << 12)) net_raw=$((1 << 13)) permitted bounding source
	# grep is executed as the resolver will be, so its own set is the one that the resolver will get.
	permitted=$(grep '^CapPrm:' /proc/self/status) bounding=$(grep '^CapBnd:' /proc/self/status)
	((0x${permitted##*[[:space:]]} & net_admin)) && return
	source=$(source_of_marks)
	if ((0x${permitted##*[[:space:]]} & net_raw)) && [[ $source != conntrack ]]; then
		[[ $source == packet ]] || warn CAP_NET_ADMIN \
			"CAP_NET_ADMIN missing, CAP_NET_RAW is there: marks are taken from the clients' packets (CONNMARK_SOURCE=auto)"
		return 0
	fi
	if ! ((0x${bounding##*[[:space:]]} & net_admin)); then
		refuse CAP_NET_ADMIN 'CAP_NET_ADMIN missing: it is not in the bounding set' \
			"add it to systemd's CapabilityBoundingSet=, or to the container (--cap-add NET_ADMIN)" || return
	fi
	refuse CAP_NET_ADMIN "CAP_NET_ADMIN missing: a resolver started by $(id -un) would not have it" \
		"start it as root, or by systemd's AmbientCapabilities=CAP_NET_ADMIN" || return
}

# The library judges the variables: it prints a line for each that is wrong when it is loaded, and nothing otherwise.
check_variables() {
	local complaints status
	if [[ $(elf_identity /bin/true) != "$(elf_identity "$library")" ]]; then
		warn "$library" 'it is for another machine than /bin/true: the CONNMARK_ variables were not checked'
		return
	elif [[ $(libc_of_program /bin/true) != "$(libc_of_library)" ]]; then
		warn "$library" 'it is for another C library than /bin/true: the CONNMARK_ variables were not checked'
		return
	fi
	complaints=$(env -i -- "${environment[@]}" LD_PRELOAD="$library" /bin/true </dev/null 2>&1)
	status=$?
	[[ -z $complaints ]] || refuse_variables "$complaints" || return
	((status == 0)) || refuse "$library" "/bin/true with the library fails with status $status" \
		'build the library anew for this machine' || return
}

