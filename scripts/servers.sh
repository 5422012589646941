#!/usr/bin/env bash
# Gets the servers, peers and tools that the tests and benchmarks run against into
# .tools/servers, which git ignores. No root, no service started, the machine's packages and
# sources left as they are.
#
#   scripts/servers.sh [name…]      (default: the six servers and strace)
#
#   valkey       Valkey 8.0.1       servers, each with .tools/servers/<name>/bin/
#   redis        Redis 8.0.2
#   redis7       Redis 7.0.15       the oldest version that the proxy supports
#   valkey81     Valkey 8.1.1
#   valkey9      Valkey 9.1.2       the newest versions
#   redis8new    Redis 8.0.6
#   nutcracker   twemproxy 0.5.0    peers for `make bench`; `peers` gets both
#   haproxy      HAProxy 2.6
#   strace       strace 6.1         for tests with disks that fail, where PATH has none
#   tcl          Tcl 8.6            what the servers' own test suites run on
#   tcltls       Tcl 8.6 with TLS   likewise, for suites through TLS
#   gcc          GCC 12             for the race detector, where there is no C compiler
#   hiredis      the C client with TLS, and headers, for `make clients`
#   pyredis      redis-py, likewise
#   chromium     Chromium's headless shell, for the test of the operator's page
#   suite        the test suite of Redis 8.0.2: .tools/servers/suite/tests
#   suite-valkey the test suite of Valkey 8.0.1, or of 8.1 where that has left the mirror
#   suite7       the test suite of Redis 7.0.15
#   suite-valkey9, suite-redis8new   the test suites of Valkey 9.1.2 and Redis 8.0.6
#
# How: Debian's own packages, checked by apt against Debian's keys, unpacked side by side with
# every library that they need, libc included, and started through that libc's loader. So they
# run on any Linux, whatever it has installed, and every machine tests against the same versions.
# The mirror is the one that the machine's apt uses already.
#
# Where that cannot be had (no apt, no network, a suite that has left the mirror), a server of
# that name from PATH serves if it is new enough. HOLDFAST_USE_PATH=1 asks PATH first;
# HOLDFAST_MIRROR=<url of a Debian archive> replaces the machine's mirror.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$repo/.tools
dest=$tools/servers

say() { printf 'servers: %s\n' "$*" >&2; }
fail() { say "$*"; return 1; }

# again <command>… runs a command up to three times: a mirror may be busy for a moment.
again() {
	local pause
	for pause in 3 10; do
		"$@" && return
		say "that failed; once more in $pause s"
		sleep "$pause"
	done
	"$@"
}

# --- apt, without touching the machine's own lists ------------------------------------------

# mirror prints the Debian archive that this machine is set up for.
mirror() {
	if [ -n "${HOLDFAST_MIRROR:-}" ]; then
		printf '%s\n' "${HOLDFAST_MIRROR%/}"
		return
	fi
	# Without --no-release-info it knows nothing where apt-get update was never run.
	apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' |
		awk '$3 == "main" && $2 !~ /security|backports|updates/ && $1 ~ /^(https?|file):/ &&
			$1 !~ /security/ { sub("/$", "", $1); print $1; exit }'
}

# context <name> <suite>… makes an apt configuration of its own with these suites, prints its file.
context() {
	local dir=$tools/apt/$1 name=$1 uri suite option=""
	shift
	uri=$(mirror)
	[ -n "$uri" ] || fail "this machine's apt knows no Debian archive; set HOLDFAST_MIRROR" ||
		return 1
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	: >"$dir/status"
	local keys=/usr/share/keyrings/debian-archive-keyring.gpg
	[ ! -r "$keys" ] || option="[signed-by=$keys] "
	: >"$dir/sources.list"
	for suite in "$@"; do
		printf 'deb %s%s %s main\n' "$option" "$uri" "$suite" >>"$dir/sources.list"
		[ "${name%-src}" = "$name" ] ||
			printf 'deb-src %s%s %s main\n' "$option" "$uri" "$suite" >>"$dir/sources.list"
	done
	cat >"$dir/apt.conf" <<-CONF
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		Dir::State::lists "$dir/lists";
		Dir::State::status "$dir/status";
		Dir::Cache "$dir/cache";
		Dir::Cache::archives "$dir/cache/archives";
		Dir::Cache::pkgcache "pkgcache.bin";
		Dir::Cache::srcpkgcache "srcpkgcache.bin";
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		Acquire::Languages "none";
		Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
		Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
		Acquire::Retries "3";
		APT::Sandbox::User "root";
	CONF
	printf '%s\n' "$dir/apt.conf"
}

