package configs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeFiles puts files, by name, into a new folder and returns that.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadReadsPasswords(t *testing.T) {
	t.Setenv(UpstreamPasswordEnv, "from-env")
	absolute := filepath.Join(writeFiles(t, map[string]string{"p": "abs"}), "p")
	for _, tc := range []struct{ name, text, upstream, admin string }{
		{"environment", "workers: 1\n", "from-env", ""},
		{"file wins", "upstream: {password: written}\n", "written", ""},
		{"beside the file", "upstream: {password_file: p}\nadmin: {password_file: q}\n",
			"beside", "two\nlines"},
		{"absolute", "upstream: {password_file: " + absolute + "}\n", "abs", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := writeFiles(t, map[string]string{
				"h.yaml": tc.text, "p": "beside\n", "q": "two\nlines\r\n",
			})
			c, err := Load(filepath.Join(dir, "h.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			if string(c.Upstream.Password) != tc.upstream || string(c.Admin.Password) != tc.admin {
				t.Errorf("got %q and %q, want %q and %q", string(c.Upstream.Password),
					string(c.Admin.Password), tc.upstream, tc.admin)
			}
		})
	}
}

func TestLoadWithoutFile(t *testing.T) {
	t.Setenv(UpstreamPasswordEnv, "from-env")
	c, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Upstream.Password = "from-env"
	if c.String() != want.String() || c.Upstream.Password != "from-env" {
		t.Errorf("got %v", c)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"missing.yaml": "log: {level: info}\nupstream:\n  password_file: nowhere\n",
		"blank.yaml":   "admin: {password_file: blank}\n", "blank": "\n",
		"bad.yaml": "workers: 0\n",
		"big.yaml": strings.Repeat("#", maxFile+1),
		"big":      strings.Repeat("x", maxSecret+1), "bigpass.yaml": "admin: {password_file: big}\n",
	})
	for name, want := range map[string]string{
		"missing.yaml": "missing.yaml:3:18: upstream.password_file: open ",
		"blank.yaml":   "blank: the file is empty",
		"bad.yaml":     "bad.yaml:1:10: workers: must be from 1 to 1024",
		"big.yaml":     "big.yaml: larger than 256KiB",
		"bigpass.yaml": "big: larger than 4KiB",
		"none.yaml":    "none.yaml: no such file",
		"":             "is a directory",
	} {
		c, err := Load(filepath.Join(dir, name))
		if c != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v; want %q", name, c, err, want)
		}
	}
	if _, err := Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file is %v", err)
	}
}

func TestJournalDirIsBesideTheFile(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"":                      "",
		"journal: {dir: \"\"}":  "",
		"journal: {dir: ./a/b}": filepath.Join(dir, "a/b"),
		"journal: {dir: /a/b}":  "/a/b",
	} {
		file := filepath.Join(dir, "h.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := Load(file); err != nil || c.Journal.Dir != want {
			t.Errorf("%q: %+v, %v; want %q", text, c, err, want)
		}
	}
}
