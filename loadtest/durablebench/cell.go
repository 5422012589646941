//go:build linux

package main

import (
	"fmt"
	"strings"
)

// cell is one way to load a contender with writers.
type cell struct {
	connections int
	depth       int // outstanding SETs of a connection
}

func (c cell) String() string { return fmt.Sprintf("%d × depth %d", c.connections, c.depth) }

// quickCells are the cells of --quick.
const quickCells = "1x1,50x1,50x16"

// cells reads a list of connections and depths, such as "1x1,50x16". "" is all cells.
func cells(list string) (all []cell, err error) {
	if list == "" {
		for _, depth := range []int{1, 16} {
			for _, n := range []int{1, 10, 50, 200} {
				all = append(all, cell{n, depth})
			}
		}
		return all, nil
	}
	for text := range strings.SplitSeq(list, ",") {
		var c cell
		_, err := fmt.Sscanf(text, "%dx%d", &c.connections, &c.depth)
		if err != nil || c.connections < 1 || c.depth < 1 {
			return nil, fmt.Errorf("%q is not connections x depth, such as 50x16", text)
		}
		all = append(all, c)
	}
	return all, nil
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

// writers is the name of the other half of the measurement.
func (p pair) writers() string { return "50 × " + p.prefix + " beside a reader" }

// key names a measurement: a cell or a pair of one contender on one disk.
type key struct {
	disk, name, what string
}
