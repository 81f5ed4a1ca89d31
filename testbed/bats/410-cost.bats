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
	assert_failure 2
	assert_output --partial 'profile.json is not there'
	echo '{"parts": ["the library", "the program"], "profiles": [
		{"resolver": "dnsmasq", "names": "cached", "rate": 0, "machine": {"cpu": "A", "cpus": 2, "kernel": "6"}, "nanoseconds": {
			"bare": {"the program": 2000}, "packet": {"the library": 90.4, "the program": 1900}}}]}' >"$results/profile.json"
	run "$copy/testbed/bench/publish" "$results"
	assert_success
	run grep -c -e '^| dnsmasq | 1 | cached |' -e '^| beneath 1 zone, 1 thread |' "$copy/README.md"
	assert_output 2
	run grep -F -- '| 2,000 | packet | -10 | +90 | -100 |' "$copy/README.md"
	assert_success
	run grep -c -e '^| dnsmasq, cached, conntrack | 1.020 | [0-9.]* | – | – | – | [a-z]' \
		-e '^| core, an event among 1,000,000 names against one among 1,000, beneath 1 zone, 1 thread | 2.00 |' "$copy/README.md"
	assert_output 2
	run cmp "$results/core.svg" "$copy/testbed/bench/results/core.svg"
	assert_success
}

# instructions NAMES: of one event with so many names waiting, of the driver's own work too
instructions() {
	local operations totals=()
	for operations in 16000 48000; do
		valgrind --quiet --tool=callgrind --callgrind-out-file="$BATS_TEST_TMPDIR/callgrind" "$REPO/build/bench/core" \
			--waiting "$1" --zones 1 --table 131072 --operations "$operations" >/dev/null 2>"$BATS_TEST_TMPDIR/said" ||
			fail "$(<"$BATS_TEST_TMPDIR/said")"
		totals+=("$(sed -En 's/^(totals|summary): ([0-9]+)$/\2/p' "$BATS_TEST_TMPDIR/callgrind" | head -n 1)")
	done
	echo $(((totals[1] - totals[0]) / 32000 / 4))
}

@test "the core does no more for an event where a hundred thousand names wait beneath one zone than where a thousand do" {
	local few many
	few=$(instructions 1000)
	many=$(instructions 100000)
	echo "# $few and $many instructions"
	((few > 100 && many * 100 <= few * 115)) || fail "$few instructions among a thousand names, $many among 100 thousand"
}

@test "the core decides rightly among a million names that wait" {
	run "$REPO/build/bench/core" --waiting 1000000 --zones 1 --table 1048576
	assert_success
	run jq -e '.wrong == 0 and .evicted == 0 and .still_waiting >= 1000000' <<<"$output"
	assert_success
}

@test "a profile: the library's part, and the question to conntrack, are seen where they are" {
	command -v perf >/dev/null || skip 'perf is not there (linux-perf)'
	run timeout --kill-after=20 120 "$REPO/testbed/bench/profile" dnsmasq --shim "$SHIM" --seconds 1 --folder "$results" 3>&-
	assert_success
	assert_line --regexp '^the library +0 +[1-9][0-9]+ +[1-9][0-9]+$'
	assert_line --regexp '^asking conntrack \(netlink\) +0 +[1-9][0-9]+ +0$'
	assert_line --regexp '^the program +[1-9][0-9]+ +[1-9][0-9]+ +[1-9][0-9]+$'
	run jq -e '.profiles[0].nanoseconds | .bare["the library"] == null and .conntrack["the library"] > 0' "$results/profile.json"
	assert_success
}

# large_mappings CAPACITY: the flags (proc(5), smaps) of what has room for a table of that capacity, or more
large_mappings() {
	LC_ALL=C CONNMARK_TABLE=$1 LD_PRELOAD=$SHIM awk -v least="$(($1 * 9))" \
		'/^Size:/ { size = $2 } /^VmFlags:/ && size > least { print }' /proc/self/smaps
}

# Where the system's choice is "always", each byte that is touched of other memory occupies 2 MiB.
@test "the table lies in small pages, and a large one in huge pages" {
	[ -e /sys/kernel/mm/transparent_hugepage/enabled ] || skip "this kernel has no transparent huge pages"
	run large_mappings 8192
	assert_success
	assert_equal "${#lines[@]}" 1
	assert_output --regexp ' nh( |$)'
	run large_mappings 131072
	assert_success
	assert_equal "${#lines[@]}" 1
	assert_output --regexp ' hg( |$)'
}
