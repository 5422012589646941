#!/usr/bin/env bash
# Gets the client libraries of `make clients` into .tools/clients and builds their checks. It needs node, npm
# and python3 of the machine; C and Python libraries are Debian's.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$repo/loadtest/clients
dest=$repo/.tools/clients

fail() { printf 'clients: %s\n' "$*" >&2; exit 1; }

for program in node npm python3 go; do
	command -v "$program" >/dev/null || fail "$program is not there"
done
"$repo/scripts/servers.sh" valkey redis hiredis pyredis gcc
mkdir -p "$dest/node"

# Node finds the modules beside the program.
cp "$here/node/check.mjs" "$dest/node/"
if ! cmp -s "$here/node/package.json" "$dest/node/package.json" || [ ! -d "$dest/node/node_modules" ]; then
	cp "$here/node/package.json" "$dest/node/package.json"
	(cd "$dest/node" && npm install --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel error)
fi

(cd "$here/gomod" && go build -o "$dest/gomod" .)

# hiredis comes with its own libc, and is started by that one's loader, as the servers are.
root=$(readlink -f "$repo/.tools/servers/hiredis")/root
libs=$(dirname "$(find "$root" -name 'libhiredis_ssl.so' | head -n 1)")
loader=$(find "$root" -name 'ld-linux*.so*' -type f | head -n 1)
"$repo/.tools/servers/gcc/bin/gcc" --sysroot="$root" -Wall -Wl,--unresolved-symbols=ignore-in-shared-libs \
	-o "$dest/hiredis.bin" "$here/c/hiredis.c" -lhiredis_ssl -lhiredis -lssl -lcrypto
printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s"\n' "$loader" "$libs" "$dest/hiredis.bin" >"$dest/hiredis"
chmod +x "$dest/hiredis"
basename "$(readlink -f "$repo/.tools/servers/hiredis")" | sed 's/hiredis-//' >"$dest/hiredis.version"