# update <apt.conf> reads the package lists, once a run.
update() {
	local stamp=${1%/apt.conf}/updated
	[ ! -e "$stamp" ] || return 0
	say "reading package lists ($(basename "${1%/apt.conf}"))"
	again apt-get -c "$1" -qq --error-on=any update >&2 && touch "$stamp"
}

# closure <apt.conf> <package>… prints the packages and every library package below them, and
# what a compiler is made of.
closure() {
	local conf=$1 todo seen=" " package
	shift
	todo=("$@")
	while [ ${#todo[@]} -gt 0 ]; do
		package=${todo[0]}
		todo=("${todo[@]:1}")
		case $seen in *" $package "*) continue ;; esac
		seen+="$package "
		printf '%s\n' "$package"
		while read -r package; do
			todo+=("$package")
		done < <(apt-cache -c "$conf" depends --important "$package" |
			sed -nE 's/^ *\|?(Pre)?Depends: ((lib|zlib1g|cpp-|binutils|linux-libc)[^ :]*).*/\2/p')
	done
}

# version <apt.conf> <package> prints the upstream version that the context has.
version() {
	apt-cache -c "$1" show --no-all-versions "$2" 2>/dev/null |
		sed -n 's/^Version: \([0-9]*:\)\{0,1\}\([0-9.]*\).*/\2/p' | head -n 1
}

# --- unpacking -------------------------------------------------------------------------------

# wrap <folder> <pattern> writes a starter into <folder>/bin for each program that matches. It
# goes through the loader that came along; the program keeps its own name and its process id.
wrap() {
	local dir=$1 pattern=$2 loader program name
	loader=$(cd "$dir" && find root -name 'ld-linux*.so*' -type f | head -n 1)
	[ -n "$loader" ] || fail "no loader in $dir"
	mkdir -p "$dir/bin"
	for program in "$dir"/root/usr/bin/* "$dir"/root/usr/sbin/*; do
		name=$(basename "$program")
		[[ -f $program && $name =~ $pattern ]] || continue
		cat >"$dir/bin/$name" <<-WRAP
			#!/bin/sh
			here=\$(readlink -f "\$0") && root=\${here%/bin/*}/root
			libs=\$root/$(dirname "${loader#root/}"):\$root/usr/lib/$(basename "$(dirname "$loader")")
			exec "\$root/${loader#root/}" --argv0 $name --library-path "\$libs" \\
				"\$root/${program#"$dir"/root/}" "\$@"
		WRAP
		chmod +x "$dir/bin/$name"
	done
}

# publish <temporary folder> <name> <version> puts a finished folder in place, in one step.
publish() {
	local final=$dest/$2-$3
	rm -rf "$final"
	mv "$1" "$final"
	ln -sfn "$2-$3" "$dest/.$2.new"
	mv -fT "$dest/.$2.new" "$dest/$2" 2>/dev/null || mv -f "$dest/.$2.new" "$dest/$2"
	say "$2 $3 is in ${dest#"$repo"/}/$2"
}

# temporary prints a new folder on the same file system as the final one.
temporary() {
	local dir
	dir=$(mktemp -d "$dest/.new.XXXXXX") && chmod 755 "$dir" && printf '%s\n' "$dir"
}

# wrap_compiler <folder> writes a starter for the C compiler. It runs programs of its own, so a
# loader for itself would not do: they get the libraries that they need beside libc, and find
# headers and objects in the unpacked root.
wrap_compiler() {
	local dir=$1 library
	mkdir -p "$dir/bin" "$dir/libs"
	for library in "$dir"/root/usr/lib/*-linux-gnu/*.so*; do
		case $(basename "$library") in
		libisl.* | libmpc.* | libmpfr.* | libgmp.* | libzstd.* | libbfd-* | libopcodes-* | \
			libctf* | libjansson.* | libsframe.* | libgprofng.*)
			ln -s "../${library#"$dir"/}" "$dir/libs/"
			;;
		esac
	done
	cat >"$dir/bin/gcc" <<-'WRAP'
		#!/bin/sh
		here=$(readlink -f "$0") && here=${here%/bin/*}
		export LD_LIBRARY_PATH="$here/libs"
		exec "$here"/root/usr/bin/*-linux-gnu-gcc-12 --sysroot="$here/root" -B"$here/root/usr/bin" "$@"
	WRAP
	chmod +x "$dir/bin/gcc"
}

# wrap_browser <folder> writes a starter for Chromium. It looks for its files beside the program that the
# system has started, which is the loader, and starts itself by --browser-subprocess-path.
wrap_browser() {
	local dir=$1 loader
	loader=$(cd "$dir" && find root -name 'ld-linux*.so*' -type f | head -n 1)
	[ -n "$loader" ] || fail "no loader in $dir" || return 1
	mkdir -p "$dir/bin"
	cp "$dir/$loader" "$dir/root/usr/lib/chromium/loader"
	cat >"$dir/bin/chromium" <<-WRAP
		#!/bin/sh
		here=\$(readlink -f "\$0") && root=\${here%/bin/*}/root
		libs=\$root/$(dirname "${loader#root/}"):\$root/usr/lib/$(basename "$(dirname "$loader")")
		export FONTCONFIG_FILE="\$root/fonts.conf"
		exec "\$root/usr/lib/chromium/loader" --argv0 chromium --library-path "\$libs:\${libs##*:}/pulseaudio" \\
			"\$root/usr/lib/chromium/chromium-headless-shell" --browser-subprocess-path="\$here" "\$@"
	WRAP
	cat >"$dir/root/fonts.conf" <<-'CONF'
		<?xml version="1.0"?>
		<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
		<fontconfig>
			<dir prefix="relative">usr/share/fonts</dir>
			<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
		</fontconfig>
	CONF
	chmod +x "$dir/bin/chromium"
}

# from_debian <name> <suites> <pattern of programs> <package>… unpacks packages with their
# libraries and starters.
from_debian() {
	local name=$1 suites=$2 pattern=$3 conf dir number packages
	shift 3
	have_apt || return 1
	# shellcheck disable=SC2086
	conf=$(context "${suites##* }" $suites) && update "$conf" || return 1
	number=$(version "$conf" "$1")
	[ -n "$number" ] || fail "$1 is not in ${suites##* }" || return 1
	packages=$(closure "$conf" "$@")
	say "fetching $name $number ($(printf '%s\n' "$packages" | wc -l) packages)"
	dir=$(temporary)
	mkdir "$dir/debs" "$dir/root"
	# shellcheck disable=SC2086
	(cd "$dir/debs" && again apt-get -c "$conf" -qq download $packages >&2) || return 1
	for package in "$dir"/debs/*.deb; do
		dpkg -x "$package" "$dir/root" || return 1
	done
	rm -rf "$dir/debs" "$dir/root/usr/share/doc" "$dir/root/usr/share/man"
	case $pattern in
	compiler) wrap_compiler "$dir" ;;
	browser) wrap_browser "$dir" ;;
	*) wrap "$dir" "$pattern" ;;
	esac && publish "$dir" "$name" "$number"
}

# source_from_debian <name> <suites> <source package> unpacks the upstream part of a source.
source_from_debian() {
	local name=$1 suites=$2 package=$3 conf dir number archive
	have_apt || return 1
	# shellcheck disable=SC2086
	conf=$(context "${suites##* }-src" $suites) && update "$conf" || return 1
	say "fetching the source of $package"
	dir=$(temporary)
	# The upstream archive only: it stays when Debian's own part is replaced by an update that the
	# lists do not have yet.
	(cd "$dir" && again apt-get -c "$conf" -qq source --download-only --tar-only "$package" >&2) ||
		return 1
	archive=$(ls "$dir"/*.orig.tar.*z* | grep -v '\.asc$' | head -n 1)
	number=$(basename "$archive" | sed 's/^[^_]*_\([0-9.]*[0-9]\).*/\1/')
	case $archive in *.xz) want_program xz xz-utils ;; esac
	mkdir "$dir/source"
	PATH=$PATH:$dest/xz/bin tar -C "$dir/source" --strip-components 1 -xf "$archive" || return 1
	find "$dir" -mindepth 1 -maxdepth 1 ! -name source -exec rm -rf {} +
	mv "$dir/source" "$dir.source"
	rmdir "$dir"
	publish "$dir.source" "$name" "$number"
}

