package main

import (
	"fmt"
	"strings"

	"holdfast/loadtest/harness"
)

// readmeCells are the cells in the README.
var readmeCells = []cell{
	{"SET", 1, 50}, {"GET", 1, 50}, {"SET", 16, 50}, {"GET", 16, 50},
	{"SET", 16, 500}, {"GET", 16, 500},
}

// readmeProxies are the columns of the README, in their order.
var readmeProxies = []string{"twemproxy", "haproxy", "holdfast"}

// forReadme reports whether all cells of the README were measured.
func (b *bench) forReadme() bool {
	for _, c := range readmeCells {
		for _, name := range append([]string{"direct"}, readmeProxies...) {
			if len(b.samples[key{name, c}]) == 0 {
				return false
			}
		}
	}
	return true
}

// readme is the short table of the README: the cost of a command, and the throughput relative to
// the server without a proxy.
func (b *bench) readme() string {
	var w strings.Builder
	w.WriteString("| depth × connections | CPU µs/command: " + strings.Join(readmeProxies, " | ") +
		" | of direct throughput: " + strings.Join(readmeProxies, " | ") + " |\n" +
		"|---|" + strings.Repeat("--:|", 2*len(readmeProxies)) + "\n")
	for _, c := range readmeCells {
		fmt.Fprintf(&w, "| %s, %d × %d |", c.workload, c.depth, c.connections)
		for _, proxy := range readmeProxies {
			fmt.Fprintf(&w, " %.2f |", b.median(key{proxy, c}, proxyCPU))
		}
		for _, proxy := range readmeProxies {
			fmt.Fprintf(&w, " %s |", harness.Ratio(b.against(key{proxy, c}, "direct", opsPerSecond)))
		}
		w.WriteString("\n")
	}
	return w.String()
}
