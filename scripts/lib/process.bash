# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A running resolver, as /proc shows it: is the library in it, and may it do what the library needs?
#
# Uses `pid`; sets what the checks of the network need: `own` (the CONNMARK_ variables it was started with), `by_packet`
# (clients' packets bring the marks, conntrack is not asked), `ports` (where it serves) and `serves6`.

readonly CAP_NET_ADMIN=12 CAP_NET_RAW=13

declare -A own=()
unit=
by_packet=no

# Prints the value of a line of /proc/PID/status.
status_of() { # FILE NAME
	sed -n "s/^$2:[[:space:]]*//p" "$1" 2>/dev/null
}

has_capability() { # SET CAPABILITY
	((0x${1:-0} >> $2 & 1))
}

read_process() {
	local entry
	executable=$(readlink "/proc/$pid/exe" 2>/dev/null)
	preloaded=
	while IFS= read -r -d '' entry; do
		case $entry in
		LD_PRELOAD=*) preloaded=${entry#*=} ;;
		CONNMARK_*=*) own[${entry%%=*}]=${entry#*=} ;;
		esac
	done 2>/dev/null <"/proc/$pid/environ"
	unit=$(sed -n 's|.*/\([^/]*\.service\)\(/.*\)\{0,1\}$|\1|p' "/proc/$pid/cgroup" 2>/dev/null | head -n 1)
	unit=${unit%.service}
	if [[ $(readlink "/proc/$pid/ns/pid") != "$(readlink /proc/self/ns/pid)" ]]; then
		# A container's unit is the container engine's.
		unit='' service='in its container: cap_add: [NET_ADMIN], and connmark-run as the command; see connmark-recipes(7)'
	elif [[ $unit ]]; then
		service="connmark-systemd --install $unit; systemctl restart $unit"
	else
		service='start it by connmark-run, or give its unit what connmark-systemd UNIT prints'
	fi
}

# ---------------------------------------------------------------------------------------------------------------------

check_mapped() {
	local path
	path=$(sed -n "s|^[^/]*\(/.*$library_name.*\)|\1|p" "/proc/$pid/maps" | head -n 1)
	if [[ -z $path ]]; then
		explain_unmapped
		return 1
	fi
	if [[ $path == *' (deleted)' ]]; then
		finding warning library "in its memory is ${path% (deleted)}, which was replaced since" \
			'it runs the old one' 'restart it'
	else
		finding ok library "in its memory: $path"
	fi
}

# The loader says nothing when it leaves a library out, so the reason is sought here: the surest first.
explain_unmapped() {
	local means='nothing is marked: the loader goes on without a library, and does not say so'
	if ! check_executable; then
		return
	elif [[ $(auxiliary_value 23) == 1 ]]; then
		finding problem library 'it is not in its memory: the process began in secure-execution mode (AT_SECURE)' \
			"$means; file capabilities, a set-user-ID bit or a security module make the loader ignore LD_PRELOAD" \
			"connmark-check $executable names the reason; setcap -r $executable or chmod ug-s $executable"
	elif [[ -z $preloaded ]]; then
		finding problem library 'it is not in its memory: the process was started without LD_PRELOAD' "$means" "$service"
	elif [[ $preloaded != *"$library_name"* ]]; then
		finding problem library "it is not in its memory: LD_PRELOAD was '$preloaded'" "$means" "$service"
	else
		finding problem library "it is not in its memory, though LD_PRELOAD was '$preloaded'" \
			"$means; the file is missing there, not readable for its user, or was built for another C library" \
			"ls -l $(printf %q "$preloaded"); LD_PRELOAD=$(printf %q "$preloaded") /bin/true shows the loader's own message"
	fi
}

# Of the program that it runs: what the loader cannot preload anything into. The file is the one that is running, even
# where another lies at its path by now.
check_executable() {
	[[ -r /proc/$pid/exe ]] || return 0
	program=/proc/$pid/exe step=library
	check_program
}

# Prints an entry of the vector that the kernel gave to the process (getauxval(3)).
auxiliary_value() { # TYPE
	local width=8
	(($(elf_number "/proc/$pid/exe" 4 1) == 2)) || width=4
	od -An -v -tu$width -w$((2 * width)) "/proc/$pid/auxv" 2>/dev/null | awk -v type="$1" '$1 == type { print $2; exit }'
}

