# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make            the library, build/libconnmarkshim.so, and build/connmark-stat
#   make test       installs what is missing, then everything: lint, unit tests (also under ASan+UBSan and TSan), fuzz
#                   corpora, integration (root)
#   make demo       installs what is missing, builds, shows marks arriving (root)
#   make matrix     every resolver, mode and fault that the testbed has, as a table, JSON and a page (root; a quarter of an hour)
#   make bench      what the library costs: CPU a query under load, memory, scale, profiles; tables and charts (root; an hour)
#   make soak       unbound and BIND for a million queries amid faults: right, alive, memory flat (root; a quarter of an hour;
#                   SOAKFLAGS="--queries N")
#   make lint       warnings of gcc and clang, clang-tidy, cppcheck, shellcheck, formatting, manual pages, structure
#   make fuzz       a longer fuzz campaign: FUZZ_SECONDS a target (default 60)
#   make install    DESTDIR= PREFIX= LIBDIR= ...; make uninstall
#   make check      the unit tests alone, for packagers: needs cmocka, neither root nor clang
#   make deb        Debian packages, in build/ (debhelper, lintian)
#   make musl       the library and the tests for musl, in build/musl (musl-tools)
#
VERSION = 0.1.0

PREFIX ?= /usr/local
SBINDIR = $(PREFIX)/sbin
LIBDIR = $(PREFIX)/lib/connmarkshim
DATADIR = $(PREFIX)/share/connmarkshim
MANDIR = $(PREFIX)/share/man
DOCDIR = $(PREFIX)/share/doc/connmarkshim
COMPLETIONDIR = $(PREFIX)/share/bash-completion/completions

CC ?= gcc
CLANG ?= clang
CFLAGS ?= -O2 -g
WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla \
	   -Wformat=2 -Wundef
# The wrappers define what the fortified headers would define inline: off for the library alone, whose own buffers are
# few and checked. Behind CFLAGS, where a distribution turns them on.
LANGUAGE = -std=c11 -D_GNU_SOURCE -fno-strict-aliasing
UNFORTIFIED = -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=0
STANDARD = $(LANGUAGE) $(UNFORTIFIED)
# Optimised at the link, where the compiler can: short functions in their own files then cost no calls (a tenth of all
# instructions). LTO= turns it off.
ifndef LTO
LTO = $(eval LTO := $(shell echo 'int one;' | $(CC) -flto=auto -shared -fPIC -xc -o /dev/null - 2>/dev/null && echo -flto=auto))$(LTO)
endif
LIBFLAGS = $(LANGUAGE) $(WARNINGS) $(CFLAGS) $(UNFORTIFIED) -fPIC -fvisibility=hidden -fstack-protector-strong -MMD -MP -DSHIM_VERSION='"$(VERSION)"'
HARDENED = -fPIE -fstack-protector-strong
LIBLINK = -shared -pthread -Wl,-soname,libconnmarkshim.so -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete -Wl,-z,defs \
	  -Wl,-Bsymbolic-functions

# NO_CONNTRACK=1: without libnetfilter_conntrack and libmnl, and so without the source conntrack.
ifdef NO_CONNTRACK
CONNTRACK = conntrack_none
LIBFLAGS += -DNO_CONNTRACK
else
CONNTRACK = conntrack
LIBS = -lnetfilter_conntrack -lmnl
endif

# The pure core: no socket, no clock, no allocation. It links alone into the unit tests.
PURE = aliases attrib choose cmsg config dns holders intake intake_lend intake_move servers shard stream
SHELL_SIDE = caps $(CONNTRACK) decide events fdtab file init intakes log mark pages real route rx rx_batch sent sock source stats \
	     stats_file thread tls tls_pending trace trace_out tx tx_batch tx_stream \
	     wrap_descriptor wrap_option wrap_privilege wrap_receive wrap_send wrap_syscall wrap_tls wrap_wait withhold writer
