# Custody's commands, for root on Debian 12. `make install`, `make demo` and `make test` set up by
# themselves what they need.
# CARGO_TARGET_DIR is honoured; everything that is made lies below it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

# Where rustup puts cargo, for a shell that has not read its environment yet.
export PATH := $(HOME)/.cargo/bin:$(PATH)

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
TOOLS := $(TARGET)/tools
NEXTEST := $(CARGO) nextest run --config-file .ci/nextest.toml --locked

# Where `make install` puts the binary.
PREFIX ?= /usr/local

.PHONY: setup build release verifier install test matrix soak check demo bench fuzz tools format

# Installs what the other targets need: Debian's packages and cargo-nextest. Can be repeated.
setup:
	.ci/setup

build:
	$(CARGO) build --locked --workspace

release:
	$(CARGO) build --locked --release --package custody

# The verifier for outsiders: one static file, which is handed to them as it is.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
verifier:
	RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --locked --profile verify --package custody-verify \
	    --target $(HOST)

# The binary is one file: it holds init too.
install: setup release verifier
	install -D --mode=755 $(TARGET)/release/custody $(DESTDIR)$(PREFIX)/bin/custody
	install -D --mode=755 $(TARGET)/$(HOST)/verify/custody-verify $(DESTDIR)$(PREFIX)/bin/custody-verify

# POSIX conformance is measured with the test suite of the file systems' people.
tools: $(TOOLS)/bin/pjdfstest $(TOOLS)/schemathesis/bin/schemathesis $(TOOLS)/formats/complete \
    $(TOOLS)/asciinema/casts
$(TOOLS)/bin/pjdfstest:
	$(CARGO) install --locked --quiet --root $(TOOLS) --version 0.2.2 pjdfstest

# What the API says of itself is held against what it does.
$(TOOLS)/schemathesis/bin/schemathesis:
	/usr/bin/python3 -m venv --clear $(TOOLS)/schemathesis
	$(TOOLS)/schemathesis/bin/pip install --quiet --disable-pip-version-check schemathesis==4.32.5

# Exports are read by the packages of those who made the formats.
$(TOOLS)/formats/complete: Makefile
	/usr/bin/python3 -m venv --clear $(TOOLS)/formats
	$(TOOLS)/formats/bin/pip install --quiet --disable-pip-version-check ocsf-json-schema==1.2.0 \
	    'jsonschema[format]==4.26.0' cloudevents==2.2.0 opentelemetry-proto-json==0.66b2 \
	    opentelemetry-semantic-conventions==0.66b2 standardwebhooks==1.1.0 cryptography==46.0.3
	touch $@
# The program of the asciinema people, and the recordings that its package tests itself with.
$(TOOLS)/asciinema/casts:
	$(CARGO) install --locked --quiet --root $(TOOLS) --version 3.2.0 asciinema
	mkdir --parents $(TOOLS)/asciinema
	cp --recursive "$${CARGO_HOME:-$$HOME/.cargo}"/registry/src/*/asciinema-3.2.0/tests/casts $@

# Everything: unit, integration, end-to-end, security and conformance tests, with real mounts and namespaces.
test: setup build tools
	$(NEXTEST) --workspace
	$(CARGO) test --locked --quiet --workspace --doc
	tests/fuzz/run 60

# Every file of a state directory, damaged in every way, and every act of a session on every shape of a repository; `make test`
# tries some of each kind.
matrix: setup build
	CUSTODY_WHOLE_MATRIX=1 $(NEXTEST) --package custody-tests --test e2e --no-capture -E 'test(/^state_matrix/)'
	CUSTODY_WHOLE_MATRIX=1 $(NEXTEST) --package custody-tests --test shapes --no-capture

# Each fuzz target for so many seconds, from the inputs that earlier runs found.
FUZZ_SECONDS ?= 3600
fuzz: setup
	tests/fuzz/run $(FUZZ_SECONDS)

# Generated sequences of file operations, each compared with what was told of it: so many, from this seed on.
SOAK_SEQUENCES ?= 20000
SOAK_SEED ?= 1000001
soak: setup
	CUSTODY_SEQUENCES=$(SOAK_SEQUENCES) CUSTODY_SEED=$(SOAK_SEED) $(CARGO) test --locked --package custody-workspace \
	    --test observe -- generated --nocapture

# What is quick to know: format, lints, house rules, licences, generated files.
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	$(NEXTEST) --package custody-tests --test tidy
	$(NEXTEST) --package custody-record --package custody-policy --package custody -E 'test(/fresh/)'
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --offline check bans licenses sources; \
	else echo 'cargo-deny is not installed: the tidy tests checked deny.toml'; fi
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run .ci/setup $$(git ls-files 'tests/*' | \
	    xargs grep --files-with-matches --max-count=1 '^#!/bin/\(ba\)\?sh'); \
	else echo 'shellcheck is not installed: scripts were not checked'; fi

# One session over a real repository, from the request to the answer for a line.
demo: setup release
	tests/e2e/demo/run $(TARGET)/release/custody $(TARGET)/demo

# Ratios to native, runc, docker and bindfs: a table, and $(TARGET)/bench.json.
bench: setup release
	$(CARGO) bench --locked --quiet --package custody-tests --bench bench

format:
	$(CARGO) fmt --all
