#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# connmark-systemd, with the units that Debian ships: systemd itself judges each drop-in, and each resolver runs under
# its unit's user, bounding set, ambient capabilities and address families, as the unit and the drop-in say
# (bin/confine.py); the witness judges the marks.
#
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, and meant to be

load helpers

UNITS='unbound named kresd@ pdns-recursor dnsmasq smartdns dnsdist stubby systemd-resolved'

# A system with Debian's units and the programs that they start: those packages that are not installed are unpacked.
# Not in /tmp nor in /run, which some units hide.
setup_file() {
	local program unit
	umask 022
	system=$(mktemp -d /var/lib/connmarkshim-test.XXXXXX)
	chmod 755 "$system"
	export system
	mkdir -p "$system/lib/systemd/system" "$system/etc/apparmor.d/local" "$system/usr/sbin"
	/usr/bin/python3 -c "import sys; sys.path.insert(0, '$BATS_TEST_DIRNAME/../lib'); import unpacked
unpacked.package('dnsmasq')
unpacked.package('systemd-resolved', 'libsystemd-shared')"
	cp -r "$BATS_TEST_DIRNAME"/../../build/cache/{dnsmasq,systemd-resolved}/lib "$system/"
	for unit in unbound named kresd@ pdns-recursor smartdns dnsdist stubby; do
		cp "/lib/systemd/system/$unit.service" "$system/lib/systemd/system/"
	done
	ln -s named.service "$system/lib/systemd/system/bind9.service"
	for program in sbin/unbound sbin/named sbin/kresd sbin/pdns_recursor sbin/dnsmasq sbin/smartdns bin/dnsdist bin/stubby; do
		mkdir -p "$system/usr/${program%/*}"
		cp "/usr/$program" "$system/usr/$program"
	done
	cp /etc/apparmor.d/usr.sbin.{unbound,named} "$system/etc/apparmor.d/"
	cp "${SHIM:-$BATS_TEST_DIRNAME/../../build/libconnmarkshim.so}" "$system/libconnmarkshim.so"
}

teardown_file() {
	[[ $system == /var/lib/connmarkshim-test.* ]] && rm -rf "$system"
}

setup() {
	need_root
	need_shim
	library=$system/libconnmarkshim.so
	unset "${!CONNMARK_@}"
}

# systemd ARGUMENT...: connmark-systemd for the system there
systemd() {
	run timeout 60 "$REPO/scripts/connmark-systemd" --library "$library" --root "$system" "$@"
}

# lines_of UNIT: the settings of its drop-in, on one line, without LD_PRELOAD and the counters' directory
lines_of() {
	systemd "$1"
	assert_success
	assert_line "Environment=LD_PRELOAD=$library"
	run sed -n '/^Environment=LD_PRELOAD/d; /connmarkshim$/d; s/^\([A-Z].*=.*\)/\1/p' <<<"$output"
	run paste -sd ' ' <<<"$output"
}

# ---- what each unit lacks

@test "usage, and what is refused" {
	run "$REPO/scripts/connmark-systemd" --help
	assert_success
	assert_line --index 0 'Usage: connmark-systemd [--install | --remove] [options] UNIT'
	run "$REPO/scripts/connmark-systemd"
	assert_failure 64
	systemd --instal unbound
	assert_failure 64
	systemd --install --remove unbound
	assert_failure 64
	systemd --set MASK=1 unbound
	assert_failure 64
	assert_output --partial 'it must be CONNMARK_NAME=VALUE'
	systemd no-such-resolver
	assert_failure 2
	assert_output --partial 'no-such-resolver: there is no such service; systemctl list-unit-files'
	systemd --set CONNMARK_MASK=zz unbound
	assert_failure 2
	assert_output --partial "CONNMARK_MASK='zz' is refused"
	library=$system/absent.so
	systemd unbound
	assert_failure 2
}

@test "each of Debian's units gets what it lacks, and nothing that it has" {
	local unit
	for unit in unbound named dnsmasq smartdns; do
		lines_of "$unit"
		assert_output ''
	done
	for unit in kresd@ stubby systemd-resolved; do
		lines_of "$unit"
		assert_output 'CapabilityBoundingSet=CAP_NET_ADMIN AmbientCapabilities=CAP_NET_ADMIN'
	done
	for unit in pdns-recursor dnsdist; do
		lines_of "$unit"
		assert_output \
			'CapabilityBoundingSet=CAP_NET_ADMIN AmbientCapabilities=CAP_NET_ADMIN RestrictAddressFamilies=AF_NETLINK'
	done
}

