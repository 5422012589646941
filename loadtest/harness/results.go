package harness

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// WriteSection puts text into the Markdown file at path between the marks of the named section,
// appending the section when the file does not have it. What stands outside the marks, where
// people write what the figures mean, stays as it is.
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
