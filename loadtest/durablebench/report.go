//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"

	"holdfast/loadtest/harness"
)

// report is the text of the result: the description, the goals, and the tables of each disk.
func (b *bench) report(description string) string {
	var w strings.Builder
	w.WriteString(description)
	b.writeGoals(&w)
	for _, d := range b.opts.disks {
		fmt.Fprintf(&w, "\n### %s\n\n%s.\n", d.title(), b.probes[d.name])
		if b.measuredOn(d) {
			b.writeCells(&w, d)
			b.writePairs(&w, d)
		}
	}
	b.writeProblems(&w)
	return w.String()
}

func (b *bench) measuredOn(d disk) bool {
	for k := range b.series {
		if k.disk == d.name {
			return true
		}
	}
	return false
}

// writeCells writes a row for each cell and contender.
func (b *bench) writeCells(w *strings.Builder, d disk) {
	w.WriteString("\n| depth | connections | who | SETs/s | of (a) | of (b) | p50 ms | p99 ms |" +
		" proxy's CPU µs/SET | server's CPU µs/SET |\n" +
		"|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, c := range b.opts.cells {
		for _, who := range b.opts.ways {
			if !who.does(d, c) {
				continue
			}
			s := b.of(key{d.name, who.name, c.String()})
			cpu := ""
			if p := harness.Median(s.proxyCPU); p > 0 {
				cpu = fmt.Sprintf("%.1f", p)
			}
			fmt.Fprintf(w, "| %d | %d | (%s) %s | %.0f | %s | %s | %.2f | %.2f | %s | %.1f |\n",
				c.depth, c.connections, who.name, who.text, harness.Median(s.rates),
				harness.Ratio(b.rate(d, who.name, c)/b.rate(d, "a", c)),
				harness.Ratio(b.rate(d, who.name, c)/b.rate(d, "b", c)),
				s.ms(0.5), s.ms(0.99), cpu, harness.Median(s.serverCPU))
		}
	}
}

// writePairs writes the figures of the reader.
func (b *bench) writePairs(w *strings.Builder, d disk) {
	w.WriteString("\nOne client that sends GETs, beside 50 that send SETs:\n\n" +
		"| who | the writers' keys | GETs/s | p50 ms | p99 ms | the writers' SETs/s |\n" +
		"|---|---|--:|--:|--:|--:|\n")
	for _, p := range pairs {
		reader := b.of(key{d.name, p.name, p.String()})
		if len(reader.rates) == 0 {
			continue
		}
		who := ways[slices.IndexFunc(ways, func(w way) bool { return w.name == p.name })]
		keys := "plain"
		if p.prefix == durablePrefix {
			keys = "durable"
		}
		fmt.Fprintf(w, "| (%s) %s | %s | %.0f | %.2f | %.2f | %.0f |\n", p.name, who.text, keys,
			harness.Median(reader.rates), reader.ms(0.5), reader.ms(0.99),
			harness.Median(b.of(key{d.name, p.name, p.writers()}).rates))
	}
}

// writeProblems writes the unexpected answers. Such answers are in no figure.
func (b *bench) writeProblems(w *strings.Builder) {
	var lines []string
	for k, s := range b.series {
		if s.bad > 0 {
			lines = append(lines, fmt.Sprintf("- %s, (%s), %s: %d of %d, such as %q\n", k.disk, k.name,
				k.what, s.bad, s.bad+s.times.N(), s.problem))
		}
	}
	if len(lines) > 0 {
		slices.Sort(lines)
		w.WriteString("\n**Answers that are not acknowledgements:**\n\n" + strings.Join(lines, ""))
	}
}

func (b *bench) rate(d disk, name string, c cell) float64 {
	return harness.Median(b.of(key{d.name, name, c.String()}).rates)
}