@test "units are found by their aliases and usual names, and instances by their template" {
	systemd bind9
	assert_success
	assert_line --partial 'connmark-systemd --remove named'
	systemd kresd
	assert_success
	assert_line --partial 'connmark-systemd --remove kresd@'
	systemd kresd@1.service
	assert_success
	assert_line --partial 'connmark-systemd --remove kresd@1'
}

# unit TEXT: a unit called `own` with these lines
unit() {
	printf '[Unit]\nUser=nobody\n[Service]\nExecStart=/usr/sbin/unbound -d\n%b\n' "$1" \
		>"$system/lib/systemd/system/own.service"
}

@test "lists: joined, inverted, begun anew; the drop-ins of others count" {
	unit ''
	lines_of own
	assert_output ''
	unit 'User=unbound'
	lines_of own
	assert_output 'AmbientCapabilities=CAP_NET_ADMIN'
	unit 'User=root\nCapabilityBoundingSet=CAP_NET_RAW\nCapabilityBoundingSet=CAP_NET_ADMIN CAP_SETUID'
	lines_of own
	assert_output ''
	unit 'CapabilityBoundingSet=CAP_NET_ADMIN\nCapabilityBoundingSet=\nCapabilityBoundingSet=CAP_SETUID'
	lines_of own
	assert_output 'CapabilityBoundingSet=CAP_NET_ADMIN'
	unit 'CapabilityBoundingSet=~CAP_SYS_ADMIN CAP_NET_ADMIN'
	lines_of own
	assert_output 'CapabilityBoundingSet=CAP_NET_ADMIN'
	unit 'CapabilityBoundingSet=~CAP_SYS_ADMIN'
	lines_of own
	assert_output ''
	unit 'RestrictAddressFamilies=~AF_NETLINK AF_PACKET'
	lines_of own
	assert_output 'RestrictAddressFamilies=AF_NETLINK'
	unit 'RestrictAddressFamilies=AF_INET \\\n  AF_INET6\n# RestrictAddressFamilies=AF_NETLINK'
	lines_of own
	assert_output 'RestrictAddressFamilies=AF_NETLINK'
	unit 'RestrictAddressFamilies=AF_INET\nRestrictAddressFamilies='
	lines_of own
	assert_output ''
	unit 'PrivateUsers=true'
	lines_of own
	assert_output 'PrivateUsers=no'
	unit 'ExecStart=\nExecStart=!/usr/sbin/unbound -d\nUser=unbound'
	lines_of own
	assert_output ''

	unit 'RestrictAddressFamilies=AF_INET'
	mkdir -p "$system/etc/systemd/system/own.service.d"
	printf '[Service]\nRestrictAddressFamilies=AF_NETLINK\nEnvironment="A=b" LD_PRELOAD=/lib/other.so\n' \
		>"$system/etc/systemd/system/own.service.d/a.conf"
	systemd own
	assert_line "Environment=LD_PRELOAD=$library:/lib/other.so"
	refute_line --partial RestrictAddressFamilies
	rm -r "$system/etc/systemd/system/own.service.d"
}

@test "refused: what the unit hides, what cannot be preloaded, no program" {
	local there
	unit 'PrivateTmp=yes'
	cp "$library" "$BATS_TEST_TMPDIR/libconnmarkshim.so"
	there=$library library=$BATS_TEST_TMPDIR/libconnmarkshim.so
	systemd own
	assert_failure 2
	assert_output --partial 'own.service has a /tmp of its own (PrivateTmp=); make install'
	library=$there

	echo 'int main(void) { return 0; }' >"$BATS_TEST_TMPDIR/true.c"
	gcc -static -o "$system/usr/sbin/static" "$BATS_TEST_TMPDIR/true.c"
	unit 'ExecStart=\nExecStart=/usr/sbin/static'
	systemd own
	assert_failure 2
	assert_output --partial 'statically linked'
	unit 'ExecStart='
	systemd own
	assert_failure 2
	assert_output --partial 'its ExecStart= names no program'
	ln -sf /dev/null "$system/lib/systemd/system/own.service"
	systemd own
	assert_failure 2
	assert_output --partial 'the service is masked; systemctl unmask own'
	rm "$system/lib/systemd/system/own.service"
}

