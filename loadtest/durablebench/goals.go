//go:build linux

package main

import (
	"fmt"
	"math"
	"strings"

	"holdfast/loadtest/harness"
)

// goal is a ratio to reach in some cells, on some disks.
type goal struct {
	text  string
	limit harness.Limit
	disk  string          // "": every one
	in    func(cell) bool // nil: it is about readers
	ratio func(b *bench, d disk, c cell) float64
}

func many(c cell) bool { return c.connections >= 50 }
func few(c cell) bool  { return c.connections < 50 }
func deep(c cell) bool { return c.depth > 1 }
func one(c cell) bool  { return c.connections == 1 }

func atLeast(v float64) harness.Limit { return harness.Limit{Value: v} }
func atMost(v float64) harness.Limit  { return harness.Limit{Value: v, AtMost: true} }

// rates is the ratio of two contenders' throughputs.
func rates(x, y string) func(*bench, disk, cell) float64 {
	return func(b *bench, d disk, c cell) float64 { return b.rate(d, x, c) / b.rate(d, y, c) }
}

func medians(x, y string) func(*bench, disk, cell) float64 {
	return func(b *bench, d disk, c cell) float64 {
		return b.of(key{d.name, x, c.String()}).ms(0.5) /
			b.of(key{d.name, y, c.String()}).ms(0.5)
	}
}

// readers is the ratio of a figure of the reader, with durable writers and with plain ones.
func readers(name string, figure func(*series) float64) func(*bench, disk, cell) float64 {
	return func(b *bench, d disk, _ cell) float64 {
		return figure(b.of(key{d.name, name, pair{name, durablePrefix}.String()})) /
			figure(b.of(key{d.name, name, pair{name, plainPrefix}.String()}))
	}
}

func medianRate(s *series) float64 { return harness.Median(s.rates) }
func p99(s *series) float64        { return s.ms(0.99) }

var goals = goalList()

func goalList() []goal {
	all := []goal{
		{"(c) at least (a)'s throughput, 50 and 200 connections", atLeast(1), "", many,
			rates("c", "a")},
		{"(c) p50 within 2 times (a)'s, 1 connection", atMost(2), "own", one, medians("c", "a")},
		{"(e) at least 1.5 times (b)'s throughput, 50 and 200 connections", atLeast(1.5), "", many,
			rates("e", "b")},
		{"the same, 1 and 10 connections", atLeast(1.5), "", few, rates("e", "b")},
		{"the same against a WAIT behind each SET, depth 16", atLeast(1.5), "own", deep,
			rates("e", "b each")},
	}
	for _, name := range []string{"c", "d", "e"} {
		all = append(all,
			goal{"(" + name + ") GETs beside durable writers at least 0.9 of beside plain ones",
				atLeast(0.9), "", nil, readers(name, medianRate)},
			goal{"(" + name + ") their p99 within 2 times", atMost(2), "", nil, readers(name, p99)})
	}
	return all
}

// writeGoals writes the number of cells that reach each goal, and the others with their figure.
func (b *bench) writeGoals(w *strings.Builder) {
	w.WriteString("\n| goal | disk | | reached | the others |\n|---|---|---|--:|---|\n")
	for _, g := range goals {
		for _, d := range b.opts.disks {
			if g.disk != "" && g.disk != d.name {
				continue
			}
			w.WriteString(b.goalRow(g, d))
		}
	}
}

func (b *bench) goalRow(g goal, d disk) string {
	list := []cell{{}}
	if g.in != nil {
		list = b.opts.cells
	}
	all, missed := 0, []string{}
	for _, c := range list {
		if g.in != nil && !g.in(c) {
			continue
		}
		r := g.ratio(b, d, c)
		if math.IsNaN(r) || math.IsInf(r, 0) || r == 0 {
			continue
		}
		all++
		if !g.limit.Holds(r) {
			text := fmt.Sprintf("%.2f", r)
			if g.in != nil {
				text = fmt.Sprintf("%s: %.2f", c, r)
			}
			missed = append(missed, text)
		}
	}
	verdict := "met"
	switch {
	case all == 0:
		verdict = "not measured"
	case len(missed) > 0:
		verdict = "MISSED"
	}
	return fmt.Sprintf("| %s | %s | %s | %d of %d | %s |\n", g.text, d.name, verdict,
		all-len(missed), all, strings.Join(missed, ", "))
}
