package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// profile is the CPU profile that the program is optimized with (make profile).
const profile = "cmd/proxy/release.pgo"

// compile builds the program for a target into a new folder and returns its path.
func (r *release) compile(ctx context.Context, t target) (string, error) {
	dir, err := os.MkdirTemp("", "holdfast-dist")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "holdfast")
	cmd := r.goCommand(ctx, "build", "-trimpath", "-pgo="+profile, "-ldflags", "-s -w -X main.version="+r.version, "-o", path, "./cmd/proxy")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+t.os, "GOARCH="+t.arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

func (r *release) goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = r.root
	return cmd
}

// documents are the files that go with a binary, the same for every target.
type documents struct {
	pages      map[string][]byte // manual pages by their names
	completion map[string][]byte // by shell
	licences   []byte            // of the modules in the binary
	files      map[string][]byte // of the repository, by their paths
}

// repository is the files that are packed, as globs.
var repository = []string{
	"LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "docs/*.md", "configs/*.yaml",
	"configs/holdfast.service", "configs/holdfast.socket", "configs/dashboard.json", "deploy/*", "deploy/kubernetes/*",
}

// documents collects them; pages and completion come from the program itself.
func (r *release) documents(ctx context.Context) (*documents, error) {
	program, err := r.compile(ctx, target{runtime.GOOS, runtime.GOARCH})
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(program)
	defer os.RemoveAll(dir)
	d := &documents{completion: map[string][]byte{}}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if d.completion[shell], err = exec.CommandContext(ctx, program, "completion", "--name", "holdfast", shell).Output(); err != nil {
			return nil, fmt.Errorf("completion %s: %w", shell, err)
		}
	}
	pages := filepath.Join(dir, "man")
	if out, err := exec.CommandContext(ctx, program, "man", "--name", "holdfast", "--dir", pages).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("man: %w\n%s", err, out)
	}
	if d.pages, err = readAll(pages, "*"); err != nil {
		return nil, err
	}
	if d.files, err = readAll(r.root, repository...); err != nil {
		return nil, err
	}
	d.licences, err = r.licences(ctx)
	return d, err
}

// readAll reads the files below dir that match, by their paths in it.
func readAll(dir string, globs ...string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, glob := range globs {
		paths, err := filepath.Glob(filepath.Join(dir, glob))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err != nil || info.IsDir() {
				continue
			}
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return nil, err
			}
			if files[filepath.ToSlash(name)], err = os.ReadFile(path); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

// licences is the text of every licence of the modules that the program contains, and of Go.
func (r *release) licences(ctx context.Context) ([]byte, error) {
	root, err := r.goCommand(ctx, "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	list := r.goCommand(ctx, "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}",
		"./cmd/proxy")
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var b strings.Builder
	b.WriteString("Holdfast contains the following modules, under their own licences.\n")
	seen := map[string]bool{}
	for line := range strings.Lines("Go\t" + string(root) + string(out)) {
		line = strings.TrimSpace(line)
		name, dir, _ := strings.Cut(line, "\t")
		if line == "" || seen[name] {
			continue
		}
		seen[name] = true
		texts, err := readAll(dir, "LICEN[CS]E*", "[Ll]icen[cs]e*", "COPYING*", "NOTICE*")
		if err != nil {
			return nil, err
		}
		switch {
		case len(texts) == 0 && name == "Go": // distributions keep it elsewhere
			texts["LICENSE"] = []byte("BSD-3-Clause, see https://go.dev/LICENSE\n")
		case len(texts) == 0:
			return nil, fmt.Errorf("%s has no licence", name)
		}
		for _, file := range sorted(texts) {
			fmt.Fprintf(&b, "\n==== %s: %s\n\n%s", name, file, texts[file])
		}
	}
	return []byte(b.String()), nil
}
