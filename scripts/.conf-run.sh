#!/usr/bin/env bash
# Runs the server's own test suite against a fresh server, directly and through the proxy, and
# prints both counts and every difference by test name.
#
#   scripts/conformance.sh [--server redis|valkey] [--direct | --via-proxy] [--single unit]…
#                          [--only test name]… [--tags tags]
#
#   --server      redis: Redis 8.0.2 and its suite (the default). valkey: Valkey 8.0.1 and the
#                 suite of the Valkey whose source can be had; tests of newer features fail
#                 directly too, so they are not differences
#   --direct      run directly only;  --via-proxy  through the proxy only
#   --single      run these files only, such as unit/type/list
#   --only        run the tests of that name only (the suite's own --only)
#   --tags        the suite's --tags; -slow unless given
#
# Each file of the suite runs on its own, in external mode. A file that breaks off costs its own
# remaining tests only, and the next one begins with a fresh server and a fresh proxy, since a run
# that is cut off leaves CONFIG changes behind. Logs stay in .tools/conformance/<server>/, the
# direct results too: --via-proxy compares with those of the last direct run.
#
# Exit code: 0 when every test that passes directly passes through the proxy, 1 when not.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
servers=$repo/.tools/servers
kind=redis suite=suite tags=-slow ways=(direct proxy)
singles=() only=()
server_pid="" proxy_pid=""

fail() { printf 'conformance: %s\n' "$*" >&2; exit 2; }

parse() {
	while [ $# -gt 0 ]; do
		case $1 in
		--server) kind=$2; shift ;;
		--direct) ways=(direct) ;;
		--via-proxy) ways=(proxy) ;;
		--single) singles+=("$2"); shift ;;
		--only) only+=("$2"); shift ;;
		--tags) tags=$2; shift ;;
		*) fail "unknown argument $1; see the head of scripts/conformance.sh" ;;
		esac
		shift
	done
	case $kind in
	redis) ;;
	valkey) suite=suite-valkey ;;
	*) fail "--server is redis or valkey" ;;
	esac
}

# prepare lays out a work folder: the suite's tests beside the server's programs.
prepare() {
	whole=$repo/.tools/conformance/$kind
	out=$whole
	[ ${#singles[@]} -eq 0 ] && [ ${#only[@]} -eq 0 ] || out=$whole/part-$$
	mkdir -p "$out"
	work=$(mktemp -d "$out/.work.XXXXXX")
	trap cleanup EXIT
	mkdir "$work/src" "$work/data"
	cp -r "$servers/$suite/tests" "$work/tests"
	local program
	for program in "$servers/$kind/bin/$kind"-*; do
		ln -s "$program" "$work/src/"
	done
	server_port=$(free_port)
	proxy_port=$(free_port)
	tclsh=$(command -v tclsh8.6 || command -v tclsh || echo "$servers/tcl/bin/tclsh8.6")
}

cleanup() {
	stop_all
	rm -rf "$work"
}

# free_port prints a port below the ephemeral range on which nothing answers.
free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 10000))
		answers "$port" || break
	done
	echo "$port"
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# await <port> <pid> <name> waits until the process answers.
await() {
	for _ in $(seq 100); do
		answers "$1" && return
		kill -0 "$2" 2>/dev/null || break
		sleep 0.1
	done
	fail "the $3 did not start; see $work"
}

start_all() {
	local way=$1
	(cd "$work/data" && exec "$servers/$kind/bin/$kind-server" --port "$server_port" --save "" \
		--enable-debug-command yes --enable-protected-configs yes --enable-module-command yes \
		>>"$out/$way.server.log" 2>&1) &
	server_pid=$!
	await "$server_port" "$server_pid" server
	[ "$way" = proxy ] || return 0
	cat >"$work/proxy.yaml" <<-YAML
		listeners:
		  - address: 127.0.0.1:$proxy_port
		upstream:
		  address: 127.0.0.1:$server_port
		admin: {address: "off", http: "off"}
		rules: []
		log: {level: "${HOLDFAST_LOG:-info}"}
	YAML
	"$repo/bin/proxy" serve --config "$work/proxy.yaml" >>"$out/proxy.proxy.log" 2>&1 &
	proxy_pid=$!
	await "$proxy_port" "$proxy_pid" proxy
}

