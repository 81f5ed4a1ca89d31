# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A systemd service as its files describe it, and what it lacks to carry marks. systemd need not be running; what lists
# mean when they are assigned several times is in systemd.exec(5) and systemd.service(5).
#
# Uses `root`, before every path of the system.

readonly drop_in_name=50-connmarkshim.conf

# By rank: a file hides those of the same name further down.
unit_directories=(/etc/systemd/system /run/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system
	/lib/systemd/system)

# Sets `unit` (the file's name), `fragment` (its path) and `drop_ins` (those of others). An alias is followed.
find_unit() { # NAME
	local name=${1%.service} directory candidate
	for candidate in "$name" "$(other_name_of_unit "$name")"; do
		[[ $candidate ]] || continue
		for directory in "${unit_directories[@]}"; do
			fragment=$root$directory/$candidate.service
			unit=$candidate.service
			# an instance has its template's file
			[[ -e $fragment || $candidate != *@?* ]] || fragment=$root$directory/${candidate%%@*}@.service
			[[ -e $fragment ]] || continue
			[[ $(realpath -- "$fragment") == /dev/null ]] || break 2
			fragment=
			break
		done
	done
	[[ $fragment ]] ||
		refuse "$1" 'the service is masked' "systemctl unmask $1" || return
	[[ -e $fragment ]] ||
		refuse "$1" 'there is no such service' 'systemctl list-unit-files --type=service shows their names' || return
	if [[ -L $fragment && $unit != *@?*.service ]]; then
		unit=$(basename -- "$(realpath -- "$fragment")")
	fi
	find_drop_ins
}

# How people call them, where Debian's unit has another name.
other_name_of_unit() { # NAME
	case $1 in
	bind | bind9) echo named ;;
	kresd | knot-resolver) echo kresd@ ;;
	pdns_recursor) echo pdns-recursor ;;
	resolved | systemd-resolve) echo systemd-resolved ;;
	esac
}

