package harness

import (
	"os"
	"path/filepath"
	"testing"
)

// A proxy that is built already is not built again.
func TestBuildProxyTakesTheOneOfTheSuite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "built")
	t.Setenv(proxyEnv, path)
	if _, err := BuildProxy(t.TempDir()); err == nil {
		t.Errorf("%s is not there, and no error says so", path)
	}
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := BuildProxy(t.TempDir()); got != path || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, path)
	}
}
