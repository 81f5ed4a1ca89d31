# SPDX-License-Identifier: GPL-2.0-or-later
# The judges' own tests: packets and messages made by hand, no network.

load helpers

@test "unit tests of the testbed" {
	run /usr/bin/python3 -B -m unittest discover -s "$REPO/testbed/unit" -t "$REPO/testbed/unit"
	assert_success
	assert_output --partial OK
}

@test "every program explains itself" {
	local program
	for program in "$REPO"/testbed/run "$REPO"/testbed/bin/*.py; do
		run "$program" --help
		assert_success
	done
}
