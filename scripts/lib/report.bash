# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Findings, and how they are told: to a person, or as JSON. Each finding says what is, what that means, and what to type.
# Its level is ok, note, warning (works, with a reservation), problem (cannot work) or unknown (could not be seen).

target=                 # what the findings are about from here on
live_counters=          # what connmark-stat says of processes, as JSON members
declare -a finding_target=() finding_level=() finding_id=() finding_text=() finding_means=() finding_remedy=()

# finding LEVEL ID TEXT [MEANING [REMEDY]]; REMEDY may have several lines
finding() {
	finding_target+=("$target") finding_level+=("$1") finding_id+=("$2") finding_text+=("$3")
	finding_means+=("${4-}") finding_remedy+=("${5-}")
}

# Sets `verdict` and `status` by the worst finding; problems weigh most, then warnings, then what could not be seen.
judge() {
	local level problems=0 warnings=0 unknown=0
	for level in "${finding_level[@]}"; do
		case $level in
		problem) problems=$((problems + 1)) ;;
		warning) warnings=$((warnings + 1)) ;;
		unknown) unknown=$((unknown + 1)) ;;
		esac
	done
	if ((problems)); then
		verdict='cannot work' status=2
	elif ((warnings)); then
		verdict='works, with reservations' status=1
	elif ((unknown)); then
		verdict='not known' status=3
	else
		verdict='works' status=0
	fi
	tally="problems: $problems, warnings: $warnings, not seen: $unknown"
}

# ---------------------------------------------------------------------------------------------------------------------
# For a person. Names of processes and files are strangers': control characters stay away from the terminal.

tell() {
	local i last='' mark
	for i in "${!finding_id[@]}"; do
		if [[ ${finding_target[i]} != "$last" ]]; then
			last=${finding_target[i]}
			printf '%s\n' "${last//[[:cntrl:]]/?}"
		fi
		mark=${finding_level[i]}
		[[ $mark == problem || $mark == warning ]] && mark=${mark^^}
		printf '  %-8s %-18s %s\n' "$mark" "${finding_id[i]}" "${finding_text[i]//[[:cntrl:]]/?}"
		if [[ ${finding_level[i]} == ok ]]; then
			[[ -z ${finding_means[i]} ]] || printf '             %s\n' "${finding_means[i]//$'\n'/$'\n             '}"
			continue
		fi
		tell_lines means "${finding_means[i]}"
		tell_lines 'do' "${finding_remedy[i]}"
	done
	printf 'verdict: %s (%s)\n' "$verdict" "$tally"
}

tell_lines() { # WORD TEXT
	local line word=$1
	[[ $2 ]] || return 0
	while IFS= read -r line; do
		printf '  %-8s   %-16s %s\n' '' "$word" "${line//[[:cntrl:]]/?}"
		word=
	done <<<"$2"
}

# ---------------------------------------------------------------------------------------------------------------------
# As JSON (RFC 8259)

# Prints TEXT as a string: control characters escaped, and what is not UTF-8 replaced.
json_string() { # TEXT
	local LC_ALL=C text=$1 out='' character code i
	if [[ $text == *[$'\x80'-$'\xff']* ]] && ! printf '%s' "$text" | iconv -f UTF-8 -t UTF-8 >/dev/null 2>&1; then
		text=${text//[$'\x80'-$'\xff']/$'\xef\xbf\xbd'}
	fi
	text=${text//\\/\\\\}
	text=${text//\"/\\\"}
	if [[ $text == *[$'\x01'-$'\x1f\x7f']* ]]; then
		for ((i = 0; i < ${#text}; i++)); do
			character=${text:i:1}
			if [[ $character == [$'\x01'-$'\x1f\x7f'] ]]; then
				printf -v code '%d' "'$character"
				printf -v character '\\u%04x' "$code"
			fi
			out+=$character
		done
		text=$out
	fi
	printf '"%s"' "$text"
}

json_member() { # NAME TEXT
	json_string "$1"
	printf ': '
	json_string "$2"
}

tell_json() {
	local i
	printf '{"verdict": "%s", "status": %d, "findings": [' "$verdict" "$status"
	for i in "${!finding_id[@]}"; do
		((i)) && printf ','
		printf '\n  {'
		json_member target "${finding_target[i]}"
		printf ', '
		json_member level "${finding_level[i]}"
		printf ', '
		json_member id "${finding_id[i]}"
		printf ', '
		json_member finding "${finding_text[i]}"
		printf ', '
		json_member means "${finding_means[i]}"
		printf ', '
		json_member remedy "${finding_remedy[i]}"
		printf '}'
	done
	printf '\n], "counters": {%s}}\n' "$live_counters"
}
