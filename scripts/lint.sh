#!/usr/bin/env bash
# Static checks of code and prose: `make lint`, also part of `make test`. The programs are built from the versions that
# scripts/tools/go.mod pins.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# The programs load all code at once and end: without a collector below 3 GiB they take two thirds of the CPU time.
export GOGC=${GOGC:-off} GOMEMLIMIT=${GOMEMLIMIT:-3GiB}
tool() { go tool -modfile=scripts/tools/go.mod "$@"; }

# empty runs a check that prints its findings and ends with 0 all the same.
empty() {
	local found
	found=$(tool "$@")
	[ -z "$found" ] || { printf '%s:\n%s\n' "$1" "$found" >&2; return 1; }
}

# vetsource is go vet and errorlint: for this system by go vet, which keeps what it has found, and for macOS without compiling
# anything for it.
analyzers() { awk '/^By default/ { past = 1 } found && !past && NF { print $1 } /^Registered analyzers/ { found = 1 }'; }
vet=$PWD/bin/vetsource
go -C scripts/tools build -o "$vet" ./vetsource
diff <(go tool vet help | analyzers) <("$vet" help | analyzers | grep -v errorlint) || {
	echo "scripts/tools/vetsource has other analyzers than go vet" >&2
	exit 1
}
GOOS=darwin "$vet" ./...
empty deadcode -test ./...
go run ./loadtest/shape --check # comments and pages
staticcheck=$(tool -n staticcheck) unparam=$(tool -n unparam)
# What follows needs compiled packages. With LINT_RACE it takes those that the tests have compiled meanwhile.
if [ -n "${LINT_RACE-}" ]; then
	GOFLAGS="$(go env GOFLAGS) -race"
	export GOFLAGS CGO_ENABLED=1
fi
go vet -vettool="$vet" ./...
"$staticcheck" ./...
"$unparam" ./...
