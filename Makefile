# The commands of this project. Each is a line or two: the work is done by cargo, xtask/ and tools/deps.sh.

CARGO ?= cargo
DORMOUSE = target/release/dormouse
HOSTS ?= 10
# Root, or by sudo.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.DEFAULT_GOAL := help
# Where `make install` puts things.
DESTDIR ?=
PREFIX ?= /usr
UNITS ?= $(PREFIX)/lib/systemd/system
COMPLETIONS = bash-completion/completions/dormouse zsh/vendor-completions/_dormouse fish/vendor_completions.d/dormouse.fish
# For `make lab-faults`: which part (moves, kills, soak, starts, rows), and what is drawn follows from which seed.
PART ?=
SEED ?=
# For `make fuzz`: which entry, and for how many seconds.
TARGET ?= cluster_text
SECONDS ?= 60

.PHONY: help deps deps-lab deps-test build build-etcd demo install install-only check lint test fuzz lab-night lab-faults bless bench clean

help: ## this list
	@echo 'dormouse puts idle hosts to sleep. On a fresh machine with Rust, start with: make demo'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

deps: ## install the Debian packages that building needs, if missing (says so; sudo when not root)
	@tools/deps.sh build

deps-lab: deps ## the same for the real lab: libvirt, QEMU, sshd (starts and enables no service)
	@tools/deps.sh lab

# The lab runs as root only, so nobody else gets its packages for a test run.
deps-test: deps
	@if [ "$$(id -u)" = 0 ]; then tools/deps.sh lab; fi

build: deps ## build everything; leaves target/release/dormouse
	$(CARGO) build --release --locked --workspace

build-etcd: deps ## the same with the store for several managers (installs protoc)
	@tools/deps.sh etcd
	$(CARGO) build --release --locked --workspace --features dormouse/etcd

demo: build ## 62 simulated hosts fall asleep on your screen
	@$(DORMOUSE) demo

install: build ## program, unit, user, pages and completions into DESTDIR; starts and enables nothing (docs/daemon.md)
	@$(MAKE) --no-print-directory install-only

install-only: # what was built, as it is
	install -D -m 755 $(DORMOUSE) $(DESTDIR)$(PREFIX)/bin/dormouse
	install -D -m 644 packaging/dormouse.service $(DESTDIR)$(UNITS)/dormouse.service
	install -D -m 644 packaging/dormouse.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/dormouse.conf
	install -d -m 755 $(DESTDIR)/etc/dormouse
	install -D -m 755 packaging/dormouse-inventory $(DESTDIR)$(PREFIX)/share/dormouse/dormouse-inventory
	install -d -m 755 $(addprefix $(DESTDIR)$(PREFIX)/share/,man/man1 $(dir $(COMPLETIONS)))
	$(DORMOUSE) man --dir $(DESTDIR)$(PREFIX)/share/man/man1
	$(DORMOUSE) completions bash >$(DESTDIR)$(PREFIX)/share/$(word 1,$(COMPLETIONS))
	$(DORMOUSE) completions zsh >$(DESTDIR)$(PREFIX)/share/$(word 2,$(COMPLETIONS))
	$(DORMOUSE) completions fish >$(DESTDIR)$(PREFIX)/share/$(word 3,$(COMPLETIONS))

check: deps ## the quick loop: house rules, format, clippy, pure crates, scenarios
	@$(CARGO) xtask check

lint: deps ## house rules only, in a second
	@$(CARGO) xtask tidy

test: deps-test ## every test this machine allows; names what it skipped and why
	@$(CARGO) xtask test

fuzz: deps ## libFuzzer on one reader of hostile text (TARGET=domain_xml SECONDS=600; needs cargo-fuzz and a nightly compiler)
	@tools/deps.sh fuzz
	mkdir -p target/fuzz-corpus/$(TARGET)
	$(CARGO) +nightly fuzz run $(TARGET) target/fuzz-corpus/$(TARGET) fuzz/corpus/$(TARGET) -- -max_total_time=$(SECONDS) -max_len=65536 -timeout=10 -rss_limit_mb=1024

lab-night: deps-lab build ## one night with real libvirt, QEMU and migrations (root; HOSTS=10)
	$(SUDO) $(DORMOUSE) lab night --hosts $(HOSTS)

lab-faults: deps-lab build ## hours of faults in the real lab, in parts that can be resumed (root; PART=moves SEED=1)
	$(CARGO) build --release --locked -p dormouse --example lab-faults
	$(SUDO) target/release/examples/lab-faults $(if $(PART),--part $(PART)) $(if $(SEED),--seed $(SEED))

bless: deps ## rewrite golden files; read the diff
	@$(CARGO) xtask bless

bench: deps ## the figures of PROMISES.md
	@$(CARGO) xtask bench

clean: ## remove what was built
	$(CARGO) clean
