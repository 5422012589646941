package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// proxyEnv names a proxy that was built from the sources under test: `make test` and `make test-short`
// build one for all packages.
const proxyEnv = "HOLDFAST_TEST_PROXY"

// SegmentBytes is the size of a journal's segment in tests' proxies. Each journal begins with two segments full of
// zeros.
const SegmentBytes = "1048576"

// BuildProxy returns the path of the proxy for tests that run it as a process and see it from outside. It
// has no race detector, which makes a process several times as slow, and its journal has small segments. The proxy is
// built into dir, unless $HOLDFAST_TEST_PROXY is the path of one.
func BuildProxy(dir string) (string, error) {
	if path := os.Getenv(proxyEnv); path != "" {
		_, err := os.Stat(path)
		return path, err
	}
	path := filepath.Join(dir, "proxy")
	build := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-X main.segmentBytes="+SegmentBytes,
		"-o", path, "holdfast/cmd/proxy")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}
