#!/usr/bin/env bash
# Installs, upgrades, removes and purges a Debian package in a tree of Debian's own making, and checks the files,
# the user and the configuration after each step. Needs root and apt; `make dist-check` runs it.
#
#   scripts/debcheck.sh holdfast_1.0_amd64.deb [tree]     (an existing tree of debootstrap, with the packages below, saves its making)
#
# debootstrap is unpacked beside the tree, and the mirror and suite are those of the machine's apt: nothing is
# installed outside of the tree.
set -euo pipefail

deb=$(readlink -f "$1")
tree=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { printf 'debcheck: %s\n' "$*" >&2; exit 1; }

if [ -z "$tree" ]; then
	tree=$work/tree
	read -r uri suite < <(apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' |
		awk '$3 == "main" && $2 !~ /security|backports|updates/ && $1 ~ /^(https?|file):/ && $1 !~ /security/ {
			sub("/$", "", $1); print $1, $2; exit }') || fail "this machine's apt knows no Debian archive"
	(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download debootstrap && dpkg -x debootstrap_*.deb d)
	DEBOOTSTRAP_DIR=$work/d/usr/share/debootstrap "$work/d/usr/sbin/debootstrap" --variant=minbase \
		--include=bash-completion,zsh,fish,man-db "$suite" "$tree" "$uri" >"$work/log" || { tail -n 5 "$work/log" >&2; fail "debootstrap"; }
fi

within() { chroot "$tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
expect() { # <what> <command>…
	local what=$1
	shift
	"$@" || fail "$what: not so after $step"
}
absent() { [ ! -e "$tree/$1" ]; }
status() { within dpkg-query -W -f '${db:Status-Abbrev}' holdfast 2>/dev/null | tr -d ' '; }
installed() {
	expect "the package is installed" [ "$(status)" = ii ]
	expect "the program runs" within holdfast version
	expect "the package's files are whole" [ -z "$(within dpkg --verify holdfast | grep -v ' c /etc/')" ]
	expect "the folders are the user's" [ "$(within stat -c '%U:%G %a' /var/lib/holdfast /var/log/holdfast | sort -u)" = "holdfast:holdfast 700" ]
	expect "the configuration is readable for the user alone" \
		[ "$(within stat -c '%U:%G %a' /etc/holdfast/holdfast.yaml)" = "root:holdfast 640" ]
	expect "the user has no shell and no password" \
		[ "$(within getent passwd holdfast | cut -d: -f7) $(within getent shadow holdfast | cut -d: -f2 | cut -c1)" = "/usr/sbin/nologin !" ]
	expect "the user reads the configuration" within setpriv --reuid=holdfast --regid=holdfast --clear-groups \
		holdfast check --offline --config /etc/holdfast/holdfast.yaml
}

# The upgrade is the same package under a later version.
dpkg-deb --raw-extract "$deb" "$work/new"
sed -i 's/^Version: .*/&+later/' "$work/new/DEBIAN/control"
cp "$deb" "$tree/tmp/old.deb"
dpkg-deb --root-owner-group -Znone --build "$work/new" "$tree/tmp/new.deb" >/dev/null
install() { within apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends --allow-downgrades "$@" </dev/null >"$work/log" 2>&1 ||
	{ cat "$work/log" >&2; fail "apt-get $*"; }; }

step="the installation"
install install /tmp/old.deb
installed
echo "# the operator's own line" >>"$tree/etc/holdfast/holdfast.yaml"
echo "the only copy" >"$tree/var/lib/holdfast/journal"
echo "{}" >"$tree/var/log/holdfast/audit.log"
user=$(within id holdfast)

offers() { # <shell> <argument>…: what the shell offers behind "holdfast journal e"
	expect "$1 completes" [ "$(within HOME=/tmp "$@" 2>/dev/null | sort | tr '\n' ' ')" = "events export " ]
}
offers bash --norc -c '. /usr/share/bash-completion/bash_completion
	_comp_load holdfast 2>/dev/null || _completion_loader holdfast # its name since 2.12, and before
	COMP_WORDS=(holdfast journal e) COMP_CWORD=2
	f=$(complete -p holdfast | sed "s/.*-F \([^ ]*\).*/\1/"); "$f"; printf "%s\n" "${COMPREPLY[@]}"'
offers fish -c 'complete -C "holdfast journal e" | cut -f 1'
# Without a terminal the offers of zsh are those that its function hands over.
offers zsh -f -c 'autoload -Uz compinit && compinit -u -d /tmp/zcompdump
	_describe() { print -l ${${(M)${(P)3}:#$PREFIX*}%%:*} }
	words=(holdfast journal e) CURRENT=3 PREFIX=e; $_comps[holdfast]'
for page in holdfast.1 holdfast-restore.1 holdfast-journal-which.1 holdfast.yaml.5; do
	expect "man finds $page" within man -w "${page##*.}" "${page%.*}" >/dev/null
done

step="the upgrade"
install install /tmp/new.deb
installed
kept() {
	expect "the operator's line is kept" grep -q "the operator's own line" "$tree/etc/holdfast/holdfast.yaml"
	expect "the journal is kept" [ "$(cat "$tree/var/lib/holdfast/journal")" = "the only copy" ]
}
kept
expect "it is the later version" [ "$(within dpkg-query -W -f '${Version}' holdfast | grep -c 'later$')" = 1 ]
expect "the user is the same" [ "$(within id holdfast)" = "$user" ]

step="the removal"
install remove holdfast
expect "the program is gone" absent usr/bin/holdfast
expect "the unit is gone" absent usr/lib/systemd/system/holdfast.service
kept

step="the second installation"
install install /tmp/old.deb
installed
kept

step="the purge"
install purge holdfast
expect "the package is gone" [ -z "$(status | grep -v '^un')" ]
expect "the configuration is gone" absent etc/holdfast/holdfast.yaml
expect "the log is gone" absent var/log/holdfast
expect "the journal stays" [ -e "$tree/var/lib/holdfast/journal" ]

step="an installation behind the purge, and its purge"
rm "$tree/var/lib/holdfast/journal"
install install /tmp/old.deb
installed
install purge holdfast
for path in usr/bin/holdfast etc/holdfast var/log/holdfast var/lib/holdfast; do
	expect "$path is gone" absent "$path"
done
echo "installed, upgraded, removed, installed again, purged, twice: files, user, configuration and journal as they should be"
