package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A construction is a turn of phrase that experienced writers of infrastructure software hardly
// use. The limit is the highest rate of five well-kept codebases, per 10,000 words of comments.
type construction struct {
	name  string
	find  *regexp.Regexp
	limit float64
}

func construct(name, pattern string, limit float64) construction {
	return construction{name, regexp.MustCompile(`(?i)\b(?:` + pattern + `)\b`), limit}
}

var constructions = []construction{
	construct("what is, what was, all that",
		`what (?:is|are|was|were|has|have|had|it|they|the|a)|all that|who is|who are|who was`, 2.3),
	construct("somebody, nobody", `somebody|nobody`, 0.4),
	construct("told, tells of", `told|tells of`, 0.4),
	construct("beside, besides", `besides?`, 0.4),
	construct("is to be", `(?:is|are|was|were) to be`, 0.8),
	construct("anew", `anew`, 0.4),
	construct("whoever", `whoever`, 0),
}

// prose is a body of text: its number of words, and of each construction in it.
type prose struct {
	name  string
	words int
	found []int
}

func (p *prose) add(text string) {
	p.words += len(strings.Fields(text))
	if p.found == nil {
		p.found = make([]int, len(constructions))
	}
	for i, c := range constructions {
		p.found[i] += len(c.find.FindAllString(text, -1))
	}
}

// excess lists the constructions above their limits.
func (p *prose) excess() (out []string) {
	for i, c := range constructions {
		if p.rate(i) > c.limit {
			out = append(out, fmt.Sprintf("%s: %q stands %.1f times in 10,000 words, above the limit of %.1f", p.name,
				c.name, p.rate(i), c.limit))
		}
	}
	return out
}

// rate is the number of a construction per 10,000 words.
func (p *prose) rate(i int) float64 {
	if p.words == 0 {
		return 0
	}
	return float64(p.found[i]) * 10_000 / float64(p.words)
}

// notSentences are the parts of a page that quote: blocks and spans of code, headings that others link to,
// and what programs write between markers.
var notSentences = regexp.MustCompile("(?s)```.*?```|`[^`\\n]*`|<!-- begin [a-z-]+ -->.*?<!-- end [a-z-]+ -->|(?m:^#[^\n]*$)")

func sentences(page string) string { return notSentences.ReplaceAllString(page, " ") }

// proseOf reads the comments of the packages, and the pages.
func proseOf(dir string, pkgs []*pkg) ([]*prose, error) {
	comments, pages := &prose{name: "comments"}, &prose{name: "pages"}
	for _, p := range pkgs {
		for _, f := range p.files {
			for _, group := range f.Comments {
				comments.add(group.Text())
			}
		}
	}
	for _, pattern := range []string{"*.md", "docs/*.md", "journal/*.md"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			pages.add(sentences(string(text)))
		}
	}
	return []*prose{comments, pages}, nil
}
