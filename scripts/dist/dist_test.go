package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var commitTime = time.Unix(1_790_000_000, 0).UTC()

// small is a static program that prints a word: what is packed here instead of the proxy.
var small = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "holdfast-dist")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() { println(\"it runs\") }\n"), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "small"), source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return out, err
	}
	return os.ReadFile(filepath.Join(dir, "small"))
})

func smallProgram(t *testing.T) []byte {
	t.Helper()
	binary, err := small()
	if err != nil {
		t.Fatalf("%v: %s", err, binary)
	}
	return binary
}

// testDocuments are the files of the repository, with pages and completion in brief.
func testDocuments(t *testing.T) *documents {
	t.Helper()
	files, err := readAll("../..", repository...)
	if err != nil || len(files) < 20 {
		t.Fatal(len(files), err)
	}
	return &documents{
		files:      files,
		pages:      map[string][]byte{"holdfast.1": []byte(".TH HOLDFAST 1\n"), "holdfast.yaml.5": []byte(".TH HOLDFAST.YAML 5\n")},
		completion: map[string][]byte{"bash": []byte("complete"), "zsh": []byte("#compdef"), "fish": []byte("complete -c")},
		licences:   []byte("MIT and others\n"),
	}
}

// Every module in the program has a licence that the packages can hold.
func TestLicences(t *testing.T) {
	t.Parallel()
	text, err := (&release{root: "../.."}).licences(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Go", "github.com/goccy/go-yaml ", "github.com/redis/go-redis/v9 "} {
		if !strings.Contains(string(text), "\n==== "+name) {
			t.Errorf("no licence of %s", name)
		}
	}
}

// A packed is a file of an archive.
type packed struct {
	*tar.Header
	data []byte
}

// unpack reads a tar archive, compressed or not, and requires its folders to come first.
func unpack(t *testing.T, data []byte) map[string]packed {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		if !z.ModTime.IsZero() || z.Name != "" {
			t.Errorf("the compressed archive has a time or a name: %+v", z.Header)
		}
		r = z
	}
	files := map[string]packed{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(h.Name, "./")
		if !h.ModTime.Equal(commitTime) {
			t.Errorf("%s is of %v", name, h.ModTime)
		}
		if dir := filepath.Dir(strings.TrimSuffix(name, "/")); dir != "." && files[dir+"/"].Header == nil {
			t.Errorf("%s comes before its folder", name)
		}
		files[name] = packed{h, content}
	}
}

func expectFiles(t *testing.T, files map[string]packed, modes map[string]int64) {
	t.Helper()
	for name, mode := range modes {
		switch f, ok := files[name]; {
		case !ok:
			t.Errorf("%s is missing", name)
		case f.Mode != mode:
			t.Errorf("%s has the mode %o, want %o", name, f.Mode, mode)
		}
	}
	if t.Failed() {
		t.Logf("the archive has %q", slices.Sorted(maps.Keys(files)))
	}
}

// Made twice, each artefact has the same bytes.
func TestSameBytesTwice(t *testing.T) {
	t.Parallel()
	binary, docs := []byte("a program"), testDocuments(t)
	for name, build := range map[string]func() ([]byte, error){
		"archive": func() ([]byte, error) { return gzipped(tarball(docs.archive("holdfast", binary), commitTime)) },
		"deb":     func() ([]byte, error) { return debPackage(docs, binary, "amd64", "v1.0.0", commitTime) },
		"image":   func() ([]byte, error) { return ociImage(binary, "amd64", "v1.0.0", commitTime) },
		"bill":    func() ([]byte, error) { return billOfMaterials(os.Args[0], "v1.0.0", commitTime) },
	} {
		a, err := build()
		if err != nil {
			t.Fatal(name, err)
		}
		if b, err := build(); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: the second has other bytes (%v)", name, err)
		}
	}
}

func TestArchive(t *testing.T) {
	t.Parallel()
	data, err := gzipped(tarball(testDocuments(t).archive("h", smallProgram(t)), commitTime))
	if err != nil {
		t.Fatal(err)
	}
	expectFiles(t, unpack(t, data), map[string]int64{
		"h/holdfast": 0o755, "h/LICENSE": 0o644, "h/THIRD_PARTY_LICENCES": 0o644, "h/configs/agents.yaml": 0o644,
		"h/docs/agents.md": 0o644, "h/man/holdfast.1": 0o644, "h/completion/holdfast.bash": 0o644,
		"h/completion/_holdfast": 0o644, "h/completion/holdfast.fish": 0o644, "h/deploy/compose.yaml": 0o644,
		"h/deploy/kubernetes/deployment.yaml": 0o644,
	})
}

func TestDebVersion(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"v1.2.3": "1.2.3", "v1.2.3-4-gabcdef0": "1.2.3+4+gabcdef0", "v1.2.3-dirty": "1.2.3+dirty",
		"855d601": "0~20260921.141320.855d601", "abcdef0-dirty": "0~20260921.141320.abcdef0+dirty",
	} {
		if got := debVersion(version, commitTime); got != want {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
}

// The bill names every module of the binary with its version and its checksum, and a replaced one by
// its replacement.
func TestBillOfMaterials(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{
		GoVersion: "go1.26.8",
		Deps: []*debug.Module{
			{Path: "example.com/a", Version: "v1.2.3", Sum: "h1:abc="},
			{Path: "example.com/b", Version: "v0.1.0", Replace: &debug.Module{Path: "example.com/c", Version: "v0.2.0"}},
		},
		Settings: []debug.BuildSetting{{Key: "CGO_ENABLED", Value: "0"}, {Key: "-ldflags", Value: "-X secret"}},
	}
	b := newBill(info, [32]byte{1, 2, 3}, "v1.0.0", commitTime)
	var got []string
	for _, c := range b.Components {
		got = append(got, c.PURL)
	}
	want := []string{"pkg:golang/std@1.26.8", "pkg:golang/example.com/a@v1.2.3", "pkg:golang/example.com/c@v0.2.0"}
	if !slices.Equal(got, want) || !slices.Equal(b.Dependencies[0].DependsOn, want) {
		t.Errorf("components: %q, depended on: %q", got, b.Dependencies)
	}
	if sum := b.Components[1].Properties; len(sum) != 1 || sum[0].Value != "h1:abc=" {
		t.Errorf("the checksum: %+v", sum)
	}
	program := b.Metadata.Component
	if program.Version != "v1.0.0" || !strings.HasPrefix(program.Hashes[0].Content, "010203") || len(program.Properties) != 1 ||
		b.SerialNumber != "urn:uuid:01020300-0000-8000-8000-000000000000" {
		t.Errorf("the program: %+v, %s", program, b.SerialNumber)
	}
	data, err := billOfMaterials(os.Args[0], "v1.0.0", commitTime)
	if err != nil || !json.Valid(data) || !bytes.Contains(data, []byte(`"bomFormat": "CycloneDX"`)) {
		t.Errorf("of this program: %v, %s", err, data)
	}
}

func TestSums(t *testing.T) {
	t.Parallel()
	r := &release{out: t.TempDir()}
	for _, name := range []string{"b", "a"} {
		if err := r.write(name, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.sums(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = r.out
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "a: OK\nb: OK\n" {
		t.Errorf("%v: %s", err, out)
	}
}
