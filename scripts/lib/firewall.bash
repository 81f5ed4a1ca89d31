# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The firewall's rules, of iptables and of nft, as far as they concern marks: what each does, where, and in which order.
#
# Uses the array `inside`, the command that enters the network namespace.

# Sets `rules`: a line each, with tabs between
#   FAMILY    4, 6 or 46
#   HOOK      prerouting, input, output, postrouting, forward
#   PRIORITY  of the chain at that hook, as nft counts: conntrack is at -200
#   PLACE     grows in the order in which a packet meets the rules
#   ROLE      restore   the packet gets the connection's mark
#             packet    the packet gets a mark
#             flow      the connection gets a mark
#             save      the connection gets the packet's mark
#             notrack   not tracked at all
#             zone      tracked in another zone
#   FORM      iptables or nft
#   TEXT      the rule
read_rules() {
	local family command legacy
	rules='' rules_seen=no
	for family in 4 6; do
		command=iptables-save legacy=iptables-legacy-save
		((family == 6)) && command=ip6tables-save legacy=ip6tables-legacy-save
		if type -P "$command" >/dev/null; then
			rules+=$("${inside[@]}" "$command" 2>/dev/null | iptables_roles "$family")$'\n' rules_seen=yes
		fi
		# Asked only where the kernel says that it has such tables, for asking makes them.
		if type -P "$legacy" >/dev/null && [[ $(type -P "$legacy") != "$(type -P "$command")" ]] &&
			"${inside[@]}" grep -qs . "/proc/net/ip${family/4/}_tables_names"; then
			rules+=$("${inside[@]}" "$legacy" 2>/dev/null | iptables_roles "$family")$'\n'
		fi
	done
	if type -P nft >/dev/null; then
		rules+=$("${inside[@]}" nft list ruleset 2>/dev/null | nft_roles)$'\n' rules_seen=yes
	fi
	[[ $rules_seen == yes ]]
}

# Prints the rules of that role and hook (a regular expression) which see packets of that family.
rules_that() { # FAMILY HOOK ROLE
	awk -F '\t' -v family="$1" -v hook="^($2)$" -v role="^($3)$" \
		'index($1, family) && $2 ~ hook && $5 ~ role' <<<"$rules"
}

# ---------------------------------------------------------------------------------------------------------------------