# ---------------------------------------------------------------------------------------------------------------------

check_own_variables() {
	local name entries=() setting=''
	((${#own[@]})) || return 0
	for name in "${!own[@]}"; do
		entries+=("$name=${own[$name]}")
	done
	mapfile -t entries < <(printf '%s\n' "${entries[@]}" | sort)
	setting=${entries[*]}
	# The library judges them, loaded by this user: where the process has files written is left out.
	environment=() step=variables
	for name in "${entries[@]}"; do
		[[ ${name#*=} == /* || ${name#*=} == fd:* ]] || environment+=("$name")
	done
	check_variables || return
	finding ok variables "it was started with $setting"
	if [[ ${own[CONNMARK_DRY_RUN]-} == yes ]]; then
		finding warning variables 'CONNMARK_DRY_RUN=yes' 'everything is decided and nothing is marked' \
			'restart it without CONNMARK_DRY_RUN'
	fi
}

check_process_capability() {
	local file tasks=0 lacking=0 effective wanted=CAP_NET_ADMIN bounding permitted
	by_packet=no
	[[ ${own[CONNMARK_SOURCE]-} == packet ]] && by_packet=yes
	for file in "/proc/$pid"/task/*/status; do
		effective=$(status_of "$file" CapEff)
		[[ $effective ]] || continue
		tasks=$((tasks + 1))
		has_capability "$effective" "$CAP_NET_ADMIN" && continue
		if has_capability "$effective" "$CAP_NET_RAW" && [[ ${own[CONNMARK_SOURCE]-auto} != conntrack ]]; then
			by_packet=yes wanted=CAP_NET_RAW
			continue
		fi
		lacking=$((lacking + 1))
	done
	if ((tasks == 0)); then
		finding unknown capability "its status could not be read" '' 'run this as root'
		return
	fi
	if ((lacking == 0)); then
		finding ok capability "$wanted is effective in $tasks of $tasks threads"
		if [[ $by_packet == yes && ${own[CONNMARK_SOURCE]-} != packet ]]; then
			finding note source "it lacks CAP_NET_ADMIN, so it takes marks from the clients' packets (CONNMARK_SOURCE=auto)" \
				'a rule must restore the mark of the connection to each packet' "$service"
		fi
		return
	fi
	bounding=$(status_of "/proc/$pid/status" CapBnd) permitted=$(status_of "/proc/$pid/status" CapPrm)
	wanted=CAP_NET_ADMIN
	local text="$wanted missing in $lacking of $tasks threads"
	local means='the kernel lets it neither set marks nor ask conntrack: what it sends leaves unmarked'
	if ! has_capability "$bounding" "$CAP_NET_ADMIN"; then
		finding problem capability "$text: it is not in the bounding set" "$means" \
			"$service
(it is a matter of CapabilityBoundingSet= in the unit, or of cap_add in a container)"
	elif [[ ${own[CONNMARK_KEEP_CAPS]-} == no ]]; then
		finding problem capability "$text: CONNMARK_KEEP_CAPS=no lets it go with root's other capabilities" "$means" \
			'restart it without CONNMARK_KEEP_CAPS=no'
	elif has_capability "$permitted" "$CAP_NET_ADMIN"; then
		finding problem capability "$text, though it is permitted: the program took it out of its effective set" "$means" \
			'report it: the library should have kept it'
	else
		finding problem capability "$text: an ordinary user ($(id -nu "$(stat -c %u "/proc/$pid")" 2>/dev/null)) started it" \
			"$means" "$service
(AmbientCapabilities=CAP_NET_ADMIN of the unit)"
	fi
}

check_user_namespace() {
	[[ $(readlink "/proc/$pid/ns/user") == "$(readlink /proc/self/ns/user)" ]] && return
	finding warning user-namespace 'it lives in a user namespace of its own' \
		'its capabilities count only for a network namespace that belongs to that one' \
		'PrivateUsers=no in the unit; a container needs a network namespace of its own, or no user namespace'
}

check_apparmor() {
	local profile file text=''
	profile=$(tr -d '\0' <"/proc/$pid/attr/current" 2>/dev/null)
	if [[ -z $profile || $profile == unconfined* ]]; then
		finding ok apparmor 'no profile confines it'
		return
	fi
	if [[ $profile != *'(enforce)'* ]]; then
		finding ok apparmor "its profile is not enforced: $profile"
		return
	fi
	profile=${profile% (*}
	file=${executable#/}
	file=${file//\//.}
	[[ -r /etc/apparmor.d/$file ]] && text=$(cat "/etc/apparmor.d/$file" "/etc/apparmor.d/local/$file" 2>/dev/null)
	if grep -Eq '^[[:space:]]*(audit )?capability([^,#]* net_admin[^,#]*)?,' <<<"$text"; then
		finding ok apparmor "the profile $profile allows net_admin, if it was loaded as it stands"
		return
	fi
	finding problem apparmor "the profile $profile does not allow net_admin" \
		'marks cannot be set although the process has the capability' \
		"printf 'capability net_admin,\\n$(library_rule)\\n' >> /etc/apparmor.d/local/$file
apparmor_parser -r /etc/apparmor.d/$file"
}

library_rule() {
	echo "${library:-/usr/local/lib/connmarkshim/$library_name} mr,"
}

check_seccomp() {
	local means='conntrack cannot be asked'
	if [[ $unit ]] && unit_forbids_netlink; then
		if [[ ${own[CONNMARK_SOURCE]-auto} == conntrack ]]; then
			finding problem seccomp "RestrictAddressFamilies= of $unit lacks AF_NETLINK" "$means" "$service"
		elif [[ ${own[CONNMARK_SOURCE]-auto} == auto ]]; then
			by_packet=yes
			finding warning seccomp "RestrictAddressFamilies= of $unit lacks AF_NETLINK" \
				"$means; marks are taken from the clients' packets (CONNMARK_SOURCE=auto)" "$service"
		fi
		return
	fi
	if [[ $(status_of "/proc/$pid/status" Seccomp) != 2 ]]; then
		finding ok seccomp 'no filter on its system calls'
	elif has_netlink_socket; then
		finding ok seccomp 'it has a filter, which lets it ask conntrack: it has a netlink socket'
	else
		finding note seccomp 'it has a filter on its system calls' \
			'where that forbids netlink (RestrictAddressFamilies= without AF_NETLINK), conntrack cannot be asked' \
			"$service"
	fi
}

# As the unit's files say it now.
unit_forbids_netlink() {
	(
		refuse() { exit 1; }
		find_unit "$unit"
		! unit_list_has RestrictAddressFamilies AF_NETLINK yes
	)
}

# Prints the inodes of its sockets, as an alternation.
socket_inodes() {
	find "/proc/$pid/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null | sed 's/[^0-9]//g' | paste -sd '|'
}

has_netlink_socket() {
	local inodes
	inodes=$(socket_inodes)
	# the second column is the protocol: 12 is that of netfilter
	[[ $inodes ]] && awk -v inodes="^($inodes)$" '$2 == 12 && $NF ~ inodes { found = 1 } END { exit !found }' \
		"/proc/$pid/net/netlink"
}

# Sets `ports`: those where it accepts connections, and receives datagrams beneath 1024; 53 where there are none.
find_ports() {
	local inodes hex
	inodes=$(socket_inodes)
	ports='' serves6=no
	if [[ $inodes ]]; then
		while read -r hex family; do
			ports+="${ports:+ }$((16#$hex))"
			((family == 6)) && serves6=yes
		done < <(cd "/proc/$pid/net" && awk -v inodes="^($inodes)$" '
			$10 !~ inodes { next }
			{ split($2, local_end, ":"); split($3, remote, ":") }
			(FILENAME ~ /tcp/ && $4 == "0A") ||
			(FILENAME ~ /udp/ && remote[2] == "0000" && local_end[2] < "0400") {
				print local_end[2], FILENAME ~ /6$/ ? 6 : 4 }' udp udp6 tcp tcp6 2>/dev/null | sort -u)
	fi
	ports=${ports:-53}
}
