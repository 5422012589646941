package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one fault of a configuration.
type Error struct {
	File   string // the name given to Load or Parse; empty for a Config without a file
	Line   int    // from 1; 0 if the value does not stand in the file
	Column int    // from 1, in characters
	Path   string // "upstream.address", "rules[0].commands[1]"; empty for errors of syntax
	Text   string
}

// Error is the line as compilers print it: "file:line:column: path: text".
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
		}
		b.WriteString(": ")
	}
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Text)
	return b.String()
}

// Errors are all faults of a configuration, in the order of the file.
type Errors []*Error

// Error is one error a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the first Error.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}

// Merge is e and more in the order of the file, without a second error about the same place.
func (e Errors) Merge(more Errors) Errors {
	all := slices.Clone(e)
	for _, err := range more {
		if !slices.ContainsFunc(e, func(known *Error) bool { return known.covers(err) }) {
			all = append(all, err)
		}
	}
	return all.sorted()
}

// covers reports whether e is about the place of other, or about a place around it.
func (e *Error) covers(other *Error) bool {
	for p := other.Path; p != ""; p = parent(p) {
		if p == e.Path {
			return true
		}
	}
	return false
}

// sorted puts e in the order of the file.
func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return e
}

// orNil is e as an error that is nil when there is none.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e.sorted()
}
