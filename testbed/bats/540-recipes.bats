#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# connmark-recipes(7): each recipe's own text is loaded next to a real resolver, and the kernel's counters, routes and
# conntrack entries must show what the recipe promises.
#
# shellcheck disable=SC2030,SC2031,SC2154 # stage.bash sets what `stage` says; each test is a subshell of its own

load helpers
load stage

setup() {
	need_root
	need_shim
	unset "${!CONNMARK_@}"
}

teardown() {
	stage_down
}

in_resolver() {
	ip netns exec "$resolver_ns" "$@"
}

# recipe NAME: loads it into the resolver's namespace
recipe() {
	local text=$BATS_TEST_TMPDIR/recipe
	"$REPO/testbed/recipes/extract" "$1" >"$text"
	if grep -q '^table ' "$text"; then
		in_resolver nft -f "$text"
	else
		in_resolver bash -eu "$text"
	fi
}

# ask_as HOST COUNT: that many new names from 192.168.111.HOST; prints how many were answered with NOERROR
serial=0
ask_as() {
	local host=$1 count=$2 i names=$BATS_TEST_TMPDIR/names
	for ((i = 0; i < count; i++)); do
		serial=$((serial + 1))
		echo "host$host-$serial.shim.example.net A"
	done >"$names"
	answered=$(ip netns exec "$client_ns" dig @192.168.111.1 -b "192.168.111.$host" +tries=1 +timeout=3 +noall +comments \
		-f "$names" | grep -c 'status: NOERROR' || true)
}

# counted SET MARK: 'packets' of the element
counted() {
	in_resolver nft -j list set inet accounting "$1" |
		jq --argjson mark "$2" '[.nftables[].set.elem? // [] | .[].elem | select(.val == $mark) | .counter.packets] | add // 0'
}

# counters CHAIN TABLE: the packets of the counters of a chain, in order
counters() {
	in_resolver nft -j list chain inet "$2" "$1" | jq -c '[.nftables[].rule.expr? // [] | .[].counter? // empty | .packets]'
}

# arrived NAMESPACE: how many questions have come in there since `watch_arrivals`
watch_arrivals() {
	ip netns exec "$1" nft -f - <<-'END'
		table inet arrivals { chain c { type filter hook input priority 0; udp dport 53 counter; }; }
	END
}
arrived() {
	ip netns exec "$1" nft -j list chain inet arrivals c | jq '[.nftables[].rule.expr? // [] | .[].counter? // empty | .packets] | add'
}

@test "accounting: each user's queries and answers are counted, to the packet" {
	local resolver count
	for resolver in unbound bind; do
		stage --no-rules --resolver "$resolver" --shim "$SHIM"
		recipe accounting
		watch_arrivals "$upstream_ns"
		ask_as 137 30
		assert_equal "$answered" 30
		ask_as 138 20
		ask_as 139 10
		ask_as 140 5 # has no mark
		assert_equal "$answered" 5
		for count in '137 30' '138 20' '139 10' '140 0'; do
			assert_equal "$(counted sent "${count% *}") of ${count% *}" "${count#* } of ${count% *}"
			assert_equal "$(counted received "${count% *}") of ${count% *}" "${count#* } of ${count% *}"
		done
		assert_equal "$(arrived "$upstream_ns")" 65
		{ in_resolver nft list set inet accounting sent; } | sed -n '/elements/,/}/s/^/# /p' >&3
		stage_down
	done
}

@test "accounting: an unmarked query by a marked one's port is charged to nobody" {
	local host
	stage --no-rules --resolver dnsmasq-one-port --shim "$SHIM"
	recipe accounting
	for host in 137 140; do # the second has no mark
		ask_as "$host" 10
		assert_equal "$answered" 10
	done
	assert_equal "$(counted sent 137) $(counted received 137)" '10 10'
}

