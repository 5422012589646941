#!/usr/bin/env bash
# Makes the packages of the last commit twice, in two clean clones with build caches of their own, and
# compares every byte; then tries the packages: `make dist-check`. Installing needs root.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
step() { printf '== %s\n' "$*"; }
# A commit that comes while the first clone is at work is not the second's.
commit=$(git -C "$repo" rev-parse HEAD)
version=$(git -C "$repo" describe --tags --always "$commit")

for n in 1 2; do
	step "make dist in clean clone $n"
	git clone -q --no-hardlinks "$repo" "$work/$n"
	git -C "$work/$n" reset -q --hard "$commit"
	GOCACHE=$work/cache$n make -s -C "$work/$n" dist >"$work/sums$n"
	rm -rf "$work/cache$n"
done
diff "$work/sums1" "$work/sums2"
cd "$work/1/bin/dist"
sha256sum --quiet --check SHA256SUMS
echo "the same bytes twice: $(wc -l <SHA256SUMS) files"

step "the binaries"
arch=$(go env GOARCH)
for os in linux darwin; do
	for a in amd64 arm64; do
		go version -m "holdfast-$version-$os-$a" | grep -q 'CGO_ENABLED=0'
		[ "$(grep -c '"type": "library"' "holdfast-$version-$os-$a.cdx.json")" -gt 10 ]
	done
done
"./holdfast-$version-linux-$arch" version | grep -F "holdfast $version "

step "the archive"
tar -xzf "holdfast-$version-linux-$arch.tar.gz" -C "$work"
(cd "$work/holdfast-$version-linux-$arch" && ./holdfast check --offline --config configs/agents.yaml)

step "the image, on an empty root"
mkdir "$work/image" "$work/root"
tar -xf "holdfast-$version-linux-$arch.oci.tar" -C "$work/image"
for blob in "$work"/image/blobs/sha256/*; do
	[ "$(sha256sum "$blob" | cut -d' ' -f1)" = "$(basename "$blob")" ]
	if [ "$(head -c 2 "$blob" | od -An -tx1 | tr -d ' ')" = 1f8b ]; then tar -xzf "$blob" -C "$work/root"; fi
done
if [ "$(id -u)" = 0 ]; then
	unshare --root="$work/root" --setuid=65532 --setgid=65532 -- /usr/bin/holdfast version | grep -F "holdfast $version "
fi

step "the Debian package"
dpkg-deb --info holdfast_*_"$arch".deb >/dev/null
dpkg-deb --extract holdfast_*_"$arch".deb "$work/deb"
"$work/deb/usr/bin/holdfast" check --offline --config "$work/deb/etc/holdfast/holdfast.yaml"
"$work/deb/usr/bin/holdfast" help recovery | grep '^# Recovery: '
man -l "$work/deb/usr/share/man/man1/holdfast-restore.1.gz" >/dev/null
bash -n "$work/deb/usr/share/bash-completion/completions/holdfast"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	step "the Debian package, in a tree of debootstrap"
	"$repo/scripts/debcheck.sh" holdfast_*_"$arch".deb
fi
step "the Kubernetes manifests, by its own schemas"
(cd "$repo" && go tool -modfile=scripts/manifests/go.mod kubectl-validate --version 1.30 deploy/kubernetes)
echo "all of it works"
