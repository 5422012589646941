package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestMkdirAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "c")
	for range 2 {
		if err := (OS{}).MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	st, err := os.Stat(dir)
	if err != nil || st.Mode().Perm() != dirPerm {
		t.Errorf("%v %v", st.Mode(), err)
	}
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (OS{}).MkdirAll(file); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
}

func TestUsage(t *testing.T) {
	u, err := OS{}.Usage(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if p := u.UsedPercent(); u.Total <= 0 || u.Free < 0 || p < 0 || p > 100 {
		t.Errorf("%+v: %f percent", u, p)
	}
	if p := (Usage{}).UsedPercent(); p != 0 {
		t.Errorf("nothing known: %f percent", p)
	}
}