@test "accounting where all share one socket: with a flow for each mark, answers are counted right as well" {
	stage --no-rules --resolver dnsdist --shim "$SHIM"
	recipe accounting
	recipe flows
	ask_as 137 30
	ask_as 138 20
	ask_as 137 10
	assert_equal "$answered" 10
	assert_equal "$(counted sent 137) $(counted sent 138)" '40 20'
	assert_equal "$(counted received 137) $(counted received 138)" '40 20'
	# Each mark has an entry of its own.
	run bash -c "ip netns exec $resolver_ns conntrack -L -p udp --dst 192.168.222.2 2>/dev/null | grep -o ' mark=13[78]' | sort | uniq -c"
	assert_output --regexp '^ +1  mark=137
 +1  mark=138$'
}

@test "quota: who has spent it gets no more, the others do, and emptying the set begins anew" {
	local before
	stage --no-rules --resolver unbound --shim "$SHIM"
	recipe accounting
	recipe quota
	watch_arrivals "$upstream_ns"
	ask_as 137 10
	assert_equal "$answered" 10
	# 20 kilobytes are some 270 queries.
	ask_as 137 400
	[ "$answered" -gt 100 ] && [ "$answered" -lt 390 ] || fail "$answered of 400 were answered"
	before=$(arrived "$upstream_ns")
	echo "# $((answered + 10)) of 410 queries fit into the quota; $before came to the upstream" >&3
	ask_as 137 5
	assert_equal "$answered" 0
	assert_equal "$(arrived "$upstream_ns")" "$before"
	ask_as 138 5
	assert_equal "$answered" 5
	in_resolver nft flush set inet accounting spent
	ask_as 137 5
	assert_equal "$answered" 5
}

@test "captive portal: strangers ask a little, guests as they like; logging in is an element of a set" {
	local passed
	stage --no-rules --resolver dnsmasq --shim "$SHIM"
	recipe portal
	watch_arrivals "$upstream_ns"
	in_resolver nft add element inet portal guests '{ 192.168.111.138 }'
	ask_as 138 60
	assert_equal "$answered" 60
	assert_equal "$(arrived "$upstream_ns")" 60
	ask_as 137 60
	passed=$(($(arrived "$upstream_ns") - 60))
	[ "$passed" -ge 20 ] && [ "$passed" -lt 55 ] || fail "$passed of a stranger's 60 passed"
	assert_equal "$answered" "$passed"
	echo "# guest: 60 of 60, stranger: $passed of 60; dropped and passed: $(counters strangers portal)" >&3
	in_resolver nft add element inet portal guests '{ 192.168.111.137 }'
	ask_as 137 60
	assert_equal "$answered" 60
	assert_equal "$(arrived "$upstream_ns")" $((120 + passed))
}

@test "two uplinks: each client's queries leave by its own" {
	local second resolver
	for resolver in unbound smartdns; do
		"$REPO/testbed/recipes/extract" uplinks >"$BATS_TEST_TMPDIR/before"
		[ "$resolver" != smartdns ] || "$REPO/testbed/recipes/extract" flows >>"$BATS_TEST_TMPDIR/before"
		stage --no-rules --before "$BATS_TEST_TMPDIR/before" --uplinks 2 --resolver "$resolver" --shim "$SHIM"
		second=$(jq -r '.upstreams[1]' "$BATS_TEST_TMPDIR/stage.json")
		watch_arrivals "$upstream_ns"
		watch_arrivals "$second"
		ask_as 137 30
		assert_equal "$answered" 30
		assert_equal "$(arrived "$upstream_ns") $(arrived "$second")" '30 0'
		ask_as 138 20
		assert_equal "$answered" 20
		assert_equal "$(arrived "$upstream_ns") $(arrived "$second")" '30 20'
		echo "# $resolver: $(arrived "$upstream_ns") by the first uplink, $(arrived "$second") by the second" >&3
		# Answers over TCP, which have the mark now, come back to their client.
		in_resolver sysctl -qw net.ipv4.tcp_fwmark_accept=1
		run ip netns exec "$client_ns" dig @192.168.111.1 -b 192.168.111.138 +tcp +tries=1 +timeout=3 \
			"tcp-$resolver.shim.example.net" A
		assert_output --partial 'status: NOERROR'
		# Control: without the routing rule all leave by the first.
		in_resolver ip rule del fwmark 2
		in_resolver conntrack -F 2>/dev/null
		ask_as 138 10
		assert_equal "$(arrived "$upstream_ns")" 40
		stage_down
	done
}

