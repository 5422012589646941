//go:build linux

package main

import (
	"fmt"
	"strings"

	"holdfast/loadtest/harness"
)

// readmeCell is the cell in the README.
var readmeCell = cell{connections: 50, depth: 1}

// readme is the short table of the README: the cost of a proof for writers, and for readers
// meanwhile.
func (b *bench) readme() string {
	var w strings.Builder
	w.WriteString("| 50 connections | ")
	for _, d := range b.opts.disks {
		fmt.Fprintf(&w, "%s: SETs/s, p50 | a reader's GETs/s beside | ", d.short())
	}
	w.WriteString("\n|---|" + strings.Repeat("--:|--:|", len(b.opts.disks)) + "\n")
	for _, who := range b.opts.ways {
		if who.wait == waitEach {
			continue
		}
		fmt.Fprintf(&w, "| %s | ", who.text)
		for _, d := range b.opts.disks {
			sets := b.of(key{d.name, who.name, readmeCell.String()})
			gets := b.of(key{d.name, who.design, pair{who.design, who.prefix}.String()})
			fmt.Fprintf(&w, "%s | %s | ", setsText(sets), count(gets.rates))
		}
		w.WriteString("\n")
	}
	return w.String()
}

func (d disk) short() string {
	if d.flush == 0 {
		return "disk of the machine"
	}
	return fmt.Sprintf("flush of %v", d.flush)
}

func setsText(s *series) string {
	if len(s.rates) == 0 {
		return ""
	}
	p50 := s.ms(0.5)
	if p50 >= 10 {
		return fmt.Sprintf("%s, %.0f ms", count(s.rates), p50)
	}
	return fmt.Sprintf("%s, %.1f ms", count(s.rates), p50)
}

// count is a rate for people, of two or three digits.
func count(rates []float64) string {
	switch r := harness.Median(rates); {
	case len(rates) == 0:
		return ""
	case r >= 10_000:
		return fmt.Sprintf("%.0f,000", r/1000)
	case r >= 1000:
		return fmt.Sprintf("%d,%d00", int(r/1000), int(r/100)%10)
	default:
		return fmt.Sprintf("%.0f", r)
	}
}