# have_apt says, once, when this machine cannot unpack Debian packages.
have_apt() {
	command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
		fail "this machine has no apt-get and dpkg"
}

# --- what PATH has -----------------------------------------------------------------------------

# from_path <name> <server program> <oldest version> links the programs of a server that is
# installed already, if it is new enough.
from_path() {
	local name=$1 program=$2 oldest=$3 found number dir file
	found=$(command -v "$program") || return 1
	number=$("$found" --version | sed -n 's/.* v=\([0-9.]*\).*/\1/p')
	[ "$(printf '%s\n%s\n' "$oldest" "$number" | sort -V | head -n 1)" = "$oldest" ] ||
		fail "$found is version $number, older than $oldest" || return 1
	dir=$(temporary)
	mkdir "$dir/bin"
	for file in "$(dirname "$found")/${program%-server}"-*; do
		ln -s "$file" "$dir/bin/"
	done
	say "using $found"
	publish "$dir" "$name" "$number"
}

# server <name> <program> <oldest in PATH> -- tries the ways in their order.
server() {
	local name=$1 program=$2 oldest=$3
	if [ "${HOLDFAST_USE_PATH:-}" = 1 ] && from_path "$name" "$program" "$oldest"; then
		return
	fi
	"debian_$name" && return
	from_path "$name" "$program" "$oldest" && return
	fail "cannot get $name: install $program $oldest or newer, or allow apt to reach its mirror"
}

