package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// report is what a run has found.
type report struct {
	classes []*class
	took    []time.Duration // without an accept, by round
	silence [2][]time.Duration
	slowest [2][]time.Duration

	lost                      int
	timelines, gaps, segments int
	broken                    []string // other findings
}

// round ends a round.
func (r *report) round(took time.Duration) {
	r.took = append(r.took, took)
	for i, c := range r.classes {
		silence, slowest := c.times()
		r.silence[i], r.slowest[i] = append(r.silence[i], silence), append(r.slowest[i], slowest)
	}
}

// check is the verdict.
func (r *report) check() error {
	var all []error
	for _, c := range r.classes {
		for why, n := range c.refused {
			all = append(all, fmt.Errorf("%s: %d connections were refused: %s", c.prefix, n, why))
		}
		for why, n := range c.wrong {
			all = append(all, fmt.Errorf("%s: %d writes got %s", c.prefix, n, why))
		}
		if c.ended == 0 {
			all = append(all, fmt.Errorf("%s: no connection has ended: the processes have not changed", c.prefix))
		}
	}
	if r.lost > 0 {
		all = append(all, fmt.Errorf("%d acknowledged writes are lost", r.lost))
	}
	if r.timelines != 1 || r.gaps > 0 || r.segments <= len(r.took) {
		all = append(all, fmt.Errorf("the journal has %d timelines, %d gaps, %d segments", r.timelines, r.gaps, r.segments))
	}
	for _, b := range r.broken {
		all = append(all, errors.New(b))
	}
	return errors.Join(all...)
}

// table is the section of the results.
func (r *report) table(o options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Upgrades\n\n%s, %s; %s. Command: `go run ./loadtest/upgrade --rounds %d --clients %d`. TCP, unix and TLS "+
		"clients; half of them\nconnect for %d writes at a time. Times: median and maximum of the rounds.\n\n",
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), harness.Machine(), harness.Load(), o.rounds, o.clients, shortStay)
	b.WriteString("| writes | answered OK | connections refused | errors | acknowledged and lost | connections ended | of them " +
		"before an answer | longest time without an answer | slowest from connect to the first answer |\n" +
		"|---|--:|--:|---|--:|--:|--:|--:|--:|\n")
	for i, c := range r.classes {
		name := map[string]string{"pay": "that wait for the journal", "plain": "others"}[c.prefix]
		lost := "0"
		if r.lost > 0 {
			lost = fmt.Sprint(r.lost, " in all")
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %d | %d | %s | %s |\n", name, c.writes, sum(c.refused), list(c.wrong), lost,
			c.ended+c.unheard, c.unheard, spread(r.silence[i]), spread(r.slowest[i]))
	}
	fmt.Fprintf(&b, "\n%d upgrades; from \"go\" to the new process's first accept %s. The journal: %d timeline, %d gaps, %d segments; "+
		"`journal verify` and\n`proxy diff` %s.\n", len(r.took), spread(r.took), r.timelines, r.gaps, r.segments, verdict(r.broken))
	return b.String()
}

func verdict(broken []string) string {
	if len(broken) == 0 {
		return "find nothing"
	}
	return "find: " + strings.Join(broken, "; ")
}

func sum(m map[string]int) (n int) {
	for _, k := range m {
		n += k
	}
	return n
}

func list(m map[string]int) string {
	if len(m) == 0 {
		return "none"
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprint(m[k], " ", k))
	}
	return strings.Join(out, ", ")
}

// spread is median and maximum.
func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	s := slices.Sorted(slices.Values(all))
	return fmt.Sprintf("%s, %s", round(s[len(s)/2]), round(s[len(s)-1]))
}

func round(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
