package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// An entry is a file or, with a name that ends in a slash, a folder of an archive.
type entry struct {
	name  string // "usr/bin/holdfast"
	mode  int64
	owner int // user and group; 0 is root
	data  []byte
}

func (e entry) isDir() bool { return strings.HasSuffix(e.name, "/") }

// withFolders adds the folders that entries lie in, and sorts all of them, each folder before its
// content.
func withFolders(entries []entry) []entry {
	have := map[string]bool{}
	for _, e := range entries {
		have[e.name] = true
	}
	all := slices.Clone(entries)
	for _, e := range entries {
		for dir := path.Dir(strings.TrimSuffix(e.name, "/")); dir != "."; dir = path.Dir(dir) {
			if name := dir + "/"; !have[name] {
				have[name] = true
				all = append(all, entry{name: name, mode: 0o755})
			}
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return all
}

// tarball is a tar archive of entries and their folders; every time is at.
func tarball(entries []entry, at time.Time) ([]byte, error) {
	return tarballAt("", entries, at)
}

// tarballAt is tarball with prefix before each name.
func tarballAt(prefix string, entries []entry, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range withFolders(entries) {
		h := &tar.Header{
			Name: prefix + e.name, Mode: e.mode, Uid: e.owner, Gid: e.owner, Size: int64(len(e.data)), ModTime: at,
			Typeflag: tar.TypeReg, Format: tar.FormatGNU,
		}
		if e.isDir() {
			h.Typeflag, h.Size = tar.TypeDir, 0
		}
		if e.owner == 0 {
			h.Uname, h.Gname = "root", "root"
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// gzipped compresses data; its second argument is the error of making it. The header has neither a
// time nor a name.
func gzipped(data []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func sorted(files map[string][]byte) []string { return slices.Sorted(maps.Keys(files)) }

// completionPlaces is where the shells of Debian look for completion, below usr/share.
var completionPlaces = map[string]string{
	"bash": "bash-completion/completions/holdfast",
	"zsh":  "zsh/vendor-completions/_holdfast",
	"fish": "fish/vendor_completions.d/holdfast.fish",
}

// archive is the content of the archive for any system, in a folder of that name.
func (d *documents) archive(folder string, binary []byte) []entry {
	at := folder + "/"
	entries := []entry{
		{name: at + "holdfast", mode: 0o755, data: binary},
		{name: at + "THIRD_PARTY_LICENCES", mode: 0o644, data: d.licences},
	}
	add := func(name string, data []byte) {
		entries = append(entries, entry{name: at + name, mode: 0o644, data: data})
	}
	for _, name := range sorted(d.files) {
		add(name, d.files[name])
	}
	for _, name := range sorted(d.pages) {
		add("man/"+name, d.pages[name])
	}
	for _, shell := range sorted(d.completion) {
		add("completion/"+path.Base(completionPlaces[shell])+map[string]string{"bash": ".bash"}[shell], d.completion[shell])
	}
	return entries
}