# flows_out: the marks of the entries to the upstream, each with their number
flows_out() {
	in_resolver conntrack -L -p udp --dst 192.168.222.2 2>/dev/null | grep -o 'mark=[0-9]*' | sort | uniq -c | sed 's/^ *//' | paste -sd ' '
}

@test "mwan3: its bits stay as they are, in connections of both sides" {
	local rule
	stage --no-rules --resolver unbound --shim "$SHIM" --env CONNMARK_MASK=0xff
	recipe mwan3
	# What mwan3 does, in short: connections without its bits get some, and keep them.
	for rule in 'PREROUTING -i cli0' 'OUTPUT -o up0'; do
		# shellcheck disable=SC2086 # words
		in_resolver iptables -t mangle -I $rule -m mark --mark 0/0x3f00 -j MARK --set-xmark 0x1500/0x3f00
		# shellcheck disable=SC2086
		in_resolver iptables -t mangle -A $rule -j CONNMARK --save-mark --nfmask 0x3f00 --ctmask 0x3f00
	done
	in_resolver conntrack -F 2>/dev/null
	ask_as 137 10
	ask_as 138 5
	ask_as 140 3
	assert_equal "$answered" 3
	# 0x1500, 0x1500 | 137, 0x1500 | 138
	assert_equal "$(flows_out)" '3 mark=5376 10 mark=5513 5 mark=5514'
	run in_resolver conntrack -L -p udp --src 192.168.111.137
	assert_output --partial 'mark=5513'
	refute_output --partial 'mark=137 '
}

# readme FORM: the rules of README.md as they stand there
readme() {
	case $1 in
	iptables) sed -n 's/^    \(iptables -t mangle .*\)/\1/p' "$REPO/README.md" ;;
	nft) sed -n '/^    table inet connmark/,/^    }/p' "$REPO/README.md" ;;
	esac
}

@test "the rules of the README and of connmarkshim(7): an unmarked query by a marked one's port takes the mark off its entry alone" {
	local form rules=$BATS_TEST_TMPDIR/rules load
	assert_equal "$(readme iptables | wc -l)" 5
	for form in iptables nft; do
		load=(bash -eu "$rules") && [ "$form" = iptables ] || load=(nft -f "$rules")
		# Without the rule for unmarked queries the old mark stays: the port is always the same one.
		stage --no-rules --resolver dnsmasq-one-port --shim "$SHIM"
		readme "$form" | grep -v 'ctdir\|ct direction' >"$rules"
		in_resolver "${load[@]}"
		ask_as 137 5
		assert_equal "$(flows_out)" '1 mark=137'
		ask_as 140 5
		assert_equal "$(flows_out)" '1 mark=137'
		in_resolver nft flush ruleset

		readme "$form" >"$rules"
		in_resolver "${load[@]}"
		in_resolver conntrack -F 2>/dev/null
		ask_as 137 5
		assert_equal "$answered $(flows_out)" '5 1 mark=137'
		ask_as 140 5
		assert_equal "$answered $(flows_out)" '5 1 mark=0'
		# The clients' own entries keep their marks, with their answers, over TCP as well.
		ip netns exec "$client_ns" dig @192.168.111.1 -b 192.168.111.137 +tcp +tries=1 "tcp-$form.shim.example.net" A >/dev/null
		run in_resolver conntrack -L --src 192.168.111.137
		assert_output --partial tcp
		assert_equal "$(grep -c ' mark=137 ' <<<"$output")" "$(grep -c 'src=192.168.111.137' <<<"$output")"
		stage_down
	done
	# The manual has the same rules, for any client.
	run bash -c 'sed "s/-s CLIENT/-s 192.168.111.137/; s/saddr CLIENT/saddr 192.168.111.137/; s/mark N$/mark 137/; s/ set N$/ set 137/" \
		"$1" | sed -e ":a" -e "/\\\\e$/N; s/ *\\\\e\\n */ /; ta"' - "$REPO/man/connmarkshim.7"
	while IFS= read -r line; do
		assert_line "${line#    }"
	done < <(readme iptables; readme nft)
}

