package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Addresses is the address of the server, or those of the candidates of which one is the primary. The
// file has text, or a list; a list of one is the same as text.
type Addresses []string

// String is the address, or the list as the file writes it.
func (a Addresses) String() string {
	if len(a) > 1 {
		return "[" + strings.Join(a, ", ") + "]"
	}
	return a.One()
}

// One is the only address; "" if there is none, or a list.
func (a Addresses) One() string {
	if len(a) == 1 {
		return a[0]
	}
	return ""
}

// Exposed reports whether a connection to one of them can leave the machine.
func (a Addresses) Exposed() bool { return slices.ContainsFunc(a, Exposed) }

// MarshalYAML implements the printer's interface.
func (a Addresses) MarshalYAML() (any, error) {
	if len(a) > 1 {
		return []string(a), nil
	}
	return a.One(), nil
}

// addresses decodes text or a list.
func (d *decoder) addresses(path string, n ast.Node, into *Addresses) {
	if seq, is := n.(*ast.SequenceNode); is {
		if len(seq.Values) == 0 {
			d.fail(path, n, "is empty: give the address of the server, or a list of candidates")
			return
		}
		d.list(path, n, reflect.ValueOf(into).Elem())
		return
	}
	one := into.One()
	d.scalar(path, n, &one)
	if *into = nil; one != "" {
		*into = Addresses{one}
	}
}

// maxCandidates bounds the list: a primary and its replicas.
const maxCandidates = 8

// addresses checks where the server is, or its candidates.
func (v *validator) addresses(a Addresses) {
	const path = "upstream.address"
	if len(a) <= 1 {
		v.dial(path, a.One())
		return
	}
	v.require(len(a) <= maxCandidates, path, "has at most %d addresses", maxCandidates)
	for i, address := range a {
		at := fmt.Sprintf("%s[%d]", path, i)
		v.require(!slices.Contains(a[:i], address), at, "%s is there twice", address)
		v.dial(at, address)
	}
}