# iptables-save's output; chains of the user's are followed from the hooks that lead to them.
iptables_roles() { # FAMILY
	awk -v family="$1" '
		function role_of(rule) {
			if (rule ~ /-j CONNMARK .*--restore-mark/) return "restore"
			# Of packets without a mark nothing is saved: such a rule takes a mark off.
			if (rule ~ / -m mark --mark 0x0[ \/].*--save-mark/) return ""
			if (rule ~ /-j CONNMARK .*--save-mark/) return "save"
			if (rule ~ /-j NOTRACK/ || rule ~ /-j CT .*--notrack/) return "notrack"
			if (rule ~ /-j CT .*--zone/) return "zone"
			if (rule ~ /--set-x?mark 0x0\//) return ""
			if (rule ~ /-j CONNMARK .*--(set-x?|or-|xor-)mark/) return "flow"
			if (rule ~ /-j MARK .*--(set-x?|or-|xor-)mark/) return "packet"
			return ""
		}
		function walk(chain, hook, depth,    i, role, rule, next_chain) {
			for (i = 1; depth < 20 && i <= count[table, chain]; i++) {
				rule = rules[table, chain, i]
				place++
				role = role_of(rule)
				if (role != "")
					printf "%s\t%s\t%d\t%d\t%s\tiptables\t-t %s %s\n", family, hook, priority[table],
						(priority[table] + 1000) * 100000 + place, role, table, rule
				if (match(rule, / -[jg] [^ ]+/)) {
					next_chain = substr(rule, RSTART + 4, RLENGTH - 4)
					if ((table, next_chain) in count)
						walk(next_chain, hook, depth + 1)
				}
			}
		}
		BEGIN {
			priority["raw"] = -300; priority["mangle"] = -150; priority["nat"] = -100; priority["filter"] = 0
			split("PREROUTING INPUT FORWARD OUTPUT POSTROUTING", hooks, " ")
		}
		/^\*/ { table = substr($1, 2) }
		/^-A / { rules[table, $2, ++count[table, $2]] = $0 }
		/^COMMIT/ { for (h = 1; h <= 5; h++) walk(hooks[h], tolower(hooks[h]), 0) }'
}

# The output of `nft list ruleset`. Tables that belong to iptables-nft were seen above.
nft_roles() {
	awk '
		function role_of(rule) {
			if (rule ~ /(^| )notrack( |$)/) return "notrack"
			if (rule ~ /ct (original |reply )?zone set /) return "zone"
			if (rule ~ /meta mark set .*ct mark/) return "restore"
			if (rule ~ /ct mark set .*(meta )mark/) return "save"
			if (rule ~ /ct mark set (0x0+|0)( |$)/ || rule ~ /meta mark set (0x0+|0)( |$)/) return ""
			if (rule ~ /ct mark set /) return "flow"
			if (rule ~ /meta mark set /) return "packet"
			return ""
		}
		function families(rule) {
			if (family != "inet") return family == "ip6" ? "6" : family == "ip" ? "4" : ""
			if (rule ~ /(^| )ip6 /) return "6"
			return rule ~ /(^| )ip / ? "4" : "46"
		}
		function number(text,    word, base) {
			split(text, word, " ")
			base = word[1] in named ? named[word[1]] : word[1] + 0
			return word[2] == "+" ? base + word[3] : word[2] == "-" ? base - word[3] : base
		}
		function walk(name, hook, depth,    i, rule, role, rest, to) {
			for (i = 1; depth < 20 && i <= count[name]; i++) {
				rule = rules[name, i]
				place++
				role = role_of(rule)
				if (role != "" && families(rule) != "")
					printf "%s\t%s\t%d\t%d\t%s\tnft\t%s %s %s: %s\n", families(rule), hook, level,
						(level + 1000) * 100000 + place, role, family, table, name, rule
				rest = rule
				while (match(rest, /(jump|goto) [^ ,}]+/)) {
					to = substr(rest, RSTART + 5, RLENGTH - 5)
					rest = substr(rest, RSTART + RLENGTH)
					walk(to, hook, depth + 1)
				}
			}
		}
		function finish(    c) {
			for (c = 1; c <= chains && !managed; c++)
				if (chain[c] in at) {
					level = number(when[chain[c]])
					walk(chain[c], at[chain[c]], 0)
				}
			split("", rules); split("", count); split("", at); split("", when)
			chains = 0; managed = 0
		}
		BEGIN {
			named["raw"] = -300; named["mangle"] = -150; named["dstnat"] = -100; named["filter"] = 0
			named["security"] = 50; named["srcnat"] = 100
		}
		/^table / { family = $2; table = $3; current = "" }
		/^}/ { finish(); next }
		/^\tchain / {
			current = $2
			chain[++chains] = current
			if (family ~ /^ip6?$/ && table ~ /^(raw|mangle|nat|filter|security)$/ &&
				current ~ /^(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)$/)
				managed = 1
			next
		}
		/^\t[^\t]/ { current = "" }
		current == "" { next }
		/^\t\ttype .* hook / {
			match($0, /hook [a-z]+/)
			at[current] = substr($0, RSTART + 5, RLENGTH - 5)
			if (match($0, /priority [^;]+/))
				when[current] = substr($0, RSTART + 9, RLENGTH - 9)
			next
		}
		/^\t\t\t/ { if (count[current]) rules[current, count[current]] = rules[current, count[current]] " " substr($0, 4); next }
		/^\t\t[^\t]/ { rules[current, ++count[current]] = substr($0, 3) }'
}
