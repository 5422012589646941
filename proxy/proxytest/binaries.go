package proxytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// serverEnv names the server that StartServer uses: a kind ("valkey", "valkey9") or the path of a
// binary.
const serverEnv = "HOLDFAST_SERVER"

// serversDir is where `make servers` puts the servers, under the root of the repository.
const serversDir = ".tools/servers"

// kinds lists the servers that tests know, the default one first. The first three are the
// oldest supported version and one of each family; the others complete the matrix.
var kinds = []struct{ kind, program string }{
	{"valkey", "valkey-server"},
	{"redis", "redis-server"},
	{"redis7", "redis-server"},
	{"valkey81", "valkey-server"},
	{"valkey9", "valkey-server"},
	{"redis8new", "redis-server"},
}

// Binary is one installed server program.
type Binary struct {
	Kind    string // one of kinds, or "custom" for a path
	Version string // as the program prints it: "8.0.1"
	Path    string // the program, or the wrapper that execs it
}

// String is the name of a subtest: kind and version.
func (b Binary) String() string { return b.Kind + "-" + b.Version }

// installed finds the machine's servers once, since the search starts a process per program.
var installed = sync.OnceValues(findBinaries)

// Binaries returns a server of each family and the oldest supported version, the default kind
// first; with -short the default only. It fails the test when there is none.
func Binaries(t testing.TB) []Binary {
	t.Helper()
	return slices.DeleteFunc(Matrix(t), func(b Binary) bool {
		return b.Kind == "valkey81" || b.Kind == "valkey9" || b.Kind == "redis8new"
	})
}

// Matrix returns every installed server, the default kind first, for tests of differences between
// server versions; with -short the default only. It fails the test when there is none.
func Matrix(t testing.TB) []Binary {
	t.Helper()
	all := everything(t)
	if testing.Short() {
		all = all[:1]
	}
	return all
}

// everything returns every installed server.
func everything(t testing.TB) []Binary {
	t.Helper()
	all, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(all)
}

// Find returns the installed server of a kind, or at a path. An empty kind is $HOLDFAST_SERVER or,
// without that, the default. It fails the test when there is none.
func Find(t testing.TB, kind string) Binary {
	t.Helper()
	if kind == "" {
		kind = os.Getenv(serverEnv)
	}
	if filepath.IsAbs(kind) {
		b, err := inspect("custom", kind)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		return b
	}
	all := everything(t)
	if kind == "" {
		return all[0]
	}
	i := slices.IndexFunc(all, func(b Binary) bool { return b.Kind == kind })
	if i < 0 {
		t.Fatalf("no %s server among %v: run `make servers`", kind, all)
	}
	return all[i]
}

// findBinaries looks in the folder of `make servers`, then in PATH for kinds not found there.
func findBinaries() ([]Binary, error) {
	root, err := repoRoot()
	if err != nil {
		return nil, err
	}
	var found []Binary
	for _, k := range kinds {
		path := filepath.Join(root, serversDir, k.kind, "bin", k.program)
		if b, err := inspect(k.kind, path); err == nil {
			found = append(found, b)
		}
	}
	for _, program := range []string{"valkey-server", "redis-server"} {
		path, err := exec.LookPath(program)
		if err != nil {
			continue
		}
		b, err := inspect("", path)
		if err != nil {
			return nil, err
		}
		if b.Kind = kindOf(program, b.Version); b.Kind == "" {
			continue
		}
		if !slices.ContainsFunc(found, func(f Binary) bool { return f.Kind == b.Kind }) {
			found = append(found, b)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no server binary in %s nor in PATH: run `make servers`",
			filepath.Join(root, serversDir))
	}
	return found, nil
}

// kindOf returns the kind of a program in PATH; "" for one too old to test with.
func kindOf(program, version string) string {
	major, _, _ := strings.Cut(version, ".")
	switch n, err := strconv.Atoi(major); {
	case err != nil || n < 7:
		return ""
	case program == "valkey-server":
		return "valkey"
	case n == 7:
		return "redis7"
	}
	return "redis"
}

// versionPattern finds the version in the output of `valkey-server --version`: "Valkey server
// v=8.0.1 sha=..." or "Redis server v=7.0.15 sha=...".
var versionPattern = regexp.MustCompile(`\bv=(\d+\.\d+\.\d+)`)

// inspect asks a program for its version.
func inspect(kind, path string) (Binary, error) {
	out, err := exec.Command(path, "--version").CombinedOutput()
	if err != nil {
		return Binary{}, fmt.Errorf("%s --version: %w: %s", path, err, out)
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return Binary{}, fmt.Errorf("%s --version: no version in %q", path, out)
	}
	return Binary{Kind: kind, Version: string(m[1]), Path: path}, nil
}

// repoRoot finds the folder of go.mod above the test's working directory.
func repoRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = up
	}
}

// Tool returns a program that is no server, from the folder of `make servers` or from PATH. It
// fails the test when there is none.
func Tool(t testing.TB, name string) string {
	t.Helper()
	root, err := repoRoot()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, serversDir, name, "bin", name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if path, err = exec.LookPath(name); err != nil {
		t.Fatalf("no %s in %s nor in PATH: run `make servers`", name, filepath.Join(root, serversDir))
	}
	return path
}
