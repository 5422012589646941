#!/usr/bin/env bash
# Every check and test of the project: `make test`. Needs Go; gets the rest (the servers that the
# tests run against, and a C compiler for the race detector where there is none) into .tools.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
step() { printf '== %s\n' "$*"; }

step "servers"
scripts/servers.sh
if ! command -v "${CC:-gcc}" >/dev/null && ! command -v cc >/dev/null; then
	step "C compiler, which the race detector needs"
	scripts/servers.sh gcc
	CC=$PWD/.tools/servers/gcc/bin/gcc
	export CC
fi

step "modules"
for pause in 3 10 0; do # a proxy for modules may be busy for a moment
	go mod download && break
	[ "$pause" != 0 ] || exit 1
	sleep "$pause"
done

step "gofmt"
# Generated and fetched folders are not ours to format.
unformatted=$(find . -name '*.go' -not -path './.tools/*' -exec gofmt -l {} +)
if [ -n "$unformatted" ]; then
	printf 'not formatted; run make fmt:\n%s\n' "$unformatted" >&2
	exit 1
fi

step "go vet"
go vet ./...
step "go vet for macOS"
GOOS=darwin go vet ./...

step "lint"
scripts/lint.sh

step "proxy without the race detector, which some tests run"
make -s test-proxy
export HOLDFAST_TEST_PROXY=$PWD/bin/test-proxy # or each package links one of its own

step "go test -race"
# A program with the race detector sleeps for a second before it exits, in case something still runs.
export GORACE="atexit_sleep_ms=0 ${GORACE-}"
# Most tests wait for servers: more of them than processors keep the processors busy. go vet has run.
CGO_ENABLED=1 go test -race -vet=off -timeout 20m -parallel 6 "$@" ./...