@test "every variable that the library knows is in the README's table, in the manual, and an option of connmark-run" {
	local name names
	# The library names them all where it meets one that it does not know.
	names=$(CONNMARK_NONE=1 LD_PRELOAD=$SHIM /bin/true 2>&1 | grep -o 'CONNMARK_[A-Z_]*' | grep -vx CONNMARK_NONE | sort -u)
	[ "$(wc -l <<<"$names")" -ge 13 ]
	run "$REPO/scripts/connmark-run" --help
	for name in $names; do
		grep -q "^| \`$name\` | " "$REPO/README.md" || fail "$name is not in README.md's table"
		grep -qx "\.It Ev $name" "$REPO/man/connmarkshim.7" || fail "$name is not in connmarkshim(7)"
		assert_output --regexp "[(]${name}[=)]"
	done
	# ... and no others.
	# shellcheck disable=SC2016 # the backquotes are the README's
	assert_equal "$(sed -n 's/^| `\(CONNMARK_[A-Z_]*\)` |.*/\1/p' "$REPO/README.md" | sort)" "$names"
}

# What Docker leaves to a container that asks for nothing (its seccomp profile and file systems aside).
docker_default=chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw,sys_chroot,mknod,audit_write,setfcap

# less CAPABILITY...: the options that leave a cell's resolver these alone
less() {
	local name allowed=",$1,"
	without=()
	for name in $(capsh --decode=ffffffffff | sed 's/.*=//; s/cap_//g; s/,/ /g'); do
		[[ $allowed == *",$name,"* ]] || without+=(--without-capability "$name")
	done
}

@test "containers: Docker's capabilities with NET_ADMIN are enough, and without it where packets bring the marks" {
	local without
	less "$docker_default,net_admin"
	cell --resolver unbound --shim "$SHIM" --queries 300 --rules nft-ct --expect right "${without[@]}"
	assert_success

	less "$docker_default"
	cell --resolver unbound --shim "$SHIM" --queries 300 --rules iptables --expect right "${without[@]}"
	assert_success
	cell --resolver unbound --shim "$SHIM" --queries 300 --rules nft-ct "${without[@]}"
	assert_field 'runs[0]["witness"]["right"]' 0
	assert_field 'runs[0]["witness"]["wrong"]' 0
}

@test "containers: what the host marked is not seen in a network of its own" {
	stage --no-rules --resolver unbound --shim "$SHIM"
	# The client's namespace is the host here: its mark ends at the link.
	ip netns exec "$client_ns" nft -f - <<-'END'
		table inet host { chain c { type filter hook output priority mangle; meta mark set 5; ct mark set 5; }; }
	END
	in_resolver iptables -t mangle -A PREROUTING -j CONNMARK --save-mark
	in_resolver iptables -t mangle -A OUTPUT -m mark ! --mark 0 -j CONNMARK --save-mark
	ask_as 137 5
	assert_equal "$answered" 5
	assert_equal "$(flows_out | sed 's/^[0-9]* //')" 'mark=0'
}

