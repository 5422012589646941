//go:build linux

package main

import "fmt"

// cell is one way to load a contender with writers.
type cell struct {
	connections int
	depth       int // SETs that a connection has outstanding
}

func (c cell) String() string { return fmt.Sprintf("%d × depth %d", c.connections, c.depth) }

func cells(quick bool) []cell {
	if quick {
		return []cell{{1, 1}, {50, 1}, {50, 16}}
	}
	var all []cell
	for _, depth := range []int{1, 16} {
		for _, n := range []int{1, 10, 50, 200} {
			all = append(all, cell{n, depth})
		}
	}
	return all
}

// pair is one way to load a contender with writers and a reader.
type pair struct {
	name   string // of the contender
	prefix string // of the writers' keys
}

const pairWriters = 50

var pairs = []pair{
	{"a", durablePrefix},
	{"c", durablePrefix}, {"c", plainPrefix},
	{"d", durablePrefix}, {"d", plainPrefix},
	{"e", durablePrefix}, {"e", plainPrefix},
}

func (p pair) String() string { return "reader beside 50 × " + p.prefix }

// writers is the name of the same measurement's other half.
func (p pair) writers() string { return "50 × " + p.prefix + " beside a reader" }

// key names what was measured: a cell or a pair of one contender on one disk.
type key struct {
	disk, name, what string
}
