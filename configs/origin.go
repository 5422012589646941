package configs

import "strings"

// position is a place in the file, both from 1; columns count characters.
type position struct{ line, column int }

// origin maps each value of a Config to its place in the file, by path. Errors found long after the
// reading, by Validate or by another package, can so name line and column.
type origin struct {
	file string
	at   map[string]position
	// written is each number, size and duration as the file has it. Texts are not kept: they may be
	// secrets.
	written map[string]string
}

// find is the position of path or, if the file does not have it, of the nearest enclosing one.
func (o origin) find(path string) position {
	for ; path != ""; path = parent(path) {
		if pos, ok := o.at[path]; ok {
			return pos
		}
	}
	return position{}
}

// parent is the enclosing path; empty for the top.
func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

// At makes an error about the value at path ("rules[0].commands[1]"), with the line and the column
// of that value, or of its enclosing one, if the configuration came from a file.
func (c *Config) At(path, text string) *Error {
	pos := c.origin.find(path)
	return &Error{
		File: c.origin.file, Line: pos.line, Column: pos.column, Path: path, Text: text,
	}
}