debian_valkey() {
	from_debian valkey "bookworm bookworm-backports" '^valkey-' valkey-server valkey-tools ||
		from_debian valkey trixie '^valkey-' valkey-server valkey-tools
}
debian_redis() { from_debian redis trixie '^redis-' redis-server redis-tools; }
debian_valkey81() { from_debian valkey81 trixie '^valkey-' valkey-server valkey-tools; }
debian_valkey9() { from_debian valkey9 forky '^valkey-' valkey-server valkey-tools; }
debian_redis8new() { from_debian redis8new forky '^redis-' redis-server redis-tools; }
debian_redis7() { from_debian redis7 bookworm '^redis-' redis-server redis-tools; }

# want_program <program> <package> gets a tool that PATH lacks.
want_program() {
	command -v "$1" >/dev/null || [ -x "$dest/$1/bin/$1" ] ||
		from_debian "$1" bookworm "^$1\$" "$2"
}

# get <name> gets one thing unless it is there.
get() {
	local name=$1
	[ ! -e "$dest/$name/." ] || return 0
	case $name in
	valkey) server valkey valkey-server 7.2 ;;
	redis) server redis redis-server 7.4 ;;
	redis7) server redis7 redis-server 7.0 ;;
	valkey81) server valkey81 valkey-server 8.1 ;;
	valkey9) server valkey9 valkey-server 9.1 ;;
	redis8new) server redis8new redis-server 8.0.6 ;;
	nutcracker) from_debian nutcracker bookworm '^nutcracker$' nutcracker ;;
	haproxy) from_debian haproxy bookworm '^haproxy$' haproxy ;;
	strace) want_program strace strace ;;
	tcl) from_debian tcl bookworm '^tclsh' tcl8.6 ;;
	tcltls) from_debian tcltls bookworm '^tclsh' tcl8.6 tcl-tls ;;
	gcc) from_debian gcc bookworm compiler gcc-12 libc6-dev ;;
	hiredis) from_debian hiredis trixie '^$' libhiredis-dev libssl-dev libc6-dev ;;
	pyredis) from_debian pyredis trixie '^$' python3-redis python3-async-timeout libc6 ;;
	chromium) from_debian chromium bookworm browser chromium-headless-shell chromium-common fonts-dejavu-core ;;
	suite) source_from_debian suite trixie redis ;;
	suite-valkey9) source_from_debian suite-valkey9 forky valkey ;;
	suite-redis8new) source_from_debian suite-redis8new forky redis ;;
	suite7) source_from_debian suite7 bookworm redis ;;
	suite-valkey)
		source_from_debian suite-valkey "bookworm bookworm-backports" valkey ||
			source_from_debian suite-valkey trixie valkey
		;;
	*) fail "unknown name $name; see the head of scripts/servers.sh" ;;
	esac
}

main() {
	local name failed=0
	[ $# -gt 0 ] || set -- valkey redis redis7 valkey81 valkey9 redis8new strace
	# One run at a time: the second finds everything there.
	mkdir -p "$dest"
	if command -v flock >/dev/null; then
		exec 9>"$tools/.lock"
		flock 9
	fi
	trap 'rm -rf "$dest"/.new.* "$tools/apt"' EXIT
	for name in "$@"; do
		case $name in
		peers) get nutcracker && get haproxy || failed=1 ;;
		*) get "$name" || failed=1 ;;
		esac
	done
	[ $failed = 0 ] || say "not everything could be had; see above. HOLDFAST_MIRROR=<url of a Debian" \
		"archive> names another mirror, HOLDFAST_USE_PATH=1 takes what is installed"
	return $failed
}

main "$@"; exit # nothing below is read: the file may be edited while it runs
