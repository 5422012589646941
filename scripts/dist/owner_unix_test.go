//go:build unix

package main

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
)

// expectOwner requires a path to belong to the user holdfast of passwd.
func expectOwner(t *testing.T, path, passwd string, mode fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode().Perm() != mode ||
		!strings.Contains(passwd, fmt.Sprintf("\nholdfast:x:%d:%d:", stat.Uid, stat.Gid)) {
		t.Errorf("%s: %v, owner %+v, of\n%s", path, info.Mode(), stat, passwd)
	}
}
