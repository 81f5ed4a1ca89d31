# SPDX-License-Identifier: GPL-2.0-or-later
# What the benchmarks themselves must be: they measure what they say, and notice where there is nothing to measure.
# No time is asserted. Memory and system calls are.

load helpers

setup() {
	need_root
	need_shim
	[ -x "$REPO/build/bench/upstream" ] || fail "no upstream: make bench-programs"
	results=$BATS_TEST_TMPDIR/results
}

# load ARGUMENT...: a short run
load_bench() {
	run timeout --kill-after=20 280 "$REPO/testbed/bench/load" --shim "$SHIM" --quick --folder "$results" "$@" 3>&-
}

# rest RESOLVER: no system call more for a cached query than bare, nor for an event wait; and at most 2 MiB more when idle.
rest() {
	load_bench --only-rest --resolver "$1"
	assert_success
	run jq -e 'def made: with_entries(select(.key | IN("epoll_wait", "poll", "epoll_ctl") | not))
			| [.[] | .[0] - .[1]] | add;
		.rest[0].calls | (.conntrack | made) as $ours | (.bare | made) as $bare
		| $bare > 1.9 and $ours < $bare + 0.02' "$results/load.json"
	assert_success
	run jq -e 'def idle: (([.[] | .[1]] | add) + (.epoll_ctl // [0])[0]) / ((.epoll_wait // .poll)[0]);
		.rest[0].calls | (.conntrack | idle) <= (.bare | idle) + 0.1' "$results/load.json"
	assert_success
	run jq -e 'def middle: sort | .[length / 2 | floor];
		.rest[0].idle | (.bare | middle) > 1000 and (.conntrack | middle) - (.bare | middle) <= 2048' \
		"$results/load.json"
	assert_success
}

@test "unbound: system calls of cached queries, memory when idle" {
	rest unbound
}

@test "dnsmasq: system calls of cached queries, memory when idle" {
	rest dnsmasq
}

@test "BIND: system calls of cached queries, memory when idle" {
	rest bind
}

@test "a round of load, with its table and its chart" {
	load_bench --only-load --resolver dnsmasq
	assert_success
	run jq -e '[.cells[] | .samples | .bare, .conntrack, .own] | length == 6 and all(length == 2 and all(.[0] > 0))' \
		"$results/load.json"
	assert_success
	run python3 -c 'import sys, xml.dom.minidom as dom; dom.parse(sys.argv[1])' "$results/load.svg"
	assert_success
	run grep -c '^| dnsmasq | 1 | ' "$results/load.md"
	assert_output 2
}

@test "so many queries a second, and no more" {
	load_bench --only-load --resolver dnsmasq --names uncached --rate 400
	assert_success
	run jq -e '[.cells[].samples[][][1]] | length == 8 and all(. > 100 and . < 600)' "$results/load.json"
	assert_success
	assert_equal "$(jq '.cells[].rate' "$results/load.json")" 400
	run grep -c '^| dnsmasq | 1 | uncached | 400/s |' "$results/load.md"
	assert_output 1
}

@test "a library that marks nothing is not measured" {
	local quiet=$BATS_TEST_TMPDIR/libconnmarkshim.so
	echo 'int nothing_here;' | gcc -shared -x c -o "$quiet" -
	run timeout --kill-after=20 280 "$REPO/testbed/bench/load" --shim "$quiet" --quick --folder "$results" \
		--only-load --resolver dnsmasq --names uncached 3>&-
	assert_failure 2
	assert_output --partial '0 marked packets left'
}

@test "results find their way into the README" {
	local copy=$BATS_TEST_TMPDIR/copy
	mkdir -p "$copy/testbed"
	cp -r "$REPO/testbed/bench" "$REPO/testbed/lib" "$copy/testbed/"
	cp "$REPO/README.md" "$copy/"
	load_bench --only-load --resolver dnsmasq --names cached
	assert_success
	run "$copy/testbed/bench/publish" "$results"
	assert_failure 2
	assert_output --partial 'core.json is not there'
	run timeout 200 "$REPO/testbed/bench/scale" --quick --folder "$results"
	assert_success
	run "$copy/testbed/bench/publish" "$results"
	assert_success
	run grep -c -e '^| dnsmasq | 1 | cached |' -e '^| beneath 1 zone, 1 thread |' "$copy/README.md"
	assert_output 2
	run cmp "$results/core.svg" "$copy/testbed/bench/results/core.svg"
	assert_success
}

@test "the core: a thousand and a million names that wait" {
	local attempt ratio
	for attempt in 1 2 3; do
		ratio=$(for waiting in 1000 1000000; do
			"$REPO/build/bench/core" --waiting "$waiting" --zones 1 --table 1048576
		done | jq -s 'if all(.wrong == 0 and .still_waiting >= .waiting) then .[1].nanoseconds / .[0].nanoseconds
			else error("wrong decisions") end')
		echo "# attempt $attempt: an event costs $ratio times as much"
		jq -en "$ratio <= 2.5" && return
	done
	fail "an event costs $ratio times as much among a million waiting names as among a thousand"
}

@test "a profile: the library's part, and the question to conntrack, are seen where they are" {
	command -v perf >/dev/null || skip 'perf is not there (linux-perf)'
	run timeout --kill-after=20 120 "$REPO/testbed/bench/profile" dnsmasq --shim "$SHIM" --seconds 1 3>&-
	assert_success
	assert_line --regexp '^the library +0 +[1-9][0-9]+ +[1-9][0-9]+$'
	assert_line --regexp '^asking conntrack \(netlink\) +0 +[1-9][0-9]+ +0$'
	assert_line --regexp '^the program +[1-9][0-9]+ +[1-9][0-9]+ +[1-9][0-9]+$'
}
