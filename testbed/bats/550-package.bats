#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Installing: make install and uninstall, bash completion, and the Debian packages, whose whole life is lived in a
# copy-on-write view of this machine (testbed/bin/aside, testbed/bin/package-life).

load helpers

# A clean clone: what git knows of, or would take up, and nothing that was built.
setup_file() {
	export CLEAN=$BATS_FILE_TMPDIR/clean
	mkdir "$CLEAN"
	if git -C "$REPO" rev-parse --git-dir >/dev/null 2>&1; then
		git -C "$REPO" ls-files -z --cached --others --exclude-standard |
			(cd "$REPO" && xargs -0 ls -d 2>/dev/null) | tar -C "$REPO" -cf - -T - | tar -C "$CLEAN" -xf -
	else
		tar -C "$REPO" --exclude=./build --exclude=./.git -cf - . | tar -C "$CLEAN" -xf -
	fi
	(cd "$CLEAN" && find . -type f | sort | xargs -d '\n' sha256sum) >"$BATS_FILE_TMPDIR/sources"
}

# quiet COMMAND...: shows its output only where it fails
quiet() {
	run timeout 280 "$@" 3>&-
	((status == 0)) || fail "$* : exit status $status: $(tail -n 40 <<<"$output")"
}

sources_unchanged() {
	run bash -c 'cd "$1" && find . -path ./build -prune -o -type f -print | sort | xargs -d "\n" sha256sum' bash "$CLEAN"
	assert_output - <"$BATS_FILE_TMPDIR/sources"
}

installed() { # ROOT: all files beneath it
	(cd "$1" && find . ! -type d | sort)
}

@test "make install honours DESTDIR and PREFIX: nothing elsewhere, all readable, programs executable" {
	local root=$BATS_TEST_TMPDIR/root
	quiet make -C "$REPO" install DESTDIR="$root" PREFIX=/opt/dns
	run installed "$root"
	assert_line ./opt/dns/lib/connmarkshim/libconnmarkshim.so
	assert_line ./opt/dns/sbin/connmark-run
	assert_line ./opt/dns/share/man/man8/connmark-run.8
	assert_line ./opt/dns/share/man/man7/connmarkshim.7
	assert_line ./opt/dns/share/bash-completion/completions/connmark-run
	assert_equal "$(ls "$root")" opt
	assert_equal "$(find "$root" -type f -path '*/sbin/*' ! -perm 0755)" ''
	assert_equal "$(find "$root" -type f ! -path '*/sbin/*' ! -perm 0644)" ''
	assert_equal "$(find "$root/opt" -type d ! -perm 0755)" ''
	# every command of the tree, and a manual for each
	local command
	for command in "$REPO"/scripts/connmark-*; do
		command=$(basename "${command%.[ch]}")
		[[ $command != connmark-stat-* ]] || continue # its parts
		[ -x "$root/opt/dns/sbin/$command" ] || fail "$command is not installed"
		[ -f "$root/opt/dns/share/man/man8/$command.8" ] || fail "$command's manual is not installed"
	done
}

@test "what is installed names its own places, and no placeholder is left" {
	local root=$BATS_TEST_TMPDIR/root
	quiet make -C "$REPO" install DESTDIR="$root" PREFIX=/opt/dns LIBDIR=/opt/lib64
	run grep -rlE '@[A-Z]+DIR@|@VERSION@|/usr/local/(sbin|lib/connmarkshim)' "$root"
	assert_output ''
	run grep -F /opt/lib64 "$root/opt/dns/sbin/connmark-run"
	assert_success
	run grep -F /opt/dns/sbin/connmark-run "$root/opt/dns/share/man/man8/connmark-run.8"
	assert_success
	[ -f "$root/opt/lib64/libconnmarkshim.so" ]
}

@test "an installed connmark-run finds its library, and says the version" {
	local root=$BATS_TEST_TMPDIR/root
	quiet make -C "$REPO" install PREFIX="$root"
	run "$root/sbin/connmark-run" --version
	assert_output "connmark-run $(sed -n 's/^VERSION = //p' "$REPO/Makefile")"
	run "$root/sbin/connmark-run" --check -- /bin/true
	assert_output --partial "LD_PRELOAD=$root/lib/connmarkshim/libconnmarkshim.so /bin/true"
}

@test "make uninstall takes back all that make install brought, and nothing else" {
	local root=$BATS_TEST_TMPDIR/root
	mkdir -p "$root/usr/lib64" "$root/usr/sbin" "$root/usr/share/connmarkshim"
	touch "$root/usr/lib64/theirs.so" "$root/usr/sbin/theirs" "$root/usr/share/connmarkshim/theirs"
	quiet make -C "$REPO" install DESTDIR="$root" PREFIX=/usr LIBDIR=/usr/lib64
	[ "$(installed "$root" | wc -l)" -gt 8 ]
	quiet make -C "$REPO" uninstall DESTDIR="$root" PREFIX=/usr LIBDIR=/usr/lib64
	run installed "$root"
	assert_output "$(printf '%s\n' ./usr/lib64/theirs.so ./usr/sbin/theirs ./usr/share/connmarkshim/theirs)"
	[ ! -e "$root/usr/share/doc/connmarkshim" ]
	quiet make -C "$REPO" install DESTDIR="$root" PREFIX=/opt
	quiet make -C "$REPO" uninstall DESTDIR="$root" PREFIX=/opt
	assert_equal "$(find "$root/opt" -name 'connmarkshim*')" ''
}

# ---- completion

