#!/usr/bin/env bash
# Serves with a configuration file until interrupted: `make run`.
#
#   scripts/run.sh bin/proxy configs/holdfast.yaml
#
# Where nothing answers at the file's upstream address, and that address is on this machine, a
# private Valkey serves there, with its data in data/server, and stops when the proxy has.
set -euo pipefail
# Each child is a process group of its own: an interrupt at the terminal reaches this script alone,
# which has the proxy drain before its server goes.
set -m

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
proxy=$1 config=$2
server_pid="" proxy_pid=""

# upstream prints upstream.address of the file, or the proxy's default.
upstream() {
	awk '
		/^upstream:/ { inside = 1; next }
		/^[^ #]/     { inside = 0 }
		inside && $1 == "address:" { gsub(/["\047]/, "", $2); print $2; found = 1; exit }
		END { if (!found) print "127.0.0.1:6379" }
	' "$config"
}

answers() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

stop_server() {
	[ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null || true
	[ -z "$server_pid" ] || wait "$server_pid" 2>/dev/null || true
}

# start_server runs a private Valkey and waits until it answers.
start_server() {
	local port=$1 data=$repo/data/server
	"$repo/scripts/servers.sh" valkey
	mkdir -p "$data"
	"$repo/.tools/servers/valkey/bin/valkey-server" --bind 127.0.0.1 --port "$port" \
		--dir "$data" --logfile "$data/server.log" --appendonly yes </dev/null &
	server_pid=$!
	trap stop_server EXIT
	for _ in $(seq 100); do
		if answers 127.0.0.1 "$port"; then
			echo "run: a private Valkey serves on 127.0.0.1:$port, data in data/server;" \
				"a client is .tools/servers/valkey/bin/valkey-cli"
			return
		fi
		kill -0 "$server_pid" 2>/dev/null || break
		sleep 0.1
	done
	echo "run: the private server did not start; see data/server/server.log" >&2
	return 1
}

main() {
	local address host port
	address=$(upstream)
	host=${address%:*} port=${address##*:}
	case $address in
	127.0.0.1:* | localhost:*) answers "$host" "$port" || start_server "$port" ;;
	esac
	"$proxy" serve --config "$config" </dev/null &
	proxy_pid=$!
	trap 'kill -TERM "$proxy_pid" 2>/dev/null || true' INT TERM
	local code=0
	while kill -0 "$proxy_pid" 2>/dev/null; do
		wait "$proxy_pid" && code=0 || code=$?
	done
	return "$code"
}

main
