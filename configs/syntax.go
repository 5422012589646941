package configs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// parseYAML is the tree of the one document in text; nil if there is nothing but comments. Keys
// that appear twice are left to the decoder, which reports them together with all other errors.
func parseYAML(name string, text []byte) (root ast.Node, failure *Error) {
	if bad := firstInvalid(text); bad >= 0 {
		line := 1 + bytes.Count(text[:bad], []byte("\n"))
		return nil, &Error{File: name, Line: line, Column: 1, Text: "the text is not UTF-8"}
	}
	// The parser indexes its tokens without checks in places; a panic must become an error in the
	// file, and not end a running proxy at a reload.
	defer func() {
		if p := recover(); p != nil {
			root, failure = nil, &Error{File: name, Text: fmt.Sprintf("not YAML: %v", p)}
		}
	}()
	tree, err := parser.ParseBytes(bytes.TrimPrefix(text, byteOrderMark), 0,
		parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxError(name, err)
	}
	for _, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			return nil, errorAt(name, doc.Body, "a second document: one file holds one")
		}
		root = doc.Body
	}
	return root, nil
}

func firstInvalid(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return -1
}

func syntaxError(name string, err error) *Error {
	var syntax yaml.Error
	if !errors.As(err, &syntax) {
		return &Error{File: name, Text: err.Error()}
	}
	e := &Error{File: name, Text: syntax.GetMessage() + remedy(syntax.GetMessage())}
	if t := syntax.GetToken(); t != nil && t.Position != nil {
		e.Line, e.Column = t.Position.Line, t.Position.Column
	}
	return e
}

// remedy is the usual cause of a parser error, whose own wording is obscure.
func remedy(message string) string {
	switch {
	case strings.Contains(message, "'\t'"):
		return ": indent with spaces, not with tabs"
	case strings.Contains(message, "value is not allowed in this context"):
		return ": is the line indented like its neighbours, and is text that holds \": \" in quotes?"
	}
	return ""
}

func errorAt(name string, n ast.Node, text string) *Error {
	pos := positionOf(n)
	return &Error{File: name, Line: pos.line, Column: pos.column, Text: text}
}

// positionOf is the beginning of n. The token of a block mapping is its first colon; the mapping
// begins at the key before that.
func positionOf(n ast.Node) position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return position{}
	}
	p := n.GetToken().Position
	return position{line: p.Line, column: p.Column}
}