stop_all() {
	local pid
	for pid in $proxy_pid $server_pid; do
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	proxy_pid="" server_pid=""
	rm -rf "$work"/data/*
}

# units prints the files of the suite.
units() {
	if [ ${#singles[@]} -gt 0 ]; then
		printf '%s\n' "${singles[@]}"
	else
		(cd "$work" && "$tclsh" tests/test_helper.tcl --list-tests)
	fi
}

# run_unit <way> <unit> runs one file; its log goes to the way's log with colours removed.
run_unit() {
	local port=$server_port test args=()
	[ "$1" = direct ] || port=$proxy_port
	for test in "${only[@]}"; do
		args+=(--only "$test")
	done
	# The suite gives up after its own timeout without progress; the outer one is for a suite that hangs.
	(cd "$work" && timeout --foreground 900 "$tclsh" tests/test_helper.tcl --host 127.0.0.1 \
		--port "$port" --clients 1 --timeout 120 --tags "$tags" --single "$2" \
		"${args[@]}" </dev/null) 2>&1 | sed 's/\x1b\[[0-9;]*m//g' >"$work/unit.log"
}

# record <way> <unit> appends "result<TAB>unit: test" lines from the unit's log to the results.
record() {
	cat "$work/unit.log" >>"$out/$1.log"
	awk -v unit="$2" '
		/^\[(ok|err|exception|TIMEOUT)\]/ {
			result = substr($1, 2, index($1, "]") - 2)
			name = $0
			sub(/^\[[a-zA-Z]+\]:? ?/, "", name)
			sub(/ \([0-9]+ ms\)$/, "", name)
			sub(/ in tests\/.*$/, "", name)
			print result "\t" unit ": " name
		}' "$work/unit.log" >>"$out/$1.results"
}

run_way() {
	local way=$1 unit started=$SECONDS
	: >"$out/$way.log"
	: >"$out/$way.results"
	start_all "$way"
	while read -r unit; do
		if ! run_unit "$way" "$unit" || ! kill -0 "$server_pid" $proxy_pid 2>/dev/null; then
			printf 'conformance: %s: %s did not pass whole\n' "$way" "$unit" >&2
			stop_all
			start_all "$way"
		fi
		record "$way" "$unit"
	done < <(units)
	stop_all
	summary "$way" "$((SECONDS - started))"
}

# summary <way> <seconds> prints the counts of a way.
summary() {
	awk -F '\t' -v way="$1" -v seconds="$2" '
		$1 == "ok" { ok++; next } { bad++ }
		END { printf "%-7s %5d ok, %d errors (%d s)\n", way ":", ok, bad, seconds }
	' "$out/$1.results"
}

# compare prints what passes directly and not through the proxy, and the reverse.
compare() {
	local direct=$whole/direct.results
	[ ! -f "$out/direct.results" ] || direct=$out/direct.results
	[ -f "$direct" ] || { echo "no direct results to compare with; run --direct once"; return 1; }
	passed "$direct" >"$work/direct.ok"
	passed "$out/proxy.results" >"$work/proxy.ok"
	comm -23 "$work/direct.ok" "$work/proxy.ok" >"$out/lost"
	comm -13 "$work/direct.ok" "$work/proxy.ok" >"$out/gained"
	printf 'passes directly, not through the proxy: %d\n' "$(wc -l <"$out/lost")"
	sed 's/^/  - /' "$out/lost"
	printf 'passes through the proxy, not directly: %d\n' "$(wc -l <"$out/gained")"
	sed 's/^/  + /' "$out/gained"
	echo "logs: ${out#"$repo"/}"
	[ ! -s "$out/lost" ]
}

# passed <results> prints the tests of this run that passed, sorted. Of a whole run's results, a
# run of a part takes its part.
passed() {
	awk -F '\t' -v units="$(printf '%s\n' "${singles[@]}")" -v tests="$(printf '%s\n' "${only[@]}")" '
		BEGIN {
			unitsGiven = split(units, u, "\n"); for (i in u) unit[u[i]]
			testsGiven = split(tests, t, "\n"); for (i in t) test[t[i]]
		}
		$1 != "ok" { next }
		{ at = index($2, ": ") }
		unitsGiven && !(substr($2, 1, at - 1) in unit) { next }
		testsGiven && !(substr($2, at + 2) in test) { next }
		{ print $2 }
	' "$1" | LC_ALL=C sort
}

main() {
	parse "$@"
	command -v tclsh8.6 >/dev/null || command -v tclsh >/dev/null || "$repo/scripts/servers.sh" tcl
	"$repo/scripts/servers.sh" "$kind" "$suite"
	prepare
	local way
	for way in "${ways[@]}"; do
		run_way "$way"
	done
	[ "${ways[*]}" = direct ] || compare
}

main "$@"; exit # nothing below is read: the file may be edited while it runs
