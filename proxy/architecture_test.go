package proxy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// goFile matches the name of a Go file, with its folders where the page gives them.
var goFile = regexp.MustCompile(`[\w/*-]+\.go\b`)

// TestArchitectureNamesFiles checks that each Go file that the page names exists.
func TestArchitectureNamesFiles(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != ".." {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			paths = append(paths, "/"+filepath.ToSlash(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range goFile.FindAllString(string(page), -1) {
		if !anyEnds(t, paths, name) {
			t.Errorf("ARCHITECTURE.md names %s, and there is no such file", name)
		}
	}
}

// anyEnds reports that a path ends in the file, whose last element may have a wildcard.
func anyEnds(t *testing.T, paths []string, file string) bool {
	dir, pattern := filepath.Split(file)
	for _, path := range paths {
		at, name := filepath.Split(path)
		ok, err := filepath.Match(pattern, name)
		if err != nil {
			t.Fatal(err)
		}
		if ok && strings.HasSuffix(at, "/"+dir) {
			return true
		}
	}
	return false
}
