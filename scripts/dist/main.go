package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A target is a system that binaries are made for.
type target struct{ os, arch string }

func (t target) String() string { return t.os + "-" + t.arch }

// targets in the order of the output.
var targets = []target{
	{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"},
}

// A release is one run.
type release struct {
	root    string // of the repository
	out     string
	version string
	time    time.Time // of every file
	files   []string  // names in out
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("dist", flag.ExitOnError)
	out := f.String("out", "bin/dist", "the `folder` to write")
	version := f.String("version", "unknown", "the `version` of the release")
	epoch := f.Int64("epoch", 0, "the time of every file, in `seconds`")
	if err := f.Parse(args); err != nil {
		return err
	}
	r := &release{root: ".", out: *out, version: *version, time: time.Unix(*epoch, 0).UTC()}
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	docs, err := r.documents(ctx)
	if err != nil {
		return err
	}
	for _, t := range targets {
		if err := r.makeTarget(ctx, t, docs); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
	}
	return r.sums()
}

// makeTarget makes everything for one system.
func (r *release) makeTarget(ctx context.Context, t target, docs *documents) error {
	path, err := r.compile(ctx, t)
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(path))
	binary, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	bill, err := billOfMaterials(path, r.version, r.time)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("holdfast-%s-%s", r.version, t)
	made := map[string]func() ([]byte, error){
		name + ".cdx.json": func() ([]byte, error) { return bill, nil },
		name + ".tar.gz":   func() ([]byte, error) { return gzipped(tarball(docs.archive(name, binary), r.time)) },
	}
	if t.os == "linux" {
		made[fmt.Sprintf("holdfast_%s_%s.deb", debVersion(r.version, r.time), t.arch)] = func() ([]byte, error) {
			return debPackage(docs, binary, t.arch, r.version, r.time)
		}
		made[name+".oci.tar"] = func() ([]byte, error) { return ociImage(binary, t.arch, r.version, r.time) }
	}
	for file, build := range made {
		data, err := build()
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := r.write(file, data, 0o644); err != nil {
			return err
		}
	}
	return r.write(name, binary, 0o755)
}

func (r *release) write(name string, data []byte, mode os.FileMode) error {
	r.files = append(r.files, name)
	return os.WriteFile(filepath.Join(r.out, name), data, mode)
}

// sums writes the checksums, in the format of sha256sum, and prints them.
func (r *release) sums() error {
	slices.Sort(r.files)
	var b strings.Builder
	for _, name := range r.files {
		data, err := os.ReadFile(filepath.Join(r.out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(data), name)
	}
	fmt.Print(b.String())
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(b.String()), 0o644)
}
