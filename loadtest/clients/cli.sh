#!/usr/bin/env bash
# Plays the checks of loadtest/clients with valkey-cli or redis-cli. Each line of its output is a check.
set -uo pipefail

program=$1
failed=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

shows=()
[ -z "$CERT" ] || shows=(--cert "$CERT" --key "$KEY")
by() { client=(timeout 30 "$program" -h "$HOST" -p "$PORT" --tls --cacert "$1" "${shows[@]}" "-$PROTO"); }
by "$CA"

# cli <argument>… runs the client.
cli() { "${client[@]}" "$@" 2>&1; }

# check <name> <command>… prints whether the command succeeds.
check() {
	local name=$1 why
	shift
	if why=$("$@"); then echo "ok $name"; else
		echo "FAIL $name: ${why:0:200}"
		failed=1
	fi
}

# is <want> <argument>… compares the output.
is() {
	local want=$1 got
	shift
	got=$(cli "$@")
	[ "$got" = "$want" ] || { echo "got $got"; return 1; }
}

refused() {
	local got
	by "$OTHER_CA"
	got=$(cli PING)
	by "$CA"
	[[ $got == *certificate* ]] || { echo "got $got"; return 1; }
}

protocol() { [[ $(cli CLIENT INFO) == *resp="$PROTO"* ]]; }

large() {
	head -c 300000 /dev/urandom | base64 -w 0 >"$tmp/large"
	[ "$(cli -x SET cli:large <"$tmp/large")" = OK ] && cli GET cli:large | head -c -1 | cmp - "$tmp/large"
}

pipeline() {
	cli DEL cli:n >"$tmp/n"
	for _ in {1..100}; do printf 'INCR cli:n\r\n'; done >"$tmp/pipe"
	cli --pipe <"$tmp/pipe" | grep -q 'errors: 0, replies: 100' && is 100 GET cli:n
}

transaction() { [ "$(printf 'MULTI\nSET cli:t v\nGET cli:t\nEXEC\n' | cli | tail -n 1)" = v ]; }

# until_true <command>… polls.
until_true() {
	for _ in {1..300}; do "$@" && return; done
	return 1
}

is_blocked() { cli CLIENT LIST | grep -q cmd=blpop; }

blocking() {
	cli DEL cli:list >"$tmp/n"
	cli BLPOP cli:list 20 >"$tmp/popped" &
	until_true is_blocked && cli RPUSH cli:list v >"$tmp/n"
	wait $!
	[ "$(tail -n 1 "$tmp/popped")" = v ]
}

heard() { [ "$(cli PUBLISH cli:channel hello)" = 1 ]; }

pubsub() {
	"${client[@]}" SUBSCRIBE cli:channel >"$tmp/got" &
	until_true heard && until_true grep -q hello "$tmp/got"
	local ok=$?
	kill $! # and timeout ends the client
	wait $!
	return $ok
}

check "another authority is refused" refused
check protocol protocol
check user is "$WHO" ACL WHOAMI
check "large value" large
check pipeline pipeline
check transaction transaction
check blocking blocking
check "pub/sub" pubsub
exit $failed
