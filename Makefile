# Each verb is the one way to do a thing. Two variables:
#   PYTHON  the interpreter to build for, CPython 3.11 or later
#   ARGS    more arguments:  make test ARGS='-k chunked'   make serve ARGS='--port 80'
PYTHON ?= python3
ARGS ?=
DEV = $(PYTHON) .ci/dev.py

.DEFAULT_GOAL := help
.PHONY: help serve build test test-all lint format debug asan portable \
	bench bench-table bench-quick report compare fuzz fuzz-c upstream dist clean check-python

help:  ## say what each verb does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

serve: check-python  ## build everything and run the example server
	@$(DEV) serve $(ARGS)

build: check-python  ## build both extensions in place
	@$(DEV) build

test: check-python  ## build in place and run the quick tests
	@$(DEV) test $(ARGS)

test-all: check-python  ## run the tests on every CPython from 3.11 up, the slow ones on PYTHON
	@$(DEV) test-all $(ARGS)

lint: check-python  ## run every formatter, linter and type checker; change nothing
	@$(DEV) lint

format: check-python  ## format C and Python
	@$(DEV) format

debug: check-python  ## test the debug build: assertions on, warnings are errors
	@$(DEV) profile debug $(ARGS)

asan: check-python  ## test under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(DEV) profile asan $(ARGS)

portable: check-python  ## test with what is Linux only compiled out
	@$(DEV) profile portable $(ARGS)

bench: check-python  ## measure ours beside its peers; ARGS=--quick: does it work
	@$(DEV) bench $(ARGS)

bench-table: check-python  ## the same, of the rows of the promise only
	@$(DEV) bench --plan table $(ARGS)

bench-quick: check-python  ## one short round of every peer: does all work
	@$(DEV) bench --plan quick $(ARGS)

report: check-python  ## the newest results as a page, and the charts of the README
	@$(DEV) report $(ARGS)

compare: check-python  ## what changed beyond the noise: make compare A=FILE B=FILE
	@$(DEV) compare $(A) $(B) $(ARGS)

fuzz: check-python  ## feed random bytes to ours and to httptools; ARGS='--seconds 600'
	@$(DEV) fuzz $(ARGS)

fuzz-c: check-python  ## fuzz the C parser, guided by coverage, sanitized; needs clang
	@$(DEV) fuzz-c $(ARGS)

upstream: check-python  ## run the test suites of the projects that we stand in for
	@$(DEV) upstream $(ARGS)

dist: check-python  ## make the sdist and a wheel in dist/
	@$(DEV) dist

clean: check-python  ## remove what was built; .venv and vendor/src stay
	@$(DEV) clean

check-python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else "error: CPython 3.11 or later is needed, %s is %d.%d: run make PYTHON=python3.13, or another from 3.11 up" % ((sys.executable,) + v))'
