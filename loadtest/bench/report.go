package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// describe gives the place, time, tools and method of the figures.
func describe(root string, o options, started time.Time) string {
	commit := "unknown"
	out, err := exec.Command("git", "-C", root, "describe", "--always", "--dirty").Output()
	if err == nil {
		commit = strings.TrimSpace(string(out))
	}
	what := " --targets " + o.targets
	switch {
	case o.rules:
		what = " --rules"
	case o.tls:
		what = " --tls"
	case o.before != "":
		what = " --before " + filepath.Base(o.before)
	}
	return fmt.Sprintf("%s, commit %s.\nMachine: %s. Load, proxy and server share it.\n"+
		"Command: `go run ./loadtest/bench --rounds %d --seconds %g%s`, took %s.\n",
		started.UTC().Format("2006-01-02 15:04 UTC"), commit, harness.Machine(),
		o.rounds, o.seconds, what, time.Since(started).Round(time.Second))
}

// report is the text of the result: the description, the versions, the goals and the table.
func (b *bench) report(description string) string {
	var w strings.Builder
	b.writeHead(&w, description)
	b.writeGoals(&w)
	b.writeTable(&w)
	return w.String()
}

// reportPair is the text of the result of a run with --rules or --before.
func (b *bench) reportPair(description string, p pair) string {
	var w strings.Builder
	b.writeHead(&w, description)
	b.writePair(&w, p)
	return w.String()
}

func (b *bench) writeHead(w *strings.Builder, description string) {
	w.WriteString(description)
	var versions []string
	for _, t := range b.targets {
		name := t.name
		if t.proxy == nil {
			name = "valkey (" + name + ")"
		}
		versions = append(versions, name+" "+t.version)
	}
	fmt.Fprintf(w, "Versions: %s.\n", strings.Join(versions, ", "))
}

// writeTable writes a row for each cell and target, the cells of one workload and depth together.
func (b *bench) writeTable(w *strings.Builder) {
	w.WriteString("\n| workload | depth | connections | target | commands/s | of direct |" +
		" of twemproxy | CPU µs/command | of twemproxy's | server's CPU µs/command |\n" +
		"|---|--:|--:|---|--:|--:|--:|--:|--:|--:|\n")
	for _, c := range b.cells {
		for _, t := range b.targets {
			k := key{t.name, c}
			cpu, cpuRatio := "", ""
			if t.proxy != nil {
				cpu = fmt.Sprintf("%.2f", b.median(k, proxyCPU))
				cpuRatio = harness.Ratio(b.against(k, "twemproxy", proxyCPU))
			}
			fmt.Fprintf(w, "| %s | %d | %d | %s | %.0f | %s | %s | %s | %s | %.2f |\n",
				c.workload, c.depth, c.connections, t.name, b.median(k, opsPerSecond),
				harness.Ratio(b.against(k, "direct", opsPerSecond)),
				harness.Ratio(b.against(k, "twemproxy", opsPerSecond)),
				cpu, cpuRatio, b.median(k, serverCPU))
		}
	}
}

// against returns a figure of a cell divided by the same figure of another target, 0 without one.
func (b *bench) against(k key, other string, figure func(sample) float64) float64 {
	if base := b.median(key{other, k.cell}, figure); base > 0 {
		return b.median(k, figure) / base
	}
	return 0
}

// goal is a limit that the proxy must keep in every cell of a depth.
type goal struct {
	text   string
	other  string
	depth  int // 0: every depth
	limit  harness.Limit
	figure func(sample) float64
}

var goals = []goal{
	{"CPU per command at most 0.75 of twemproxy's", "twemproxy", 1, harness.Limit{Value: 0.75, AtMost: true}, proxyCPU},
	{"CPU per command at most 0.25 of twemproxy's", "twemproxy", 16, harness.Limit{Value: 0.25, AtMost: true}, proxyCPU},
	{"throughput at least 1.1 of twemproxy's", "twemproxy", 1, harness.Limit{Value: 1.1}, opsPerSecond},
	{"throughput at least 2.0 of twemproxy's", "twemproxy", 16, harness.Limit{Value: 2}, opsPerSecond},
	{"throughput at least 0.9 of direct", "direct", 0, harness.Limit{Value: 0.9}, opsPerSecond},
}

// writeGoals writes the number of cells that reach each goal, and the others with their figure.
func (b *bench) writeGoals(w *strings.Builder) {
	w.WriteString("\n| goal | depth | cells that reach it | the others |\n|---|--:|--:|---|\n")
	for _, g := range goals {
		all, missed := 0, []string{}
		for _, c := range b.cells {
			r := b.against(key{"holdfast", c}, g.other, g.figure)
			if r == 0 || (g.depth != 0 && g.depth != c.depth) {
				continue
			}
			all++
			if !g.limit.Holds(r) {
				missed = append(missed, fmt.Sprintf("%s depth %d × %d: %.2f",
					c.workload, c.depth, c.connections, r))
			}
		}
		depth := "all"
		if g.depth != 0 {
			depth = fmt.Sprint(g.depth)
		}
		fmt.Fprintf(w, "| %s | %s | %d of %d | %s |\n", g.text, depth, all-len(missed), all,
			strings.Join(missed, ", "))
	}
}

// A pair is two targets of which the first may take limit times the CPU per command of the second.
type pair struct {
	one, other string
	goal       string // with a verb for the limit
	limit      float64
}

// The pairs: rules that do not concern a command cost nothing, and a change makes no command dearer.
var (
	rulesPair  = pair{withRules, "holdfast", "CPU per command with 50 rules at most %.2f of that with the default rule", 1.03}
	beforePair = pair{"holdfast", before, "CPU per command at most %.2f of that of the build before", 1.03}
)

// writePair compares two targets. The difference is far below the variation of one run, so it is the
// median over all runs of a depth, each divided by its neighbour; a quarter of the runs lies below and
// above the range.
func (b *bench) writePair(w *strings.Builder, p pair) {
	heading := "\n| goal | depth | median | half of the runs | runs | |\n|---|--:|--:|---|--:|---|\n"
	for _, depth := range []int{0, 1, 16} {
		all := b.pairs(p.one, p.other, depth, proxyCPU)
		if len(all) == 0 {
			continue
		}
		slices.Sort(all)
		m, verdict, name := harness.Median(all), "reached", fmt.Sprint(depth)
		if m > p.limit {
			verdict = "missed"
		}
		if depth == 0 {
			name = "all"
		}
		fmt.Fprintf(w, "%s| "+p.goal+" | %s | %.3f | %.3f to %.3f | %d | %s |\n", heading, p.limit, name, m,
			all[len(all)/4], all[(3*len(all)-1)/4], len(all), verdict)
		heading = ""
	}
}
