#!/usr/bin/env bash
# Gets axe-core, which checks pages for readers without eyes or a mouse, by npm into .tools/axe, which git
# ignores, and prints the path of its script. Without npm it prints nothing: the check is then left out, and
# says so.
set -euo pipefail

version=4.14.1
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.tools/axe
script=$folder/node_modules/axe-core/axe.min.js

if ! command -v npm >/dev/null; then
	echo "axe: no npm, so axe-core is not among the checks" >&2
	exit 0
fi
if ! grep -qs "\"version\": \"$version\"" "$folder/node_modules/axe-core/package.json"; then
	npm install --silent --no-save --no-audit --no-fund --no-package-lock --ignore-scripts \
		--prefix "$folder" "axe-core@$version" >&2
fi
echo "$script"
