package drills

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestReadRunbook(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	page := "# Page\n\n## One\n\ntext\n\n```console\n$ proxy a\nsaid\n  $ proxy b\n```\n" +
		"```yaml\nx: 1\n```\n### Two\n```\n-ERR no\n```\n"
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	book, err := ReadRunbook(path)
	if err != nil {
		t.Fatal(err)
	}
	one, err := book.Section("One")
	if err != nil || !slices.Equal(one.Commands, []string{"proxy a", "proxy b"}) ||
		!slices.Equal(one.Messages, []string{"said"}) {
		t.Errorf("%+v %v", one, err)
	}
	two, err := book.Section("Two")
	if err != nil || len(two.Commands) != 0 || !slices.Equal(two.Messages, []string{"-ERR no"}) {
		t.Errorf("%+v %v", two, err)
	}
	if _, err := book.Section("Three"); err == nil {
		t.Error("a section that is not there was found")
	}
}

// A message is the same in each run but for its values, and nothing else passes for it.
func TestShape(t *testing.T) {
	t.Parallel()
	said := []string{Shape(`level=ERROR msg="lost" from=17 first=2026-11-29T17:08:46.972Z dir=/tmp/x/j/a.seg`),
		Shape("done: 127.0.0.1:20123 is a primary at that point, after 0.71 s"),
		Shape("ID  WHEN        USER")}
	for message, want := range map[string]bool{
		`msg="lost" from=1234 first=2020-01-01T00:00:00Z dir=/var/lib/j/b.seg`: true,
		"level=ERROR … dir=data/journal":                                       true,
		"dir=data/journal … level=ERROR":                                       false,
		"done: 127.0.0.1:6399 is a primary at that point, after 12 s":          true,
		"done: 127.0.0.1:6399 is a replica at that point, after 12 s":          false,
		"done: 127.0.0.1:6399 is a primary at that point, after 1m12s":         true,
		"done: 127.0.0.1:6399 is a primary at that point, after 12 keys":       false,
		"ID   WHEN   USER": true,
		"…":                true,
	} {
		if got := Shows(said, message); got != want {
			t.Errorf("%q: %t in %q", message, got, said)
		}
	}
}
