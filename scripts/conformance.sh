#!/usr/bin/env bash
# Runs the server's own test suite against a fresh server, directly and through the proxy, and
# prints both counts and every difference by test name.
#
#   scripts/conformance.sh [--server redis|redis8new|valkey|valkey9] [--direct | --via-proxy] [--single unit]…
#                          [--only test name]… [--tags tags] [--rules none|allow] [--tls]
#
#   --server      redis: Redis 8.0.2 and its suite (the default). valkey: Valkey 8.0.1 and the
#                 suite of the Valkey whose source can be had; tests of newer features fail
#                 directly too, so they are not differences. redis8new, valkey9: Redis 8.0.6,
#                 Valkey 9.1.2 and their own suites
#   --direct      run directly only;  --via-proxy  through the proxy only
#   --single      run these files only, such as unit/type/list
#   --only        run the tests of that name only (the suite's own --only)
#   --tags        the suite's --tags; -slow unless given
#   --rules       none: no rules (the default). allow: one rule that allows everything, so that the
#                 proxy looks at each command, reads scripts and keeps the guard's user
#   --tls         TLS everywhere, with client certificates: the suite and the server directly, and
#                 both sides of the proxy. Needs openssl
#
# Each file of the suite runs on its own, in external mode. A file that breaks off costs its own
# remaining tests only, and the next one begins with a fresh server and a fresh proxy, since a run
# that is cut off leaves CONFIG changes behind. Logs stay in .tools/conformance/<server>/, the
# direct results too: --via-proxy compares with those of the last direct run.
#
# scripts/conformance.known names the tests that are known to differ, and why.
#
# Exit code: 0 when every test that passes directly passes through the proxy or is known to differ,
# 1 when not.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
servers=$repo/.tools/servers
kind=redis family=redis suite=suite tags=-slow ways=(direct proxy) rules=[]
singles=() only=() tls=""
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
		--rules) choose_rules "$2"; shift ;;
		--tls) tls=yes ;;
		*) fail "unknown argument $1; see the head of scripts/conformance.sh" ;;
		esac
		shift
	done
	case $kind in
	redis) ;;
	redis8new | valkey | valkey9) suite=suite-$kind ;;
	*) fail "--server is redis, redis8new, valkey or valkey9" ;;
	esac
	case $kind in redis*) family=redis ;; *) family=valkey ;; esac
}

choose_rules() {
	case $1 in
	none) rules=[] ;;
	allow) rules='[{name: everything, action: allow, commands: ["*"]}]' ;;
	*) fail "--rules is none or allow" ;;
	esac
}