OBJECTS = $(PURE:%=build/shim/%.o) $(SHELL_SIDE:%=build/shim/%.o)

UNIT_TESTS = $(notdir $(basename $(wildcard testbed/unit/test_*.c)))
FUZZERS = $(notdir $(basename $(wildcard testbed/fuzz/fuzz_*.c)))
COMMANDS = $(notdir $(filter-out %.c %.h,$(wildcard scripts/connmark-*)))

.PHONY: all bench bench-programs check clean deb demo fuzz install lint matrix musl programs soak test tested uninstall unit
.DELETE_ON_ERROR:

all: build/libconnmarkshim.so build/connmark-stat

build/shim build/scripts build/tests build/asan/tests build/tsan/tests build/fuzz build/programs build/bench:
	mkdir -p $@

build/shim/%.o: shim/%.c | build/shim
	$(CC) $(LIBFLAGS) $(LTO) -c -o $@ $<

build/shim/exports.map: shim/exports.map.in shim/calls.h shim/compat.h | build/shim
	$(CC) -E -P -x c -o $@ $<

build/libconnmarkshim.so: $(OBJECTS) build/shim/exports.map
	$(CC) $(LIBLINK) $(if $(LTO),$(CFLAGS) $(LTO)) $(LDFLAGS) -Wl,--version-script=build/shim/exports.map -o $@ $(OBJECTS) $(LIBS)

STAT_OBJECTS = $(patsubst scripts/%.c,build/scripts/%.o,$(wildcard scripts/connmark-stat*.c))

build/scripts/%.o: scripts/%.c | build/scripts
	$(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) $(CFLAGS) $(HARDENED) -MMD -MP -DSHIM_VERSION='"$(VERSION)"' -c -o $@ $<

build/connmark-stat: $(STAT_OBJECTS)
	$(CC) -pie $(LDFLAGS) -o $@ $^

-include $(wildcard build/shim/*.d build/*/*.d build/*/*/*.d)

# ---- unit tests: the pure core and cmocka, plain and under the sanitizers -------------------------------------------

TESTFLAGS = $(STANDARD) $(WARNINGS) -g -MMD -MP -Ishim -Itestbed/unit -DSCENARIOS='"$(CURDIR)/testbed/scenarios"'
PURE_SOURCES = $(PURE:%=shim/%.c)

build/tests/%: testbed/unit/%.c $(PURE_SOURCES) | build/tests
	$(CC) $(TESTFLAGS) -O2 -o $@ $< $(PURE_SOURCES) -lcmocka -pthread

build/asan/tests/%: testbed/unit/%.c $(PURE_SOURCES) | build/asan/tests
	$(CLANG) $(TESTFLAGS) -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -o $@ $< $(PURE_SOURCES) \
		-lcmocka -pthread

build/tsan/tests/%: testbed/unit/%.c $(PURE_SOURCES) | build/tsan/tests
	$(CLANG) $(TESTFLAGS) -O1 -fsanitize=thread -o $@ $< $(PURE_SOURCES) -lcmocka -pthread

# One thread that takes its time: nothing for the thread sanitizer.
SINGLE_THREADED = test_flood

unit: $(UNIT_TESTS:%=build/tests/%) $(UNIT_TESTS:%=build/asan/tests/%) \
      $(patsubst %,build/tsan/tests/%,$(filter-out $(SINGLE_THREADED),$(UNIT_TESTS)))

check: $(UNIT_TESTS:%=build/tests/%)
	for test in $^; do $$test || exit 1; done

# ---- the whole library under the thread sanitizer --------------------------------------------------------------------