@test "variables: quoted as systemd reads them" {
	systemd --set CONNMARK_MASK=0xff --set CONNMARK_LOG='/var/log/100% "q"\x' unbound
	assert_success
	assert_line 'Environment="CONNMARK_MASK=0xff"'
	assert_line 'Environment="CONNMARK_LOG=/var/log/100%% \"q\"\\x"'
}

# ---- systemd's judgement

# verified UNIT: no word about the drop-in, while a bad line would have one
verified() {
	local unit=$1 name=$1 folder=$BATS_TEST_TMPDIR/units
	rm -rf "$folder"
	mkdir -p "$folder/$unit.service.d"
	cp "$system/lib/systemd/system/$unit.service" "$folder/"
	[[ $name != *@ ]] || name=${name}1
	systemd "$unit"
	printf '%s\n' "$output" >"$folder/$unit.service.d/50-connmarkshim.conf"
	run env SYSTEMD_UNIT_PATH="$folder:" systemd-analyze verify "$name.service"
	refute_output --partial connmarkshim
	printf 'NoSuchSetting=1\n' >>"$folder/$unit.service.d/50-connmarkshim.conf"
	run env SYSTEMD_UNIT_PATH="$folder:" systemd-analyze verify "$name.service"
	assert_output --partial 'connmarkshim.conf'
}

@test "systemd-analyze verify finds no fault in any drop-in" {
	local unit
	type -P systemd-analyze >/dev/null || fail 'no systemd-analyze: install systemd'
	for unit in $UNITS; do
		verified "$unit"
	done
}

@test "--install writes nothing that systemd would complain of" {
	local copy=$BATS_TEST_TMPDIR/copy unit
	mkdir "$copy"
	cp -r "$REPO/scripts/connmark-systemd" "$REPO/scripts/lib" "$copy/"
	sed -i "s/^\[Service\]/&\nNoSuchSetting=1/; s/\[Service\]\\\\n'/[Service]\\\\nNoSuchSetting=1\\\\n'/" "$copy/lib/unit.bash"
	grep -q NoSuchSetting "$copy/lib/unit.bash"
	for unit in unbound kresd@ kresd@1; do
		run "$copy/connmark-systemd" --library "$library" --root "$system" --install "$unit"
		assert_failure 1
		assert_output --partial 'systemd refuses the drop-in: '
		assert_output --partial NoSuchSetting
		assert [ ! -e "$system/etc/systemd/system/$unit.service.d" ]
	done
}

# ---- install and remove

@test "--install and --remove: everything is as it was" {
	local before after unit
	before=$(cd "$system" && find . -type f -exec md5sum {} + | sort)
	printf 'capability sys_nice,\n' >"$system/etc/apparmor.d/local/usr.sbin.named"
	for unit in $UNITS; do
		systemd --install --set CONNMARK_ZONE=3 "$unit"
		assert_success
		assert_line "$system/etc/systemd/system/$unit.service.d/50-connmarkshim.conf: installed"
	done
	run cat "$system/etc/systemd/system/named.service.d/50-connmarkshim.conf"
	assert_line 'Environment="CONNMARK_ZONE=3"'
	run cat "$system/etc/apparmor.d/local/usr.sbin.named"
	assert_line --index 0 'capability sys_nice,'
	assert_line 'capability net_admin,'
	assert_line "$library mr,"

	# Again: neither file has anything twice.
	cp -r "$system/etc" "$BATS_TEST_TMPDIR/once"
	systemd --install --set CONNMARK_ZONE=3 named
	run diff -r "$BATS_TEST_TMPDIR/once" "$system/etc"
	assert_success

	for unit in $UNITS; do
		systemd --remove "$unit"
		assert_success
		assert_line "$system/etc/systemd/system/$unit.service.d/50-connmarkshim.conf: removed"
	done
	run cat "$system/etc/apparmor.d/local/usr.sbin.named"
	assert_output 'capability sys_nice,'
	rm "$system/etc/apparmor.d/local/"*
	after=$(cd "$system" && find . -type f -exec md5sum {} + | sort)
	assert_equal "$after" "$before"
	run find "$system/etc/systemd" -name '*.d'
	assert_output ''
	systemd --remove unbound
	assert_success
	assert_output --partial 'it was not there'
}