# prepare lays out a work folder: the suite's tests beside the server's programs.
prepare() {
	whole=$repo/.tools/conformance/$kind
	out=$whole
	[ -z "$tls" ] || out=$whole/tls whole=$whole/tls
	[ "$rules" = "[]" ] || out=$whole/rules-allow
	[ ${#singles[@]} -eq 0 ] && [ ${#only[@]} -eq 0 ] || out=$out/part-$$
	mkdir -p "$out"
	work=$(mktemp -d "$out/.work.XXXXXX")
	trap cleanup EXIT
	mkdir "$work/src" "$work/data"
	cp -r "$servers/$suite/tests" "$work/tests"
	# The suite does not say which test it was in when it breaks off: have it say so.
	sed -i '/"(IN PROGRESS) \$data"/a\        puts "\\[testing\\]: $data"' "$work/tests/test_helper.tcl"
	local program
	for program in "$servers/$kind/bin/$family"-*; do
		ln -s "$program" "$work/src/"
	done
	server_port=$(free_port)
	proxy_port=$(free_port)
	suite_port=$(free_port)
	tclsh=$(command -v tclsh8.6 || command -v tclsh || echo "$servers/tcl/bin/tclsh8.6")
	[ -z "$tls" ] || prepare_tls
}

# prepare_tls makes the keys, where the suite looks for its own, and finds the Tcl with TLS.
prepare_tls() {
	keys=$work/tests/tls
	mkdir -p "$keys"
	openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=authority \
		-keyout "$keys/ca.key" -out "$keys/ca.crt" 2>>"$out/openssl.log" || fail "openssl; see $out/openssl.log"
	local name
	for name in server client; do
		openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" \
			-addext "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1" -keyout "$keys/$name.key" 2>>"$out/openssl.log" |
			openssl x509 -req -CA "$keys/ca.crt" -CAkey "$keys/ca.key" -CAcreateserial -days 30 \
				-copy_extensions copy -out "$keys/$name.crt" 2>>"$out/openssl.log" || fail "openssl; see $out/openssl.log"
	done
	tclsh=$servers/tcltls/bin/tclsh8.6
	TCLLIBPATH=$(dirname "$(find "$servers/tcltls/root/usr/lib/tcltk/" -name 'tcltls*' -type d | head -n 1)")
	export TCLLIBPATH
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
	local way=$1 port=(--port "$server_port") front="" back=""
	if [ -n "$tls" ]; then
		port=(--port 0 --tls-port "$server_port" --tls-cert-file "$keys/server.crt" --tls-key-file "$keys/server.key"
			--tls-ca-cert-file "$keys/ca.crt" --tls-replication yes)
		front=$'\n'"    tls: {cert: $keys/server.crt, key: $keys/server.key, client_ca: $keys/ca.crt, client_auth: require}"
		back="tls: {ca: $keys/ca.crt, cert: $keys/client.crt, key: $keys/client.key}"
	fi
	(cd "$work/data" && exec "$servers/$kind/bin/$family-server" "${port[@]}" --save "" \
		--enable-debug-command yes --enable-protected-configs yes --enable-module-command yes \
		>>"$out/$way.server.log" 2>&1) &
	server_pid=$!
	await "$server_port" "$server_pid" server
	[ "$way" = proxy ] || return 0
	local ipv6="" # some tests come by it, as servers listen on both
	! grep -qs '^0*1 ' /proc/net/if_inet6 || ipv6=$'\n'"  - address: '[::1]:$proxy_port'$front"
	cat >"$work/proxy.yaml" <<-YAML
		listeners:
		  - address: 127.0.0.1:$proxy_port$front$ipv6
		upstream:
		  address: 127.0.0.1:$server_port
		  $back
		admin: {address: "off", http: "off"}
		rules: $rules
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

# run_unit <way> <unit> <test to skip>… runs one file; its log is $work/unit.log, without colours.
run_unit() {
	local port=$server_port unit=$2 test args=()
	[ "$1" = direct ] || port=$proxy_port
	for test in "${only[@]}"; do
		args+=(--only "$test")
	done
	[ -z "$tls" ] || args+=(--tls)
	shift 2
	for test in "$@"; do
		args+=(--skiptest "$test")
	done
	# The suite gives up after its own timeout without progress; the outer one is for a suite that
	# hangs itself.
	(cd "$work" && timeout --foreground 900 "$tclsh" tests/test_helper.tcl --host 127.0.0.1 \
		--port "$port" --baseport "$suite_port" --clients 1 --timeout 90 --tags "$tags" --single "$unit" \
		"${args[@]}" </dev/null) 2>&1 | sed 's/\x1b\[[0-9;]*m//g' >"$work/unit.log"
}

# unfinished prints the test that the unit's log ends in, if it ends in one.
unfinished() {
	awk '
		/^\[testing\]: / { name = substr($0, 12) }
		/^\[(ok|err)\]: / { name = "" }
		END { print name }
	' "$work/unit.log"
}

# verdicts <unit> prints "result<TAB>unit: test" for each test that the unit's log has a result of.
verdicts() {
	awk -v unit="$1" '
		/^\[(ok|err)\]: / {
			result = substr($1, 2, index($1, "]") - 2)
			name = substr($0, index($0, "]: ") + 3)
			sub(/ \([0-9]+ ms\)$/, "", name)
			sub(/ in tests\/.*$/, "", name)
			print result "\t" unit ": " name
		}' "$work/unit.log"
}

# whole_unit <way> <unit> runs a file, again without each test that breaks it off, and appends its
# log and results to those of the way.
whole_unit() {
	local way=$1 unit=$2 broken=() test
	while :; do
		run_unit "$way" "$unit" "${broken[@]}" && test="" || test=$(unfinished)
		grep -q "^Testing $unit" "$work/unit.log" || fail "$unit did not run; see $out/$way.log" \
			"$(tail -n 5 "$work/unit.log")"
		cat "$work/unit.log" >>"$out/$way.log"
		if grep -qE '^\[(err|exception|TIMEOUT)' "$work/unit.log" ||
			! kill -0 "$server_pid" $proxy_pid 2>/dev/null; then
			stop_all
			start_all "$way"
		fi
		[ -n "$test" ] && [ ${#broken[@]} -lt 40 ] || break
		broken+=("$test")
		printf 'conformance: %s: %s: breaks off in: %s\n' "$way" "$unit" "$test" >&2
	done
	verdicts "$unit" >>"$out/$way.results"
	for test in "${broken[@]}"; do
		printf 'broken\t%s: %s\n' "$unit" "$test" >>"$out/$way.results"
	done
}

run_way() {
	local way=$1 unit started=$SECONDS
	: >"$out/$way.log"
	: >"$out/$way.results"
	start_all "$way"
	while read -r unit; do
		whole_unit "$way" "$unit"
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
	known | cut -f 1 | LC_ALL=C sort -u >"$work/known"
	comm -23 "$work/direct.ok" "$work/proxy.ok" >"$work/differs"
	comm -23 "$work/differs" "$work/known" >"$out/lost"
	comm -12 "$work/differs" "$work/known" >"$out/expected"
	comm -13 "$work/direct.ok" "$work/proxy.ok" >"$out/gained"
	printf 'passes directly, not through the proxy: %d\n' "$(wc -l <"$out/lost")"
	sed 's/^/  - /' "$out/lost"
	printf 'known to differ: %d\n' "$(wc -l <"$out/expected")"
	known | grep -F -f "$out/expected" | sed 's/^/  = /; s/\t/\n      /' || true
	printf 'passes through the proxy, not directly: %d\n' "$(wc -l <"$out/gained")"
	sed 's/^/  + /' "$out/gained"
	echo "logs: ${out#"$repo"/}"
	[ ! -s "$out/lost" ]
}

# known prints the tests that are known to differ on this server, a tab, and why.
known() {
	awk -F '\t' -v kind="$kind" '
		/^#/ { next }
		{ n = split($1, kinds, " "); for (i = 1; i <= n; i++) if (kinds[i] == kind) print $2 "\t" $3 }
	' "$repo/scripts/conformance.known"
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
	[ -z "$tls" ] || "$repo/scripts/servers.sh" tcltls
	"$repo/scripts/servers.sh" "$kind" "$suite"
	prepare
	local way
	for way in "${ways[@]}"; do
		run_way "$way"
	done
	[ "${ways[*]}" = direct ] || compare
}

main "$@"; exit # nothing below is read: the file may be edited while it runs
