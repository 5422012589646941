package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// A page is the help of one subcommand. `proxy help`, completion and the man pages are made of it,
// so that none of them can name a flag that the subcommand does not take.
type page struct {
	name      string // "journal ls"
	summary   string // one line
	about     string
	arguments string // behind the flags, "" for none
	flags     *flag.FlagSet
	subs      []string // names of the subcommands of a group
}

// print is the help on a terminal.
func (p *page) print() {
	w := p.flags.Output()
	fmt.Fprintf(w, "Usage: proxy %s\n\n%s\n", p.usage(), p.about)
	if p.hasFlags() {
		fmt.Fprint(w, "\nFlags:\n")
		printFlags(p.flags)
	}
}

// usage is the command line: "journal which [flags] BACKUP...".
func (p *page) usage() string {
	usage := p.name
	if p.hasFlags() {
		usage += " [flags]"
	}
	return strings.TrimSpace(usage + " " + p.arguments)
}

func (p *page) hasFlags() bool {
	found := false
	p.flags.VisitAll(func(*flag.Flag) { found = true })
	return found
}

// takesFiles reports whether the arguments are files.
func (p *page) takesFiles() bool { return strings.HasPrefix(p.arguments, "BACKUP") }

// A flagEntry is one flag of a page.
type flagEntry struct {
	name  string
	value string // the placeholder of its value; "" if it takes none
	about string // may have several lines
}

// entries returns the flags in the order of the help.
func (p *page) entries() (all []flagEntry) {
	p.flags.VisitAll(func(f *flag.Flag) {
		value, about := flag.UnquoteUsage(f)
		all = append(all, flagEntry{f.Name, value, about + defaultOf(f)})
	})
	return all
}

// A valueKind is what completion offers as the value of a flag.
type valueKind int

const (
	valueNone  valueKind = iota // the flag takes no value
	valueAny                    // a value that cannot be guessed
	valueFile                   // a file
	valueDir                    // a folder
	valueWords                  // one of words
)

// kind reads the kind of the value, and the words of valueWords, from the placeholder.
func (e flagEntry) kind() (valueKind, []string) {
	switch strings.ToLower(e.value) {
	case "":
		return valueNone, nil
	case "file", "backup", "program":
		return valueFile, nil
	case "folder":
		return valueDir, nil
	}
	// Words in capitals stand for values, as in OFFSET|TIME.
	if words := strings.Split(e.value, "|"); len(words) > 1 && e.value == strings.ToLower(e.value) {
		return valueWords, words
	}
	return valueAny, nil
}

// pages returns the page of every subcommand, a group before its own.
func pages(ctx context.Context) ([]*page, error) {
	return pagesOf(ctx, allCommands())
}

func pagesOf(ctx context.Context, all []subcommand) (out []*page, err error) {
	for _, s := range all {
		// With -h each subcommand makes its flag set, prints it, and does nothing.
		c := &command{stdout: io.Discard, stderr: io.Discard}
		if err := s.run(ctx, c, []string{"-h"}); !errors.Is(err, flag.ErrHelp) {
			return nil, fmt.Errorf("%s -h: %w", s.name, err)
		}
		c.page.summary = s.summary
		for _, sub := range s.subs {
			c.page.subs = append(c.page.subs, sub.name)
		}
		out = append(out, c.page)
		below, err := pagesOf(ctx, s.subs)
		if err != nil {
			return nil, err
		}
		out = append(out, below...)
	}
	return out, nil
}
