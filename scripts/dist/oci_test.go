package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func decodeBlob(t *testing.T, files map[string]packed, d descriptor, v any) []byte {
	t.Helper()
	f, ok := files[blobPath(d.Digest)]
	if !ok || len(f.data) != d.Size || digest(f.data) != d.Digest {
		t.Fatalf("the blob %s: there %v, %d bytes of %d, %s", d.Digest, ok, len(f.data), d.Size, digest(f.data))
	}
	if v != nil {
		if err := json.Unmarshal(f.data, v); err != nil {
			t.Fatal(err)
		}
	}
	return f.data
}

// From the index every blob is reached, of its size and digest, and the layer's files run as the
// image's user on an empty root.
func TestImage(t *testing.T) {
	t.Parallel()
	data, err := ociImage(smallProgram(t), runtime.GOARCH, "v1.0.0+x", commitTime)
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, data)
	if string(files["oci-layout"].data) != `{"imageLayoutVersion":"1.0.0"}` {
		t.Errorf("oci-layout: %s", files["oci-layout"].data)
	}
	var index imageIndex
	if err := json.Unmarshal(files["index.json"].data, &index); err != nil || len(index.Manifests) != 1 {
		t.Fatal(err, index)
	}
	if p := index.Manifests[0].Platform; p == nil || p.Architecture != runtime.GOARCH || p.OS != "linux" {
		t.Errorf("platform: %+v", p)
	}
	if ref := index.Manifests[0].Annotations["org.opencontainers.image.ref.name"]; ref != "v1.0.0_x" {
		t.Errorf("ref: %s", ref)
	}
	var manifest imageManifest
	decodeBlob(t, files, index.Manifests[0], &manifest)
	var config imageConfig
	decodeBlob(t, files, manifest.Config, &config)
	if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/usr/bin/holdfast"}) {
		t.Errorf("config: %+v", config.Config)
	}
	if got := strings.Join(config.Config.Healthcheck.Test, " "); got != "CMD /usr/bin/holdfast check --ready --config "+config.Config.Cmd[2] {
		t.Errorf("health check: %s", got)
	}
	layer := unpack(t, decodeBlob(t, files, manifest.Layers[0], nil))
	expectFiles(t, layer, map[string]int64{"usr/bin/holdfast": 0o755, "var/lib/holdfast/": 0o700, "tmp/": 0o1777})
	if f := layer["var/lib/holdfast/"]; f.Uid != imageUser || f.Gid != imageUser {
		t.Errorf("the journal's folder belongs to %d", f.Uid)
	}
	plain, err := tarball(imageFiles(smallProgram(t)), commitTime)
	if err != nil || !slices.Equal(config.RootFS.DiffIDs, []string{digest(plain)}) {
		t.Errorf("diff_ids %q are not of the layer: %v", config.RootFS.DiffIDs, err)
	}
	var saved []savedImage
	if err := json.Unmarshal(files["manifest.json"].data, &saved); err != nil || len(saved) != 1 ||
		saved[0].Config != blobPath(manifest.Config.Digest) || saved[0].Layers[0] != blobPath(manifest.Layers[0].Digest) {
		t.Errorf("manifest.json: %v, %+v", err, saved)
	}
	runLayer(t, layer)
}

// runLayer runs the program with the layer as its root, and nothing else in it.
func runLayer(t *testing.T, layer map[string]packed) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Log("without Linux and root the layer was only read")
		return
	}
	root := t.TempDir()
	for _, name := range sortedNames(layer) {
		path := filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, layer[name].data, os.FileMode(layer[name].Mode)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("unshare", "--root="+root, "--setuid=65532", "--setgid=65532", "--", "/usr/bin/holdfast")
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "it runs\n" {
		t.Errorf("in the image: %v, %s", err, out)
	}
}

func sortedNames(files map[string]packed) (names []string) {
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
