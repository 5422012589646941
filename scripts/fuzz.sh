#!/usr/bin/env bash
# Runs every fuzz target of the project for a while, one after the other.
#
#   scripts/fuzz.sh [time each]      (default 20s)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
time=${1:-20s}

git ls-files '*_test.go' | xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' |
	sed 's#/[^/]*\.go:func # #' | sort -u |
	while read -r folder target; do
		printf '== %s %s\n' "$folder" "$target"
		go test "./$folder" -run '^$' -fuzz "^$target\$" -fuzztime "$time" </dev/null
	done
