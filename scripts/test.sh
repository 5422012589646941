#!/usr/bin/env bash
# Every check and test of the project: `make test`. Needs Go; gets the rest (the servers that the
# tests run against, and a C compiler for the race detector where there is none) into .tools.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
step() { printf '== %s\n' "$*"; }

trap 'kill $(jobs -p) 2>/dev/null || true' EXIT # what runs beside has no use after a failure

step "servers, beside what needs none"
scripts/servers.sh &
servers=$!

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

step "proxy without the race detector, which some tests run"
make -s test-proxy
export HOLDFAST_TEST_PROXY=$PWD/bin/test-proxy # or each package links one of its own

wait "$servers"
if ! command -v "${CC:-gcc}" >/dev/null && ! command -v cc >/dev/null; then
	step "C compiler, which the race detector needs"
	scripts/servers.sh gcc
	CC=$PWD/.tools/servers/gcc/bin/gcc
	export CC
fi

step "vet and lint, in the time that the tests leave"
LINT_RACE=1 nice -n 10 scripts/lint.sh >bin/lint.log 2>&1 &
lint=$!

step "go test -race"
# A program with the race detector sleeps for a second before it exits, in case something still runs; and it gives the shadow of
# each large buffer back to the system, page by page, a tenth of the time of all tests.
export GORACE="atexit_sleep_ms=0 clear_shadow_mmap_threshold=16777216 ${GORACE-}"
# Memory is there: the collector runs a quarter as often.
export GOGC=${GOGC:-400}
failed=0
# Nothing but tests runs at the same time in these packages: the race detector has nothing to find, and takes five times the
# time.
alone=(./configs ./docs ./journal/diff ./journal/event ./journal/quantity ./journal/rdb ./journal/stream ./loadtest/shape
	./policy/internal/gen ./proxy/queue ./proxy/resp ./proxy/systemd ./scripts/...)
lone=$(go list "${alone[@]}")
rest=$(go list ./... | grep -vxF "$lone") # assigned, so that an error ends the run
mapfile -t together <<<"$rest"
go test -vet=off -ldflags=-s -timeout 20m "$@" "${alone[@]}" || failed=$?
# Most tests wait for servers: more of them than processors keep the processors busy, in a package and by packages. The longest
# packages come first. scripts/lint.sh runs vet. Without symbols for a debugger, which stacks and races do not need, a program is
# linked in two thirds of the time.
CGO_ENABLED=1 go test -race -vet=off -ldflags=-s -timeout 20m -p "$(($(nproc) + 1))" -parallel 6 "$@" \
	./proxy ./cmd/proxy ./journal/repair ./journal ./journal/tap "${together[@]}" || failed=$?

step "findings of vet and lint"
wait "$lint" || failed=$?
cat bin/lint.log
exit "$failed"