completes() { # COMMAND WORD...
	COMPLETION=$REPO/scripts/bash-completion PATH=$REPO/scripts:$REPO/build:$PATH \
		run timeout 30 "$REPO/testbed/bin/completes" "$@" 3>&-
}

@test "bash completes every option that --help names" {
	local command options
	for command in "$REPO"/scripts/connmark-*; do
		command=$(basename "${command%.[ch]}")
		[[ $command != connmark-stat-* ]] || continue # its parts
		options=$(PATH=$REPO/scripts:$REPO/build:$PATH "$command" --help | grep -oE '(^ +|, )--[a-z-]+' |
			grep -oE -- '--[a-z-]+' | sort -u)
		[ "$options" ] || fail "$command --help names no option"
		completes "$command" --
		assert_equal "$(sort -u <<<"$output")" "$options"
	done
}

@test "bash completes values: alternatives, paths, with and without '='; no numbers" {
	completes connmark-run --stream ''
	assert_output "$(printf '%s\n' follow first)"
	completes connmark-run --stream=fi
	assert_output first
	completes connmark-run --log sy
	assert_output syslog
	completes connmark-run --log /etc/hostna
	assert_output /etc/hostname
	completes connmark-run --mask ''
	assert_output ''
}

@test "bash completes the resolver, and its arguments as its own" {
	completes connmark-run --stream first dnsmas
	assert_line dnsmasq
	completes connmark-run --dry-run -- dnsmas
	assert_line dnsmasq
	completes connmark-run --mask=1 -- cat /etc/hostna
	assert_output /etc/hostname
}

@test "a distribution's CFLAGS with fortified headers build the library without a warning" {
	local tree=$BATS_TEST_TMPDIR/tree
	cp -r "$CLEAN" "$tree"
	quiet make -C "$tree" -j2 CFLAGS='-O2 -D_FORTIFY_SOURCE=2 -Werror' build/libconnmarkshim.so
	run nm -D --undefined-only "$tree/build/libconnmarkshim.so"
	refute_line --regexp '(recv|recvfrom|read)_chk'
}

# ---- Debian packages

@test "install-deps deb names all that the packages are built with; make deb says what is missing" {
	local stubs=$BATS_TEST_TMPDIR/stubs package
	mkdir "$stubs"
	# Nothing is installed here, and nobody may install.
	printf '#!/bin/sh\nexit 1\n' >"$stubs/dpkg-query"
	printf '#!/bin/sh\necho 1000\n' >"$stubs/id"
	chmod 755 "$stubs"/*
	PATH=$stubs:$PATH run "$REPO/scripts/install-deps" deb
	assert_failure 1
	assert_output --partial 'root is needed to install: '
	for package in build-essential lintian $(sed -n 's/^Build-Depends: //p' "$REPO/debian/control" | sed 's/([^)]*)//g; s/<[^>]*>//g; s/,/ /g; s/-compat//'); do
		[[ " ${output%%;*} " == *" $package "* ]] || fail "$package is not in: $output"
	done

	run env PATH="$stubs" /usr/bin/make -C "$CLEAN" deb
	assert_failure
	assert_output --partial 'is not there; scripts/install-deps deb installs them'
}

@test "make deb: builds in a clean clone, lintian finds neither errors nor warnings, the sources stay as they are" {
	quiet make -C "$CLEAN" deb
	assert_output --partial 'lintian --fail-on error,warning'
	assert_equal "$(cd "$CLEAN/build" && echo *.deb | tr ' ' '\n' | grep -vc dbgsym)" 2
	sources_unchanged
}

@test "packages: the library is where the loader looks; the tools depend on it; versions agree" {
	local library tools version
	library=$(echo "$CLEAN"/build/libconnmarkshim_*.deb) tools=$(echo "$CLEAN"/build/connmarkshim_*.deb)
	version=$(sed -n 's/^VERSION = //p' "$REPO/Makefile")
	assert_equal "$(dpkg-deb -f "$library" Version Multi-Arch)" "$(printf 'Version: %s\nMulti-Arch: same' "$version")"
	run dpkg-deb -f "$library" Depends
	assert_output --partial libnetfilter-conntrack3
	run dpkg-deb -f "$tools" Depends
	assert_output --partial "libconnmarkshim (= $version)"
	run dpkg-deb -c "$library"
	assert_output --partial "./usr/lib/$(gcc -print-multiarch)/libconnmarkshim.so"
	run grep -m 1 '^## ' "$REPO/CHANGELOG.md"
	assert_output --partial "$version"
}

@test "packages: install, use and purge them, and nothing is left" {
	need_root
	run timeout 280 "$REPO/testbed/bin/aside" --share "$REPO" --share "$CLEAN" -- "$REPO/testbed/bin/package-life" \
		"$CLEAN"/build/libconnmarkshim_*.deb "$CLEAN"/build/connmarkshim_*.deb 3>&-
	assert_success
	assert_line 1..9
	assert_equal "$(grep -c '^ok ' <<<"$output")" 9
}

@test "a view of the machine leaves the machine alone, and shows what was changed in it" {
	need_root
	run "$REPO/testbed/bin/aside" -- bash -c '
		touch /etc/connmark-aside
		rm /etc/hostname
		sleep 471147 &
		ls /run/changed/etc' 3>&-
	assert_success
	assert_line connmark-aside
	assert_line hostname
	[ ! -e /etc/connmark-aside ]
	[ -e /etc/hostname ]
	run pgrep -fx 'sleep 471147'
	assert_output ''
}