build/tsan/libconnmarkshim.so: $(PURE:%=shim/%.c) $(SHELL_SIDE:%=shim/%.c) $(wildcard shim/*.h) build/shim/exports.map | build/tsan/tests
	$(CLANG) $(STANDARD) $(WARNINGS) -O1 -g -fsanitize=thread -fPIC -fvisibility=hidden -shared -pthread \
		-Wl,-z,nodelete -Wl,--version-script=build/shim/exports.map -o $@ $(filter %.c, $^) $(LIBS)

build/tsan/f_race: testbed/programs/f_race.c build/tsan/libconnmarkshim.so
	$(CLANG) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O1 -g -fsanitize=thread -pthread -o $@ $< \
		-Wl,--no-as-needed build/tsan/libconnmarkshim.so -Wl,-rpath,$(CURDIR)/build/tsan

# ---- little programs that the integration tests run under the shim --------------------------------------------------

# Libraries: between ours and the C library, or loaded by a program.
BESIDES = behind early faulty leaky plugin records
PROGRAMS = $(filter-out $(BESIDES), $(notdir $(basename $(wildcard testbed/programs/*.c))))

build/programs/%: testbed/programs/%.c | build/programs
	$(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -g -MMD -MP -o $@ $< -pthread

build/programs/%.so: testbed/programs/%.c | build/programs
	$(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -g -shared -fPIC -o $@ $<

build/programs/f_secure-linked: testbed/programs/f_secure.c build/libconnmarkshim.so | build/programs
	$(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -g -o $@ $< -Wl,--no-as-needed build/libconnmarkshim.so \
		-Wl,-rpath,$(CURDIR)/build

programs: $(PROGRAMS:%=build/programs/%) $(BESIDES:%=build/programs/%.so) build/programs/f_secure-linked

# ---- benchmarks -----------------------------------------------------------------------------------------------------

build/bench/%: testbed/bench/%.c | build/bench
	$(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -g -MMD -MP -o $@ $< -pthread

build/bench/core: testbed/bench/core.c $(PURE_SOURCES) shim/pages.c | build/bench
	$(CC) $(STANDARD) $(WARNINGS) -O2 -g -MMD -MP -Ishim -o $@ $< $(PURE_SOURCES) shim/pages.c -pthread

build/bench/memory: testbed/bench/memory.c shim/pages.c | build/bench
	$(CC) $(STANDARD) $(WARNINGS) -O2 -g -MMD -MP -Ishim -o $@ $< shim/pages.c

# By the library's name: the benchmark takes it for one.
build/bench/floor/libconnmarkshim.so: testbed/bench/floor.c
	mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -g -fPIC -shared -o $@ $<

bench-programs: build/bench/drivers build/bench/upstream build/bench/core build/bench/memory build/bench/floor/libconnmarkshim.so

BENCHFLAGS ?=

bench:
	scripts/install-deps bench
	$(MAKE) all bench-programs
	testbed/bench/scale $(BENCHFLAGS)
	testbed/bench/load --floor --growth $(BENCHFLAGS)
	testbed/bench/profile unbound bind pdns dnsmasq $(BENCHFLAGS)
	testbed/bench/profile unbound --rate 8000 $(BENCHFLAGS)
	testbed/bench/profile unbound --names cached $(BENCHFLAGS)

# ---- fuzzing: libFuzzer with the pure core, ASan and UBSan ----------------------------------------------------------

FUZZ_SECONDS ?= 60

# What it fuzzes is not pure, and has the rest of the library from it.
build/fuzz/fuzz_events build/musl/fuzz/fuzz_events: EVENT_SOURCES = shim/decide.c shim/events.c shim/intakes.c shim/pages.c
build/fuzz/fuzz_events build/musl/fuzz/fuzz_events: shim/decide.c shim/events.c shim/intakes.c shim/pages.c

build/fuzz/%: testbed/fuzz/%.c $(PURE_SOURCES) | build/fuzz
	$(CLANG) $(STANDARD) $(WARNINGS) -g -O1 -MMD -MP -Ishim -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all -o $@ $< $(EVENT_SOURCES) $(PURE_SOURCES) -pthread

fuzz: $(FUZZERS:%=build/fuzz/%)
	testbed/fuzz/run $(FUZZ_SECONDS) $(FUZZERS)

# ---- checks ---------------------------------------------------------------------------------------------------------

tested: all unit programs musl build/tsan/f_race bench-programs $(FUZZERS:%=build/fuzz/%)

test:
	scripts/install-deps all
	$(MAKE) -j$$(nproc) tested
	testbed/run-tests

matrix:
	scripts/install-deps all
	$(MAKE) all
	testbed/matrix --json build/matrix.json --html build/matrix.html

SOAKFLAGS ?=

soak:
	scripts/install-deps demo
	$(MAKE) all
	testbed/soak $(SOAKFLAGS)

lint:
	testbed/lint "$(STANDARD) $(WARNINGS)" "$(PURE)"

demo:
	scripts/install-deps demo
	$(MAKE) all
	testbed/demo

# ---- musl: the library without conntrack's, which Debian has not for it, and its tests ------------------------------

MUSL_CC ?= musl-gcc
MUSL_OBJECTS = $(patsubst build/%,build/musl/%,$(filter-out %/$(CONNTRACK).o,$(OBJECTS))) build/musl/shim/conntrack_none.o
# musl's msghdr has an int and a socklen_t where the kernel and glibc have a size_t.
MUSL_WARNINGS = $(WARNINGS) -Wno-conversion -Wno-sign-compare
# The kernel's own headers, and no other of glibc's system.
MUSL_FLAGS = $(STANDARD) $(MUSL_WARNINGS) $(CFLAGS) -MMD -MP -Ibuild/musl/include -DNO_CONNTRACK -DSHIM_VERSION='"$(VERSION)"'
MUSL_TESTS = $(UNIT_TESTS:%=build/musl/tests/%) $(FUZZERS:%=build/musl/fuzz/%) $(PROGRAMS:%=build/musl/programs/%)

build/musl/shim build/musl/tests build/musl/fuzz build/musl/programs:
	mkdir -p $@

build/musl/include:
	mkdir -p $@
	for part in linux asm asm-generic; do \
		file=$$(echo "#include <$$part/types.h>" | $(CC) -M -E -xc - | tr ' ' '\n' | grep "/$$part/types.h"); \
		ln -sfn "$${file%/types.h}" $@/$$part || exit 1; \
	done

build/musl/shim/%.o: shim/%.c | build/musl/shim build/musl/include
	$(MUSL_CC) $(MUSL_FLAGS) -fPIC -fvisibility=hidden -fstack-protector-strong -c -o $@ $<

build/musl/shim/exports.map: shim/exports.map.in shim/calls.h shim/compat.h | build/musl/shim
	$(MUSL_CC) -E -P -x c -o $@ $<

build/musl/libconnmarkshim.so: $(MUSL_OBJECTS) build/musl/shim/exports.map
	$(MUSL_CC) $(LIBLINK) -Wl,--version-script=build/musl/shim/exports.map -o $@ $(MUSL_OBJECTS)

build/musl/tests/%: testbed/unit/%.c $(PURE_SOURCES) testbed/musl/cmocka.h | build/musl/tests build/musl/include
	$(MUSL_CC) $(MUSL_FLAGS) -Ishim -Itestbed/unit -Itestbed/musl -DSCENARIOS='"$(CURDIR)/testbed/scenarios"' -o $@ $< \
		$(PURE_SOURCES) -pthread

build/musl/fuzz/%: testbed/fuzz/%.c $(PURE_SOURCES) testbed/musl/replay.c | build/musl/fuzz build/musl/include
	$(MUSL_CC) $(MUSL_FLAGS) -Ishim -o $@ $< $(EVENT_SOURCES) $(PURE_SOURCES) testbed/musl/replay.c -pthread

build/musl/programs/%: testbed/programs/%.c testbed/musl/prelude.h | build/musl/programs build/musl/include
	$(MUSL_CC) -std=c11 -D_GNU_SOURCE $(MUSL_WARNINGS) -Wno-format -Wno-overflow -O2 -g -MMD -MP -Ibuild/musl/include \
		-include testbed/musl/prelude.h -o $@ $< -pthread

musl: build/musl/libconnmarkshim.so $(MUSL_TESTS)

# ---- installation ---------------------------------------------------------------------------------------------------

# What is there is installed, and uninstall takes the same lists, so that neither can forget what the other knows.
COMPILED = connmark-stat
SOURCED = $(notdir $(wildcard scripts/lib/*))
MANUALS = $(notdir $(wildcard man/*.[0-9]))
DOCUMENTS = README.md CHANGELOG.md LICENSE

manual_path = $(MANDIR)/man$(subst .,,$(suffix $(1)))/$(1)
COMPLETED = $(COMMANDS) $(COMPILED)
INSTALLED = $(LIBDIR)/libconnmarkshim.so $(addprefix $(SBINDIR)/,$(COMMANDS) $(COMPILED)) $(SOURCED:%=$(DATADIR)/%) \
	    $(foreach page,$(MANUALS),$(call manual_path,$(page))) $(DOCUMENTS:%=$(DOCDIR)/%) \
	    $(COMPLETED:%=$(COMPLETIONDIR)/%)

# $(call put,FILE,WHERE,MODE): installs a text; the places that it names become those of this installation.
put = sed -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@DATADIR@|$(DATADIR)|g' -e 's|@VERSION@|$(VERSION)|g' \
	-e 's|/usr/local/sbin|$(SBINDIR)|g' -e 's|/usr/local/lib/connmarkshim|$(LIBDIR)|g' \
	$(1) > $(DESTDIR)$(2) && chmod $(3) $(DESTDIR)$(2)

install: all $(COMPILED:%=build/%)
	install -d $(addprefix $(DESTDIR),$(sort $(dir $(INSTALLED))))
	install -m 0644 build/libconnmarkshim.so $(DESTDIR)$(LIBDIR)/
	$(if $(COMPILED),install -m 0755 $(COMPILED:%=build/%) $(DESTDIR)$(SBINDIR)/)
	@$(foreach name,$(COMMANDS),$(call put,scripts/$(name),$(SBINDIR)/$(name),0755) &&) :
	@$(foreach name,$(SOURCED),$(call put,scripts/lib/$(name),$(DATADIR)/$(name),0644) &&) :
	@$(foreach page,$(MANUALS),$(call put,man/$(page),$(call manual_path,$(page)),0644) &&) :
	@$(foreach name,$(DOCUMENTS),$(call put,$(name),$(DOCDIR)/$(name),0644) &&) :
	@$(foreach name,$(COMPLETED),install -m 0644 scripts/bash-completion $(DESTDIR)$(COMPLETIONDIR)/$(name) &&) :

uninstall:
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	for dir in $(filter %/connmarkshim,$(patsubst %/,%,$(sort $(dir $(INSTALLED))))); do \
		[ ! -d "$(DESTDIR)$$dir" ] || rmdir --ignore-fail-on-non-empty "$(DESTDIR)$$dir" || exit 1; \
	done

# ---- packages -------------------------------------------------------------------------------------------------------

# From a copy, so that nothing that debhelper writes is left in this tree.
DEB_TREE = build/deb/connmarkshim-$(VERSION)

deb:
	@command -v dpkg-buildpackage dh lintian >/dev/null || { \
		echo 'make deb: dpkg-buildpackage, dh or lintian is not there; scripts/install-deps deb installs them' >&2; exit 1; }
	rm -rf build/deb build/*.deb build/*.changes build/*.buildinfo
	mkdir -p $(DEB_TREE)
	tar -cf - --exclude=./build --exclude=./.git . | tar -xf - -C $(DEB_TREE)
	cd $(DEB_TREE) && dpkg-buildpackage --build=binary --unsigned-source --unsigned-changes
	mv build/deb/*.deb build/deb/*.changes build/deb/*.buildinfo build/
	rm -rf build/deb
	lintian --fail-on error,warning --allow-root build/connmarkshim_$(VERSION)_*.changes

clean:
	rm -rf build