@test "a Go resolver behind a forwarder: by its client's mark, each query comes to its class's program, and goes on marked" {
	local go=$REPO/build/cache/dnss/usr/bin/dnss user host seen
	/usr/bin/python3 -c "import sys; sys.path.insert(0, '$REPO/testbed/lib'); import unpacked; unpacked.package('dnss')"
	stage --no-rules --no-resolver --resolver unbound
	recipe go
	for user in 5301 5302; do
		in_resolver setpriv --reuid "$user" --regid "$user" --clear-groups "$go" -enable_dns_to_https -enable_cache=false \
			-dns_listen_addr "127.0.0.1:$user" -dns_unqualified_upstream 192.168.222.2:53 \
			>"$BATS_TEST_TMPDIR/go$user" 2>&1 3>&- &
		processes+=($!)
	done
	in_resolver "$REPO/scripts/connmark-run" --library "$SHIM" -- dnsmasq -k --conf-file=/dev/null --pid-file= --no-resolv \
		--cache-size=0 --server=127.0.0.1#5300 >"$BATS_TEST_TMPDIR/dnsmasq" 2>&1 3>&- &
	processes+=($!)
	# This Go program sends only names of one label by plain DNS.
	single() {
		ip netns exec "$client_ns" dig @192.168.111.1 -b "192.168.111.$1" +tries=1 +timeout=3 +noall +comments "$2" A
	}
	seen=0
	until single 137 "ready$seen" | grep -q NOERROR && single 138 "ready$seen" | grep -q NOERROR; do
		seen=$((seen + 1))
		[ "$seen" -lt 40 ] || fail "not ready: $(cat "$BATS_TEST_TMPDIR"/go* "$BATS_TEST_TMPDIR/dnsmasq")"
		sleep 0.25
	done
	in_resolver nft flush chain inet golang upstream
	recipe go # its counters begin anew
	in_resolver conntrack -F 2>/dev/null
	for host in 137 137 137 138; do
		seen=$((seen + 1))
		single "$host" "name$seen" | grep -q NOERROR || fail "$host got no answer"
	done
	echo "# questions of the Go programs, by mark: $(counters upstream golang)" >&3
	assert_equal "$(counters upstream golang)" '[3,1]'
	assert_equal "$(flows_out)" '3 mark=1 1 mark=2'
}

@test "OpenWrt: the service's script sets the environment by procd's words" {
	local script=$BATS_TEST_TMPDIR/script
	# procd's functions stand for themselves here: what the script would tell it is shown.
	{
		# shellcheck disable=SC2016
		printf 'procd_open_instance() { :; }\nprocd_close_instance() { :; }\nprocd_set_param() { echo "$*"; }\n'
		"$REPO/testbed/recipes/extract" procd
		echo start_service
	} >"$script"
	run dash -eu "$script"
	assert_success
	assert_line 'command /usr/sbin/unbound -d -c /var/lib/unbound/unbound.conf'
	assert_line 'env LD_PRELOAD=/usr/lib/libconnmarkshim.so CONNMARK_MASK=0xff CONNMARK_LOG=syslog'
}

@test "OpenWrt: the package's compiler and flags, put in by GNU make as its build system does, build the library" {
	local package=$BATS_TEST_TMPDIR/package tree=$BATS_TEST_TMPDIR/tree
	mkdir "$tree"
	cp -r "$REPO/Makefile" "$REPO/shim" "$REPO/scripts" "$tree/"
	# What the build system's files define, as far as the recipe asks for it; its flags as OpenWrt's hardening has them.
	{
		# shellcheck disable=SC2016 # expanded by make
		printf '%s\n' "PKG_BUILD_DIR := $tree" 'TARGET_CC := gcc' 'TARGET_CFLAGS = -Os -Wformat -Werror=format-security -D_FORTIFY_SOURCE=1 -Werror' \
			'TARGET_CPPFLAGS := -I/usr/include' 'TARGET_LDFLAGS := -znow -zrelro' "INSTALL_DIR := install -d -m0755" \
			"INSTALL_BIN := install -m0755" 'define BuildPackage' 'all:' '	$(call Build/Compile)' '	$(call Package/$(1)/install,$(DEST))' endef
		"$REPO/testbed/recipes/extract" openwrt | grep -v '^include'
	} >"$package"
	run timeout 200 make -f "$package" DEST="$BATS_TEST_TMPDIR/image" all
	assert_success
	assert [ -x "$BATS_TEST_TMPDIR/image/usr/lib/libconnmarkshim.so" ]
}

@test "the manual has no recipe that is not tried here" {
	local recipe
	run sed -n 's/^\.\\" begin \([a-z0-9]*\) .*/\1/p' "$REPO/man/connmark-recipes.7"
	[ "${#lines[@]}" -ge 7 ]
	for recipe in "${lines[@]}"; do
		grep -q "\(recipe\|extract\"\) $recipe\( \|$\)" "$BATS_TEST_FILENAME" || fail "$recipe"
	done
}
