package main

import (
	"fmt"
	"slices"
)

// cell is one way to load a target.
type cell struct {
	workload    string // "SET", "GET" or "mix"
	depth       int    // outstanding commands of each connection
	connections int
}

func (c cell) String() string {
	return fmt.Sprintf("%s, depth %d, %d connections", c.workload, c.depth, c.connections)
}

// cells lists the measured cells.
func cells(quick bool) []cell {
	connections := []int{1, 50, 500}
	if quick {
		connections = []int{50}
	}
	var all []cell
	for _, workload := range []string{"SET", "GET", "mix"} {
		for _, depth := range []int{1, 16} {
			for _, n := range connections {
				all = append(all, cell{workload, depth, n})
			}
		}
	}
	return all
}

// tlsCells lists those of a run with --tls, which has seven targets and runs each twice: it takes some
// twelve minutes.
func tlsCells(quick bool) []cell {
	return slices.DeleteFunc(cells(quick), func(c cell) bool { return c.connections == 1 || c.workload == "mix" })
}

// tests returns valkey-benchmark's test names for the cell, one per process, and the connections
// of each process. A mix has two; with one connection to share, each gets one.
func (c cell) tests() (names []string, connections int) {
	switch c.workload {
	case "mix":
		return []string{"set", "get"}, max(1, c.connections/2)
	case "GET":
		return []string{"get"}, c.connections
	default:
		return []string{"set"}, c.connections
	}
}
