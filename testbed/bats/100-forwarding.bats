# SPDX-License-Identifier: GPL-2.0-or-later
# The promise, on the plain path: every query right, none wrong, none lost that bare would not lose.

load helpers

setup() {
	need_root
}

plain() {
	shimmed "$1" --queries 2000 --clients 40 --in-flight 64 --directives "$2"
}

@test "dnsmasq, answers at once" {
	plain dnsmasq none
}

@test "dnsmasq, answers in any order" {
	plain dnsmasq rnd50
}

@test "dnsmasq, slow answers" {
	plain dnsmasq dly150
}

@test "unbound, answers at once" {
	plain unbound none
}

@test "unbound, answers in any order" {
	plain unbound rnd50
}

@test "unbound, slow answers" {
	plain unbound dly150
}

@test "BIND, answers at once" {
	plain bind none
}

@test "BIND, answers in any order" {
	plain bind rnd50
}

@test "BIND, slow answers" {
	plain bind dly150
}
