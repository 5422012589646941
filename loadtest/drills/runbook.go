package drills

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// A Runbook is a page of incidents.
type Runbook struct{ Sections []*Section }

// A Section is the text under one heading, of any level, up to the next.
type Section struct {
	Title    string
	Commands []string // lines of code blocks that begin with "$ ", without it
	Messages []string // their other lines, and all lines of blocks without a language
}

// ReadRunbook reads a Markdown file. Blocks in a language other than console (yaml, sh) are not
// part of an incident.
func ReadRunbook(path string) (*Runbook, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	book := &Runbook{}
	section, language, inside := &Section{}, "", false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		bare := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(bare, "```"):
			inside, language = !inside, strings.TrimPrefix(bare, "```")
		case !inside && strings.HasPrefix(line, "#"):
			section = &Section{Title: strings.TrimLeft(line, "# ")}
			book.Sections = append(book.Sections, section)
		case !inside || language != "" && language != "console" || bare == "":
		case strings.HasPrefix(bare, "$ "):
			section.Commands = append(section.Commands, strings.TrimPrefix(bare, "$ "))
		default:
			section.Messages = append(section.Messages, bare)
		}
	}
	if inside {
		return nil, fmt.Errorf("%s: a code block has no end", path)
	}
	return book, nil
}

// Section returns the one of that title.
func (b *Runbook) Section(title string) (*Section, error) {
	for _, s := range b.Sections {
		if s.Title == title {
			return s, nil
		}
	}
	return nil, fmt.Errorf("the page has no section %q", title)
}

// variable are the parts of a message that differ between runs, in this order.
var variable = []struct {
	pattern *regexp.Regexp
	stands  string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{40}\b`), "ID"},
	{regexp.MustCompile(`\b(127\.0\.0\.1|localhost):\d+`), "ADDR"},
	{regexp.MustCompile(`base-\d+-\d+-[0-9a-f]+\.rdb`), "BASE"},
	{regexp.MustCompile(`(^|[\s"'=(])[.]{0,2}/?[\w.+-]+(/[\w.+-]+)+`), "${1}PATH"},
	{regexp.MustCompile(`\b(chain|want|CRC32C|CRC64) [0-9a-f]{8,16}\b`), "$1 SUM"},
	{regexp.MustCompile(`\b\d+(\.\d+)? (B|KiB|MiB|GiB)\b`), "SIZE"},
	{regexp.MustCompile(`\b(\d+m)?\d+(\.\d+)? ?(µs|ms|s)\b`), "TOOK"},
	{regexp.MustCompile(`\d[\d,]*(\.\d+)?`), "N"},
	{regexp.MustCompile(` {2,}`), "  "},
}

// Shape is a line of a message without the parts that differ between runs: times, numbers,
// addresses, paths, checksums, the width of columns.
func Shape(line string) string {
	line = strings.TrimSpace(line)
	for _, v := range variable {
		line = v.pattern.ReplaceAllString(line, v.stands)
	}
	return line
}

// Shows reports whether text, many lines in the form of Shape, has a line with the pieces of the
// message in their order. "…" in a message stands for omitted text.
func Shows(text []string, message string) bool {
	var pieces []string
	for piece := range strings.SplitSeq(message, "…") {
		if piece = Shape(piece); piece != "" {
			pieces = append(pieces, piece)
		}
	}
	for _, line := range text {
		if hasInOrder(line, pieces) {
			return true
		}
	}
	return len(pieces) == 0
}

func hasInOrder(line string, pieces []string) bool {
	for _, p := range pieces {
		at := strings.Index(line, p)
		if at < 0 {
			return false
		}
		line = line[at+len(p):]
	}
	return true
}

// Nearest is the line of text, in the form of Shape, with the longest match of a message from some
// place on.
func Nearest(text []string, message string) (best string) {
	first, _, _ := strings.Cut(Shape(message), "…")
	most := 8 // less means nothing
	for _, line := range text {
		if len(first) < most {
			break
		}
		at := strings.Index(line, first[:most])
		for at >= 0 && most < len(first) && strings.Contains(line, first[:most+1]) {
			most, best = most+1, line
		}
	}
	return best
}
