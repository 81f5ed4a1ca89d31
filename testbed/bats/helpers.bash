# SPDX-License-Identifier: GPL-2.0-or-later
# Loaded by every suite: `load helpers`.

REPO=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
SHIM=${SHIM:-build/libconnmarkshim.so}
case $SHIM in
/*) ;;
*) SHIM=$REPO/$SHIM ;;
esac

BATS_LIB_PATH=${BATS_LIB_PATH:-/usr/lib/bats}
bats_load_library bats-support
bats_load_library bats-assert

# Network namespaces need root: fail, because a skipped proof looks like a proof.
need_root() {
	[ "$(id -u)" -eq 0 ] || fail 'needs root'
}

need_shim() {
	[ -f "$SHIM" ] || fail "no library at $SHIM (build it, or set SHIM)"
}

# cell ARGUMENT...: run one cell, as `run` does; its JSON is read by `field` and `tasks`.
# Descriptor 3 belongs to bats: a daemon which inherits it would hang the suite.
cell() {
	run timeout --kill-after=30 900 "$REPO/testbed/run" \
		--json "$BATS_TEST_TMPDIR/cell.json" "$@" 3>&-
}

# shimmed RESOLVER ARGUMENT...: a bare and a shimmed run; every query must be right. A machine that is short of time
# loses a query now and then, bare as well: a run that was right but for a loss is tried once more, and says so. A wrong
# or an unmarked question is final.
shimmed() {
	local resolver=$1
	shift
	need_shim
	cell --resolver "$resolver" --shim "$SHIM" --compare-bare --expect right "$@"
	if only_lost; then
		printf '# lost queries, tried once more: %s %s\n' "$resolver" "$*"
		cell --resolver "$resolver" --shim "$SHIM" --compare-bare --expect right "$@"
	fi
	assert_success
}

# Did the cell fall short in nothing but queries that were lost? Reasons stand indented in its output.
only_lost() {
	[ "${status:-0}" -eq 1 ] && grep -q '^    [0-9]* queries lost or failed' <<<"${output:-}" &&
		! grep '^    ' <<<"${output:-}" | grep -qv 'queries lost or failed'
}

# field EXPRESSION: a value out of the JSON, e.g. field 'runs[0]["witness"]["wrong"]'
field() {
	/usr/bin/python3 - "$BATS_TEST_TMPDIR/cell.json" "$1" <<-'PYTHON'
		import json, sys
		with open(sys.argv[1], encoding="utf-8") as file:
		    print(eval(sys.argv[2], {"__builtins__": {"len": len, "sum": sum}}, json.load(file)))
	PYTHON
}

# tasks RUN NAME: the values of a status line over all threads of a run, each once.
tasks() {
	/usr/bin/python3 - "$BATS_TEST_TMPDIR/cell.json" "$1" "$2" <<-'PYTHON'
		import json, sys
		with open(sys.argv[1], encoding="utf-8") as file:
		    record = json.load(file)["runs"][int(sys.argv[2])]
		print(*sorted({task[sys.argv[3]] for task in record["resolver"]["tasks"]}))
	PYTHON
}

# assert_field EXPRESSION VALUE
assert_field() {
	local seen
	seen=$(field "$1")
	[ "$seen" = "$2" ] || fail "$1 is $seen, not $2: ${output:-}"
}