# In the order in which systemd reads them: by name, whatever the directory.
find_drop_ins() {
	local directory path folder
	local -A seen=()
	drop_ins=()
	for folder in "$unit.d" "${unit%%@*}@.service.d"; do
		[[ $folder == "$unit.d" || $unit == *@?*.service ]] || continue
		for directory in "${unit_directories[@]}"; do
			for path in "$root$directory/$folder"/*.conf; do
				[[ -e $path && ${path##*/} != "$drop_in_name" && -z ${seen[${path##*/}]-} ]] || continue
				seen[${path##*/}]=$path
			done
		done
	done
	while IFS= read -r path; do
		[[ $path ]] && drop_ins+=("${seen[$path]}")
	done < <(((${#seen[@]})) && printf '%s\n' "${!seen[@]}" | sort)
}

# Prints NAME=VALUE for each assignment of the [Service] sections, in order.
unit_settings() {
	awk '
		FNR == 1 { service = 0; held = "" }
		/^[ \t]*[#;]/ { next }
		{ line = held $0; held = "" }
		line ~ /\\$/ { held = substr(line, 1, length(line) - 1) " "; next }
		line ~ /^\[/ { service = line ~ /^\[Service\]/; next }
		service && line ~ /=/ {
			sub(/^[ \t]+/, "", line); sub(/[ \t]+$/, "", line); sub(/[ \t]*=[ \t]*/, "=", line)
			print line
		}' "$fragment" "${drop_ins[@]}"
}

# Prints the last value of a setting.
unit_value() { # NAME
	unit_settings | sed -n "s/^$1=//p" | tail -n 1
}

# Is that word allowed by a list that assignments join, '~' inverts and an empty one begins anew? LISTED says what a
# service without such a line has: yes, or no.
unit_list_has() { # NAME WORD LISTED
	local name=$1 word=$2 has=$3 value inverted started=no
	while IFS= read -r value; do
		[[ $value == "$name="* ]] || continue
		value=${value#*=}
		if [[ -z $value ]]; then
			started=no has=$3
			# an empty capability set, in contrast to a list of families that is gone
			[[ $name == *Families ]] || has=no started=yes
			continue
		fi
		inverted=no
		[[ $value == '~'* ]] && inverted=yes value=${value#'~'}
		if [[ $started == no ]]; then
			started=yes has=$inverted
		fi
		if [[ " $value " == *[[:space:]]"$word"[[:space:]]* ]]; then
			has=yes
			[[ $inverted == yes ]] && has=no
		fi
	done < <(unit_settings)
	[[ $has == yes ]]
}

is_yes() { # VALUE
	[[ $1 == yes || $1 == true || $1 == on || $1 == 1 ]]
}

# Sets `user`, empty where the service begins as root, and `executable`.
read_unit() {
	local command
	user=$(unit_value User)
	is_yes "$(unit_value DynamicUser)" && user=${user:-a user of its own}
	[[ $user == root || $user == 0 ]] && user=
	command=$(unit_value ExecStart)
	# '+' is started with full privileges, '!' drops by itself; '!!' does so on kernels without ambient capabilities
	[[ $command =~ ^[-@:]*(\+|!([^!]|$)) ]] && user=
	executable=${command%%[[:space:]]*}
	while [[ $executable == [-@:+!]* ]]; do
		executable=${executable:1}
	done
	# Debian's dnsmasq is started by a script of its own.
	[[ $executable != */dnsmasq/systemd-helper && $executable != /etc/init.d/dnsmasq ]] || executable=/usr/sbin/dnsmasq
	[[ $executable == /* ]] ||
		refuse "$unit" "its ExecStart= names no program by its path: '$executable'" \
			"name it in a drop-in of yours (systemctl edit $unit)" || return
}

# ---------------------------------------------------------------------------------------------------------------------

# Prints the lines of the drop-in that this service needs, each with its reason.
drop_in() {
	local entry others
	printf '# Carries conntrack marks through this service. Made by connmark-systemd; connmark-systemd --remove %s\n' \
		"${unit%.service}"
	printf '# takes it away again.\n[Service]\n'
	others=$(unit_settings | sed -n 's/^Environment=.*\bLD_PRELOAD=\([^" ]*\).*/\1/p' | tail -n 1)
	printf 'Environment=LD_PRELOAD=%s\n' "$library${others:+:$others}"
	for entry in "${environment[@]}"; do
		entry=${entry//\\/\\\\}
		entry=${entry//\"/\\\"}
		printf 'Environment="%s"\n' "${entry//%/%%}"
	done
	if ! unit_list_has CapabilityBoundingSet CAP_NET_ADMIN yes; then
		printf '# marks are set and conntrack is asked with it, and the unit bounds it away\n'
		printf 'CapabilityBoundingSet=CAP_NET_ADMIN\n'
	fi
	if [[ $user ]] && ! unit_list_has AmbientCapabilities CAP_NET_ADMIN no; then
		printf '# the service begins as %s, who has it from nowhere else\n' "$user"
		printf 'AmbientCapabilities=CAP_NET_ADMIN\n'
	fi
	if ! unit_list_has RestrictAddressFamilies AF_NETLINK yes; then
		printf '# conntrack is asked over netlink\n'
		printf 'RestrictAddressFamilies=AF_NETLINK\n'
	fi
	if is_yes "$(unit_value PrivateUsers)"; then
		printf '# in a user namespace of its own, capabilities do not count for this network\n'
		printf 'PrivateUsers=no\n'
	fi
	drop_in_counters
}

# Root makes the directory of the counters by itself, others cannot.
drop_in_counters() {
	[[ $user ]] || return 0
	printf '# where the counters for connmark-stat lie\n'
	printf 'ExecStartPre=-+/bin/mkdir -p -m 1777 /run/connmarkshim\n'
	if [[ $(unit_value ProtectSystem) == strict ]] || is_yes "$(unit_value DynamicUser)"; then
		printf 'ReadWritePaths=-/run/connmarkshim\n'
	fi
}

# What no drop-in can mend.
check_unit() {
	local place
	[[ $(unit_value Type) != oneshot ]] ||
		refuse "$unit" 'it is no service that stays (Type=oneshot)' "name the resolver's own service" || return
	for place in RootDirectory RootImage; do
		[[ -z $(unit_value "$place") ]] ||
			warn "$unit" "it has a root of its own ($place=): $library must be there too"
	done
	if [[ $library == /home/* || $library == /root/* || $library == /run/user/* ]]; then
		place=$(unit_value ProtectHome)
		[[ -z $place || $place == no || $place == false ]] ||
			refuse "$library" "$unit may not look there (ProtectHome=$place)" 'make install, and use the installed library' ||
			return
	elif [[ $library == /tmp/* || $library == /var/tmp/* ]]; then
		if is_yes "$(unit_value PrivateTmp)" || is_yes "$(unit_value DynamicUser)"; then
			refuse "$library" "$unit has a /tmp of its own (PrivateTmp=)" 'make install, and use the installed library' || return
		fi
	fi
	if [[ $user && -z $root ]] && has_file_capabilities "$executable"; then
		refuse "$executable" 'it has file capabilities, and so its loader ignores LD_PRELOAD' \
			"setcap -r $executable, and name them in AmbientCapabilities= of $unit" || return
	fi
}

# ---------------------------------------------------------------------------------------------------------------------
# AppArmor: the profiles of packages include a local file for the administrator's own rules.

readonly block_begin='# connmarkshim: begin' block_end='# connmarkshim: end'

# Sets `profile` and `local_rules`; both empty where the program has no profile that includes such a file.
# shellcheck disable=SC2034 # connmark-systemd writes there
find_profile() {
	local name=${executable#/}
	name=${name//\//.}
	profile=$root/etc/apparmor.d/$name local_rules=$root/etc/apparmor.d/local/$name
	[[ -e $profile ]] && grep -qE "^[[:space:]]*#?include( if exists)? <local/$name>" "$profile" && return
	profile='' local_rules=''
}

apparmor_rules() {
	echo "$block_begin"
	echo 'capability net_admin,'
	echo "$library mr,"
	echo '/run/connmarkshim/ rw,'
	echo '/run/connmarkshim/** rwk,'
	echo "$block_end"
}

# Prints a file without our block.
without_block() { # FILE
	[[ -e $1 ]] || return 0
	awk -v begin="$block_begin" -v end="$block_end" '$0 == begin { hidden = 1 } !hidden { print } $0 == end { hidden = 0 }' "$1"
}
