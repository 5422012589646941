#!/usr/bin/env bash
# Static checks beyond go vet, of code and prose: `make lint`, also part of `make test`. The programs are built from the
# versions that scripts/tools/go.mod pins.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# The programs load all code at once and end: a collector that runs less often saves a quarter of their CPU time.
export GOGC=${GOGC:-400} GOMEMLIMIT=${GOMEMLIMIT:-2GiB}
tool() { go tool -modfile=scripts/tools/go.mod "$@"; }

# empty runs a check that prints its findings and ends with 0 all the same.
empty() {
	local found
	found=$(tool "$@")
	[ -z "$found" ] || { printf '%s:\n%s\n' "$1" "$found" >&2; return 1; }
}

tool staticcheck ./...
tool unparam ./...
tool go-errorlint -comparison=false -asserts=false ./... # an error that is wrapped is wrapped by %w
empty deadcode -test ./...
go run ./loadtest/shape --check # comments and pages
