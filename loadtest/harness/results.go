package harness

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// NoResults is the value of --results that writes nothing.
const NoResults = "-"

// resultsFile is the value of --results. A file that could not be written at the end of a run,
// which may take hours, is refused at its start.
type resultsFile string

// ResultsFlag declares --results: the Markdown file in loadtest/ that gets the program's section, or
// NoResults.
func ResultsFlag(flags *flag.FlagSet, file *string, value, usage string) {
	*file = value
	flags.Var((*resultsFile)(file), "results", usage+"; - for none")
}

// String implements flag.Value.
func (f *resultsFile) String() string { return string(*f) }

// Set implements flag.Value.
func (f *resultsFile) Set(name string) error {
	if name != NoResults && filepath.Ext(name) != ".md" {
		return fmt.Errorf("want the name of a Markdown file (.md) or %s", NoResults)
	}
	*f = resultsFile(name)
	return nil
}

// WriteResults is WriteSection for a value of --results.
func WriteResults(root, results, name, text string) error {
	if results == NoResults {
		return nil
	}
	return WriteSection(filepath.Join(root, "loadtest", results), name, text)
}

// WriteSection puts text into the Markdown file at path between the marks of the named section, and
// appends the section when the file does not have it. Text outside the marks, such as the
// discussion of the figures, stays.
func WriteSection(path, name, text string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, []byte(replaceSection(string(old), name, text)), 0o644)
}

func replaceSection(doc, name, text string) string {
	begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->\n"
	section := begin + strings.TrimRight(text, "\n") + "\n" + end
	from := strings.Index(doc, begin)
	to := strings.Index(doc, end)
	if from < 0 || to < from {
		if doc != "" {
			doc = strings.TrimRight(doc, "\n") + "\n\n"
		}
		return doc + section
	}
	return doc[:from] + section + doc[to+len(end):]
}