@test "AppArmor's parser takes the local rules into Debian's profiles" {
	local parser=$REPO/build/cache/apparmor name
	/usr/bin/python3 -c "import sys; sys.path.insert(0, '$REPO/testbed/lib'); import unpacked; unpacked.package('apparmor')"
	for name in unbound named; do
		systemd --install "$name"
		assert_success
		run "$parser/sbin/apparmor_parser" --skip-kernel-load --skip-cache --base "$parser/etc/apparmor.d" \
			-I "$system/etc/apparmor.d" --preprocess "$system/etc/apparmor.d/usr.sbin.$name"
		assert_success
		assert_line 'capability net_admin,'
		run "$parser/sbin/apparmor_parser" --skip-kernel-load --skip-cache --base "$parser/etc/apparmor.d" \
			-I "$system/etc/apparmor.d" --names "$system/etc/apparmor.d/usr.sbin.$name"
		assert_success
		echo 'capability net_nonsense,' >>"$system/etc/apparmor.d/local/usr.sbin.$name"
		run "$parser/sbin/apparmor_parser" --skip-kernel-load --skip-cache --base "$parser/etc/apparmor.d" \
			-I "$system/etc/apparmor.d" "$system/etc/apparmor.d/usr.sbin.$name"
		assert_failure
		systemd --remove "$name"
		rm -f "$system/etc/apparmor.d/local/usr.sbin.$name"
	done
}

# ---- under the same limits

# confined UNIT RESOLVER ARGUMENT...: a run of the resolver as the unit and `drop_in` start it
confined() {
	local unit=$1 resolver=$2
	shift 2
	cell --resolver "$resolver" --shim "$library" --queries 300 --inspect \
		--confine "$system/lib/systemd/system/$unit.service" --confine "$drop_in" "$@"
}

@test "each resolver marks rightly under its unit's limits and the drop-in" {
	local unit resolver
	drop_in=$BATS_TEST_TMPDIR/drop-in
	while read -r unit resolver; do
		systemd "$unit"
		printf '%s\n' "$output" >"$drop_in"
		confined "$unit" "$resolver" --expect right
		assert_success
		echo "# $unit: $(tasks 0 CapEff) of $(tasks 0 CapBnd), user $(field 'runs[0]["resolver"]["tasks"][0]["Uid"]')" >&3
	done <<-'END'
		unbound unbound
		named bind
		kresd@ kresd
		pdns-recursor pdns-recursor
		dnsmasq dnsmasq
		smartdns smartdns
		dnsdist dnsdist
		stubby stubby
		systemd-resolved systemd-resolved
	END
}

@test "with conntrack's marks alone: the units that forbid netlink" {
	local unit
	drop_in=$BATS_TEST_TMPDIR/drop-in
	for unit in pdns-recursor dnsdist; do
		systemd "$unit"
		printf '%s\n' "$output" >"$drop_in"
		confined "$unit" "$unit" --expect right --rules nft-ct
		assert_success

		# Control: without that line nobody may ask conntrack.
		sed -i '/^RestrictAddressFamilies/d' "$drop_in"
		confined "$unit" "$unit" --rules nft-ct
		assert_success
		assert_field 'runs[0]["mapped"]' True
		assert_field 'runs[0]["witness"]["right"]' 0
	done
}

@test "control: without the capability that the drop-in gives, nothing is marked" {
	local unit resolver
	drop_in=$BATS_TEST_TMPDIR/drop-in
	while read -r unit resolver; do
		systemd "$unit"
		grep -v '^\(Capability\|Ambient\)' <<<"$output" >"$drop_in"
		confined "$unit" "$resolver"
		assert_success
		assert_field 'runs[0]["mapped"]' True
		assert_field 'runs[0]["witness"]["right"]' 0
		assert_field 'runs[0]["witness"]["wrong"]' 0
	done <<-'END'
		kresd@ kresd
		pdns-recursor pdns-recursor
		dnsdist dnsdist
		stubby stubby
	END
}
