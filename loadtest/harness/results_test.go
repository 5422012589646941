package harness

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestReplaceSection(t *testing.T) {
	const section = "<!-- begin a -->\nnew\n<!-- end a -->\n"
	tests := []struct{ name, doc, want string }{
		{"empty file", "", section},
		{"no such section", "# Title\n", "# Title\n\n" + section},
		{"replaced", "# T\n\n<!-- begin a -->\nold\nold\n<!-- end a -->\nwhy\n",
			"# T\n\n" + section + "why\n"},
		{"another section stays", "<!-- begin b -->\nb\n<!-- end b -->\n",
			"<!-- begin b -->\nb\n<!-- end b -->\n\n" + section},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := replaceSection(tt.doc, "a", "new\n\n"); got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

func TestWriteSectionKeepsTheRest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "RESULTS.md")
	for _, text := range []string{"one", "two"} {
		if err := WriteSection(path, "bench", text); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	want := "<!-- begin bench -->\ntwo\n<!-- end bench -->\n"
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// A name that nothing can be written under is refused before the work and not after it.
func TestResultsFlag(t *testing.T) {
	for value, ok := range map[string]bool{
		"-": true, "RESULTS.md": true, "sub/x.md": true, "": false, ".": false, "sub/": false, "x": false,
	} {
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		var file string
		ResultsFlag(flags, &file, "RESULTS.md", "where to")
		if file != "RESULTS.md" {
			t.Errorf("not given: %q", file)
		}
		err := flags.Parse([]string{"--results", value})
		if (err == nil) != ok || ok && file != value {
			t.Errorf("%q: %v, %q", value, err, file)
		}
	}
}
