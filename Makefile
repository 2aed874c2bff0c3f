# Nuvolet -- `sudo make up` starts a private cloud, `sudo make check` tests it; see README.md.
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash
B ?= build
CC ?= gcc
V ?=
Q := $(if $(V),,@)

PKGS := glib-2.0 gthread-2.0 jansson sqlite3 libmicrohttpd libvirt libvirt-qemu libnl-3.0 libnl-route-3.0 libnftables libsodium libseccomp
CFLAGS_BASE := -std=gnu17 -D_GNU_SOURCE -I. $(shell pkg-config --cflags $(PKGS) 2>/dev/null) -DG_LOG_DOMAIN='"nuvolet"' \
  -Wall -Wextra -Wshadow -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Werror -fno-strict-aliasing -fno-delete-null-pointer-checks
HARDEN := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -fPIE
LDHARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed
SAN ?=
ifeq ($(SAN),)
  CFLAGS_MODE := $(HARDEN)
  LDFLAGS_MODE := $(LDHARDEN)
else
  CFLAGS_MODE := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) $(if $(findstring undefined,$(SAN)),-fno-sanitize-recover=all)
  LDFLAGS_MODE := -fsanitize=$(SAN)
endif
CFLAGS := $(CFLAGS_BASE) $(CFLAGS_MODE) $(EXTRA_CFLAGS)
LDFLAGS := $(LDFLAGS_MODE)
LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm

DIRS := core db ops scheduler identity image storage storage/agent network network/agent compute compute/agent api
SRC := $(wildcard $(addsuffix /*.c,$(DIRS)))
OBJ := $(SRC:%.c=$(B)/%.o) $(B)/embed.o
CMD := $(wildcard cmd/*.c)
CMDOBJ := $(CMD:%.c=$(B)/%.o)
EMBED := $(sort $(wildcard db/migrations/*.sql db/queries/*.sql db/invariants.sql dashboard/dist/* dashboard/*.html dashboard/*.js dashboard/*.css dashboard/*.svg))
UNIT := $(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/test_*.c))

.PHONY: all up down purge deps check check-crash check-unit check-http check-integration check-fresh check-vm lint golden bench conformance sanitize install clean
all: deps-build $(B)/nuvolet

# --- the two commands -------------------------------------------------------------------------------------------
up: all
	$(Q)etc/up.sh up
check: all
	$(Q)etc/packages.sh build run test image
	$(Q)tests/run quick
down purge:
	$(Q)etc/up.sh $@

# --- building ---------------------------------------------------------------------------------------------------
.PHONY: deps-build
deps-build:
	$(Q)etc/packages.sh build
# The first make on a bare machine: pkg-config or a library was not there yet when the variables above were set.
ifeq ($(shell pkg-config --exists $(PKGS) 2>/dev/null && echo ok),)
$(B)/nuvolet: deps-build
	$(Q)$(MAKE) --no-print-directory all
else
$(B)/nuvolet: $(CMDOBJ) $(OBJ)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)
endif

$(B)/%.o: %.c | deps-build
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/embed.S: $(EMBED) core/embed.sh Makefile
	@mkdir -p $(@D)
	$(Q)core/embed.sh $@ $(EMBED)
$(B)/embed.o: $(B)/embed.S
	$(Q)$(CC) -I. -c -o $@ $<

PREFIX ?= /usr/local
install: all
	install -D -m 0755 -s $(B)/nuvolet $(DESTDIR)$(PREFIX)/bin/nuvolet
	install -D -m 0644 etc/nuvolet.conf $(DESTDIR)/etc/nuvolet/nuvolet.conf
	install -D -m 0644 -t $(DESTDIR)/lib/systemd/system etc/systemd/nuvolet-serve.service etc/systemd/nuvolet-agent.service

# --- tests ------------------------------------------------------------------------------------------------------
# Each file of tests/unit is a program, linked with everything but cmd/.
$(B)/tests/%: tests/unit/%.c $(OBJ)
	@mkdir -p $(@D)
	@echo "  TEST  $@"
	$(Q)$(CC) $(CFLAGS) -MMD -MP -MF $@.d $(LDFLAGS) -o $@ $< $(OBJ) $(LIBS) -lcmocka
# An agent without a host, for tests of the controller.
$(B)/fake-agent: $(B)/tests/fake/agent.o $(filter $(B)/core/% $(B)/embed.o,$(OBJ))
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)
# The HTTP server alone, with a handler that shows what reached it.
HTTP_OBJ := $(addprefix $(B)/api/,$(addsuffix .o,http accept req conn gate uri pool ring passed sock))
$(B)/http_echo: $(B)/tests/http/http_echo.o $(HTTP_OBJ) $(filter $(B)/core/% $(B)/embed.o,$(OBJ))
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)
# The floor that speed is measured against, and what loads both.
BENCH := $(patsubst tests/bench/%.c,$(B)/%,$(wildcard tests/bench/*.c))
$(BENCH): $(B)/%: $(B)/tests/bench/%.o
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)
# Parsers of what strangers send, for libFuzzer: tests/fuzz/run builds them with clang.
FUZZ := $(patsubst tests/fuzz/%.c,$(B)/fuzz_%,$(wildcard tests/fuzz/*.c))
FUZZ_OBJ := $(addprefix $(B)/,api/uri.o api/gate.o image/inspect.o image/qcow2.o) $(filter $(B)/core/% $(B)/embed.o,$(OBJ))
$(FUZZ): $(B)/fuzz_%: $(B)/tests/fuzz/%.o $(FUZZ_OBJ)
	@echo "  LINK  $@"
	$(Q)$(CC) $(subst fuzzer-no-link,fuzzer,$(LDFLAGS)) -o $@ $^ $(LIBS)
.PHONY: unit test-bins fuzz-bins
fuzz-bins: $(FUZZ)
test-bins: $(B)/nuvolet $(B)/fake-agent $(B)/http_echo $(BENCH)
unit: $(UNIT)
# Writes the expected files of tests/golden anew; a person reviews the difference.
golden: $(UNIT)
	$(Q)for t in $(UNIT); do NUVOLET_GOLDEN=write $$t >/dev/null 2>&1 || true; done; git status --short tests/golden
check-unit check-http check-integration check-crash check-vm conformance sanitize: all
	$(Q)etc/packages.sh build run test image
	$(Q)tests/run $(@:check-%=%)
# A new user's first hour on a Debian with nothing installed, in a folder of its own; fetches some 500 MB of packages.
check-fresh:
	$(Q)tests/fresh
lint:
	$(Q)tests/lint/lint.sh
bench: all test-bins
	$(Q)etc/packages.sh build run test image
	$(Q)tests/bench/run --write

clean:
	rm -rf $(B)
-include $(B)/tests/fake/agent.d $(B)/tests/http/http_echo.d $(OBJ:.o=.d) $(CMDOBJ:.o=.d) $(wildcard $(B)/tests/*.d)
