package proxytest

import (
	"os"
	"testing"
)

// ShortDir is testing.TB.TempDir for unix sockets, whose paths have room for some 100 bytes.
func ShortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
