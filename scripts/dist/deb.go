package main

import (
	"bytes"
	"crypto/md5"
	"embed"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"
)

// The maintainer's scripts. They act below DPKG_ROOT, so that dpkg can install into a tree.
//
//go:embed deb
var maintainer embed.FS

var debianVersion = regexp.MustCompile(`^v?([0-9].*)$`)

// debVersion is a version in Debian's form. One that does not begin with a number, such as the hash
// of a commit, comes behind the day, and before every release.
func debVersion(version string, at time.Time) string {
	v := version
	if m := debianVersion.FindStringSubmatch(version); m != nil && strings.Contains(version, ".") {
		v = m[1]
	} else {
		v = "0~" + at.Format("20060102.150405") + "." + version
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '.', r == '+', r == '~':
			return r
		}
		return '+' // a - would begin a Debian revision
	}, v)
}

// debFiles is the content of the package.
func debFiles(d *documents, binary []byte) ([]entry, error) {
	unit := d.files["configs/holdfast.service"]
	entries := []entry{
		{name: "usr/bin/holdfast", mode: 0o755, data: binary},
		{name: "usr/lib/systemd/system/holdfast.service", mode: 0o644, data: packagedUnit(unit)},
		{name: "etc/holdfast/", mode: 0o750},
		{name: "etc/holdfast/holdfast.yaml", mode: 0o640, data: d.files["configs/holdfast.yaml"]},
		{name: "var/lib/holdfast/", mode: 0o700},
		{name: "var/log/holdfast/", mode: 0o700},
		{name: "usr/share/doc/holdfast/copyright", mode: 0o644, data: copyright(d)},
	}
	for _, shell := range sorted(d.completion) {
		entries = append(entries, entry{name: "usr/share/" + completionPlaces[shell], mode: 0o644, data: d.completion[shell]})
	}
	for _, name := range sorted(d.pages) {
		page, err := gzipped(d.pages[name], nil)
		if err != nil {
			return nil, err
		}
		section := strings.TrimPrefix(path.Ext(name), ".")
		entries = append(entries, entry{name: "usr/share/man/man" + section + "/" + name + ".gz", mode: 0o644, data: page})
	}
	for _, name := range sorted(d.files) {
		switch dir, file := path.Split(name); {
		case dir == "docs/" || name == "README.md" || name == "CHANGELOG.md" || name == "SECURITY.md":
			entries = append(entries, entry{name: "usr/share/doc/holdfast/" + name, mode: 0o644, data: d.files[name]})
		case dir == "configs/" && file != "holdfast.service" && file != "holdfast.yaml":
			entries = append(entries, entry{name: "usr/share/doc/holdfast/examples/" + file, mode: 0o644, data: d.files[name]})
		}
	}
	return entries, nil
}

// packagedUnit is the unit for a program in /usr/bin and the user that the package makes.
func packagedUnit(unit []byte) []byte {
	text := string(unit)
	if i := strings.Index(text, "[Unit]"); i > 0 {
		text = text[i:] // the comment before it explains an installation by hand
	}
	text = strings.ReplaceAll(text, "/usr/local/bin/", "/usr/bin/")
	return []byte(strings.Replace(text, "DynamicUser=yes\n", "User=holdfast\nGroup=holdfast\n", 1))
}

func copyright(d *documents) []byte {
	return fmt.Appendf(nil, "Holdfast is distributed under the Apache License, version 2.0, on Debian in\n"+
		"/usr/share/common-licenses/Apache-2.0.\n\n%s", d.licences)
}

const debControl = `Package: holdfast
Version: %s
Architecture: %s
Maintainer: The Holdfast authors <holdfast@localhost>
Installed-Size: %d
Depends: passwd
Recommends: valkey-tools | redis-tools
Section: database
Priority: optional
Description: proxy that keeps data in Redis and Valkey safe
 Applications point their connection string at Holdfast. It keeps destructive
 commands from the server, keeps a journal from which any moment can be
 rebuilt, and answers OK, where that is asked for, only when a write is durable.
`

// debPackage is a Debian package of the binary.
func debPackage(d *documents, binary []byte, arch, version string, at time.Time) ([]byte, error) {
	files, err := debFiles(d, binary)
	if err != nil {
		return nil, err
	}
	data, err := gzipped(tarballAt("./", files, at))
	if err != nil {
		return nil, err
	}
	control, err := gzipped(debControlTar(files, arch, version, at))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, member := range []struct {
		name string
		data []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", control}, {"data.tar.gz", data}} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", member.name, at.Unix(), 0, 0, 0o100644, len(member.data))
		b.Write(member.data)
		if len(member.data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes(), nil
}

// debControlTar is the package's description, its configuration files, checksums and scripts.
func debControlTar(files []entry, arch, version string, at time.Time) ([]byte, error) {
	var sums, conffiles strings.Builder
	size := 0
	for _, e := range withFolders(files) {
		size += (len(e.data) + 1023) / 1024
		switch {
		case e.isDir():
			size++
		case strings.HasPrefix(e.name, "etc/"):
			fmt.Fprintf(&conffiles, "/%s\n", e.name)
		default:
			fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(e.data), e.name)
		}
	}
	entries := []entry{
		{name: "control", mode: 0o644, data: fmt.Appendf(nil, debControl, debVersion(version, at), arch, size)},
		{name: "conffiles", mode: 0o644, data: []byte(conffiles.String())},
		{name: "md5sums", mode: 0o644, data: []byte(sums.String())},
	}
	for _, name := range []string{"postinst", "prerm", "postrm"} {
		text, err := maintainer.ReadFile("deb/" + name)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: name, mode: 0o755, data: text})
	}
	return tarballAt("./", entries, at)
}
