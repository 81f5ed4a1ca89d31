# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The network that a resolver lives in: is conntrack there, do the rules mark the clients and save the mark of what
# leaves, and what do conntrack's entries say?
#
# Uses `inside`, the command that enters the network namespace, and what process.bash found out.

# The commands that make a rule, in the form that the machine already uses. A rule that sets the packet's mark has to
# stand before the one that saves it, where that is there already.
rule_command() { # FORM ROLE FAMILY
	local iptables=iptables
	(($3 == 6)) && iptables=ip6tables
	case $1.$2 in
	iptables.set) echo "$iptables -t mangle $(place_before_save "$iptables") -m mark --mark 0 -s CLIENT -j MARK --set-mark N" ;;
	iptables.save-in) echo "$iptables -t mangle -A PREROUTING -j CONNMARK --save-mark" ;;
	iptables.restore) echo "$iptables -t mangle -I PREROUTING -j CONNMARK --restore-mark" ;;
	iptables.restore-behind) echo "$iptables -t mangle -A PREROUTING -j CONNMARK --restore-mark" ;;
	iptables.save-out) echo "$iptables -t mangle -A OUTPUT -m mark ! --mark 0 -j CONNMARK --save-mark" ;;
	nft.save-out)
		echo 'nft add table inet connmark'
		echo "nft 'add chain inet connmark output { type route hook output priority mangle; }'"
		echo "nft 'add rule inet connmark output meta mark != 0 ct mark set meta mark'"
		;;
	nft.*)
		echo 'nft add table inet connmark'
		echo "nft 'add chain inet connmark prerouting { type filter hook prerouting priority mangle; }'"
		case $2 in
		set) echo "nft 'add rule inet connmark prerouting ip${3/4/} saddr CLIENT ct mark set N'" ;;
		save-in) echo "nft 'add rule inet connmark prerouting meta mark != 0 ct mark set meta mark'" ;;
		restore-behind) echo "nft 'add rule inet connmark prerouting meta mark set ct mark'" ;;
		restore) echo "nft 'insert rule inet connmark prerouting meta mark set ct mark'" ;;
		esac
		;;
	esac
}

# Prints how a rule is put before PREROUTING's own one that saves, or at the end where there is none.
place_before_save() { # IPTABLES
	local place
	place=$("${inside[@]}" "$1" -t mangle -S PREROUTING 2>/dev/null | grep '^-A' | grep -n -m 1 -e '--save-mark' | cut -d : -f 1)
	if [[ $place ]]; then echo "-I PREROUTING $place"; else echo '-A PREROUTING'; fi
}

# Prints the command that takes away a rule of iptables, as rules_that has its family and text.
iptables_without() { # FAMILY TEXT
	local iptables=iptables
	[[ $1 == 6 ]] && iptables=ip6tables
	echo "$iptables ${2/ -A / -D }"
}

