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

.PHONY: all unit clean
all: $(B)/nuvolet

$(B)/nuvolet: $(CMDOBJ) $(OBJ)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/embed.S: $(EMBED) core/embed.sh Makefile
	@mkdir -p $(@D)
	$(Q)core/embed.sh $@ $(EMBED)
$(B)/embed.o: $(B)/embed.S
	$(Q)$(CC) -I. -c -o $@ $<

# Unit tests: each file a program, linked with everything but cmd/.
$(B)/tests/%: tests/unit/%.c $(OBJ)
	@mkdir -p $(@D)
	@echo "  TEST  $@"
	$(Q)$(CC) $(CFLAGS) -MMD -MP -MF $@.d $(LDFLAGS) -o $@ $< $(OBJ) $(LIBS) -lcmocka
unit: $(UNIT)
	@set -e; for t in $(UNIT); do $$t; done

clean:
	rm -rf $(B)
-include $(OBJ:.o=.d) $(CMDOBJ:.o=.d) $(wildcard $(B)/tests/*.d)