# ... and of nft, by the handle that it has now.
nft_without() { # TEXT
	local place=${1%%: *} rule=${1#*: } handle words
	read -r -a words <<<"$place"
	handle=$("${inside[@]}" nft -a list chain "${words[@]}" 2>/dev/null | grep -F -- "$rule # handle " | sed 's/.* //;q')
	if [[ $handle ]]; then
		echo "nft delete rule $place handle $handle"
	else
		echo "nft -a list chain $place shows its handle: nft delete rule $place handle HANDLE"
	fi
}

check_tracking() {
	local count most
	step=conntrack
	if ! "${inside[@]}" test -e /proc/sys/net/netfilter/nf_conntrack_max -o -e /proc/net/nf_conntrack; then
		finding problem conntrack 'the kernel does not track connections in this network namespace' \
			'no client has a mark that could be carried' \
			'modprobe nf_conntrack nf_conntrack_netlink, and load the firewall rules that set the marks'
		return 1
	fi
	count=$("${inside[@]}" cat /proc/sys/net/netfilter/nf_conntrack_count 2>/dev/null)
	most=$("${inside[@]}" cat /proc/sys/net/netfilter/nf_conntrack_max 2>/dev/null)
	if [[ $count && $most ]] && ((most && count * 10 >= most * 9)); then
		finding warning conntrack "its table is nearly full: $count of $most entries" \
			'new clients get no entry, so no mark' "sysctl -w net.netfilter.nf_conntrack_max=$((most * 2))"
	else
		finding ok conntrack "connections are tracked: ${count:-?} of ${most:-?} entries"
	fi
}

# ---------------------------------------------------------------------------------------------------------------------
# The rules

check_rules() {
	local family
	if ! read_rules; then
		finding unknown rules 'neither iptables-save nor nft is there to show the rules' '' 'apt-get install nftables'
		return
	fi
	check_notrack
	for family in 4 6; do
		((family == 4)) || [[ $serves6 == yes ]] || continue
		check_family_rules "$family"
	done
}

# Rules that exempt DNS from tracking, or everything; those for other ports or for the loopback are nobody's business.
check_notrack() {
	local family form text port without
	while IFS=$'\t' read -r family _ _ _ _ form text; do
		[[ $text == *'-i lo'* || $text == *'-o lo'* || $text == *'iifname "lo"'* || $text == *'oifname "lo"'* ]] && continue
		if [[ $text == *port* ]]; then
			for port in $ports; do
				[[ $text =~ port[s]?\ ([^-]*[^0-9])?$port([^0-9]|$) ]] && break
				port=
			done
			[[ $port ]] || continue
		fi
		if [[ $form == nft ]]; then without=$(nft_without "$text"); else without=$(iptables_without "$family" "$text"); fi
		finding problem notrack "a rule keeps conntrack from seeing the clients: $text" \
			'their flows have no entry, so no mark' "$without
(or except DNS from it)"
	done < <(rules_that 4 'prerouting|output' notrack; rules_that 6 'prerouting|output' notrack | grep -v '^46')
}

check_family_rules() { # FAMILY
	local family=$1 form=iptables setting save_in save_out restore early name
	name=IPv$family
	setting=$(rules_that "$family" 'prerouting|input' 'packet|flow')
	save_in=$(rules_that "$family" 'prerouting|input' save)
	save_out=$(rules_that "$family" 'output|postrouting' save)
	restore=$(rules_that "$family" prerouting restore)
	[[ $rules == *$'\tnft\t'* && $setting$save_in$save_out != *$'\tiptables\t'* ]] && form=nft
	type -P iptables-save >/dev/null || form=nft

	early=$(awk -F '\t' '$3 <= -200 && $5 == "flow"' <<<"$setting")
	if [[ -z $setting ]]; then
		finding problem rule-set "$name: no rule marks the clients in PREROUTING" \
			'no client has a mark that could be carried' "$(rule_command "$form" set "$family")"
	elif [[ $early && $early == "$setting" ]]; then
		finding problem rule-set "$name: $(text_of "$early") comes before conntrack" \
			'there is no connection yet that it could mark' 'give its chain the priority mangle (above -200)'
	else
		finding ok rule-set "$name, $(form_of "$setting"): $(text_of "$setting")"
	fi
	check_packet_marks "$family" "$form" "$setting" "$save_in" "$restore"
	if [[ -z $save_out ]]; then
		finding problem rule-output "$name: no rule saves the mark of what leaves in OUTPUT" \
			"the resolver's packets are marked, but the connections that they make are not" \
			"$(rule_command "$form" save-out "$family")"
	else
		finding ok rule-output "$name, $(form_of "$save_out"): $(text_of "$save_out")"
	fi
}

# Where the clients' packets are marked (and not their connections), that has to be saved, behind it, and restored.
check_packet_marks() { # FAMILY FORM SETTING SAVE RESTORE
	local family=$1 form=$2 setting=$3 save=$4 restore=$5 name="IPv$1" last_save last_restore first_set
	if [[ $setting == *$'\tpacket\t'* && $setting != *$'\tflow\t'* ]]; then
		last_save=$(cut -f 4 <<<"$save" | sort -n | tail -n 1)
		first_set=$(awk -F '\t' '$5 == "packet" { print $4 }' <<<"$setting" | sort -n | head -n 1)
		if [[ -z $save ]]; then
			finding problem rule-save "$name: no rule saves the clients' mark to their connections in PREROUTING" \
				'only their packets are marked, and conntrack, which is asked, knows nothing of it' \
				"$(rule_command "$form" save-in "$family")"
		elif ((last_save < first_set)); then
			finding problem rule-save "$name: $(text_of "$save") comes before the rule that sets the mark" \
				"a client's first query has no mark in conntrack yet" "$(behind_the_others "$form" "$family" "$save")"
		else
			finding ok rule-save "$name, $(form_of "$save"): $(text_of "$save")"
		fi
		if [[ -z $restore ]]; then
			finding warning rule-restore "$name: no rule restores the mark in PREROUTING" \
				'a later packet of the connection that no rule marks takes the mark off again' \
				"$(rule_command "$form" restore "$family")"
		else
			finding ok rule-restore "$name, $(form_of "$restore"): $(text_of "$restore")"
		fi
	elif [[ $by_packet == yes ]]; then
		# Behind the rule that marks the connection, or a client's first packet has nothing of it.
		last_restore=$(cut -f 4 <<<"$restore" | sort -n | tail -n 1)
		first_set=$(cut -f 4 <<<"$setting" | sort -n | head -n 1)
		if [[ -z $restore ]] || ((last_restore < ${first_set:-0})); then
			finding problem rule-restore "$name: no rule gives the connection's mark to its packet in PREROUTING" \
				"marks are taken from the clients' packets, and those have none" \
				"$(rule_command "$form" restore-behind "$family")"
		else
			finding ok rule-restore "$name, $(form_of "$restore"): $(text_of "$restore")"
		fi
	fi
}

# Prints what puts a rule behind all others: for a single one of PREROUTING itself, the commands.
behind_the_others() { # FORM FAMILY RULES
	local text
	text=$(cut -f 7 <<<"$3")
	if [[ $1 == iptables && $text == '-t mangle -A PREROUTING '* && $text != *$'\n'* ]]; then
		iptables_without "$2" "$text"
		rule_command iptables save-in "$2"
	else
		echo 'put it behind that rule'
	fi
}

# Of rules as rules_that prints them: the first one's text, with the number of the others.
text_of() { # RULES
	local first more
	first=$(head -n 1 <<<"$1" | cut -f 7)
	more=$(($(wc -l <<<"$1") - 1))
	echo "$first$( ((more)) && echo " (and $more more)")"
}

form_of() { # RULES
	head -n 1 <<<"$1" | cut -f 6
}

# ---------------------------------------------------------------------------------------------------------------------
# The entries

# Prints 'KIND MARK ZONE' for each entry of a client's flow to the resolver, and of the resolver's own to an upstream.
flow_kinds() {
	local addresses
	addresses=$("${inside[@]}" ip -o address show 2>/dev/null | awk '{ sub("/.*", "", $4); printf " %s ", $4 }')
	for family in ipv4 ipv6; do
		"${inside[@]}" timeout 20 conntrack -L -f "$family" 2>/dev/null
	done | awk -v addresses="$addresses" -v ports=" $ports " '
		function is_local(address) { return index(addresses, " " address " ") }
		{
			split("", source); split("", sport); split("", dport); sources = 0; mark = 0; zone = 0; destination = ""
			for (i = 1; i <= NF; i++) {
				split($i, pair, "=")
				if (pair[1] == "src") source[++sources] = pair[2]
				else if (pair[1] == "dst" && sources == 1) destination = pair[2]
				else if (pair[1] == "sport") sport[sources] = pair[2]
				else if (pair[1] == "dport") dport[sources] = pair[2]
				else if (pair[1] == "mark") mark = pair[2]
				else if (pair[1] == "zone") zone = pair[2]
			}
			if (is_local(source[2]) && index(ports, " " sport[2] " ") && !is_local(source[1]))
				print "client", mark, zone
			else if (is_local(source[1]) && !is_local(destination) && dport[1] ~ /^(53|853)$/)
				print "upstream", mark, zone
		}'
}

check_flows() {
	local kind mark zone count mask wanted
	local -A all=() marked=() zones=()
	mask=$(own_number CONNMARK_MASK 0xffffffff) wanted=$(own_number CONNMARK_ZONE 0)
	if ! type -P conntrack >/dev/null; then
		finding unknown flows 'the command conntrack is not there to show the entries' '' 'apt-get install conntrack'
		return
	fi
	if ! type -P ip >/dev/null; then
		finding unknown flows 'the command ip is not there to tell whose flows these are' '' 'apt-get install iproute2'
		return
	fi
	if ! "${inside[@]}" conntrack -C >/dev/null 2>&1; then
		finding unknown flows "conntrack's entries could not be read" '' \
			'run this as root; modprobe nf_conntrack_netlink'
		return
	fi
	while read -r count kind mark zone; do
		all[$kind]=$((${all[$kind]-0} + count))
		((mark & mask)) && marked[$kind]=$((${marked[$kind]-0} + count))
		[[ $kind == client ]] && zones[$zone]=1
	done < <(flow_kinds | sort | uniq -c)
	check_client_flows "${all[client]-0}" "${marked[client]-0}"
	((${all[client]-0})) && [[ $by_packet == no ]] && check_zone "$wanted" "${!zones[@]}"
	check_upstream_flows "${all[upstream]-0}" "${marked[upstream]-0}" "${marked[client]-0}"
}

# A variable of the process as a number. What is none stays out of the shell's arithmetic, which would execute it.
own_number() { # NAME DEFAULT
	local value=${own[$1]-$2}
	[[ $value =~ ^(0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10})$ ]] || value=$2
	if [[ $value == 0[xX]* ]]; then echo $((value)); else echo $((10#$value)); fi
}

check_client_flows() { # ALL MARKED
	if (($1 == 0)); then
		finding note client-flows "conntrack has no entry of a client's flow to port ${ports// /, }" \
			'nobody has asked for two minutes, or a rule keeps conntrack from seeing it' 'ask something from a client, and look again'
	elif (($2 == 0)); then
		finding warning client-flows "none of the $1 flows of clients carries a mark" \
			'those who asked lately are clients that no rule marks' \
			'conntrack -L -p udp --dport 53 shows who they are; compare with the rules'
	else
		finding ok client-flows "$2 of $1 flows of clients carry a mark"
	fi
}

check_upstream_flows() { # ALL MARKED MARKED-OF-CLIENTS
	if (($1 == 0)); then
		finding note upstream-flows 'conntrack has no entry of a flow to an upstream' \
			'nothing was asked for two minutes, or all came from the cache' 'ask a new name from a client, and look again'
	elif (($2 == 0)) && [[ ${own[CONNMARK_DRY_RUN]-} == yes ]]; then
		finding note upstream-flows "none of the $1 flows to upstreams carries a mark: CONNMARK_DRY_RUN=yes"
	elif (($2 == 0 && $3 > 0)); then
		finding problem upstream-flows "none of the $1 flows to upstreams carries a mark" \
			'the marks are lost in the resolver, or not saved in OUTPUT' 'see the other findings'
	else
		finding ok upstream-flows "$2 of $1 flows to upstreams carry a mark"
	fi
}

check_zone() { # WANTED ZONE-OF-A-CLIENT...
	local wanted=$1
	shift
	if (($# == 1)) && [[ $1 == "$wanted" ]]; then
		finding ok zone "the clients' flows are in zone $1"
	elif [[ " $* " == *" $wanted "* ]]; then
		finding warning zone "the clients' flows are in several zones: $*" "only those in zone $wanted are found" \
			'one zone for all that ask this resolver'
	else
		finding problem zone "the clients' flows are in zone $*, and it asks for zone $wanted" \
			'their entries are not found, so their queries leave unmarked' "restart it with CONNMARK_ZONE=$1"
	fi
}
