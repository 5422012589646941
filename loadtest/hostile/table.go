package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// table is the result.
type table []row

// at is a quantile of sorted latencies; 0 of none.
func at(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	return times[min(int(q*float64(len(times))), len(times)-1)]
}

func (s sample) p99() (quiet, during time.Duration) { return at(s.quiet, 0.99), at(s.during, 0.99) }

// worst is the ratio of the p99 during an attack to the one before.
func (s sample) worst() float64 {
	quiet, during := s.p99()
	return float64(during) / float64(max(quiet, 1))
}

// goal bounds that ratio.
const goal = 2.0

// misses reports whether the proxy exceeds both the goal and the direct ratio.
func (r row) misses() bool {
	_, direct := r.direct.p99()
	_, during := r.proxied.p99()
	return r.proxied.worst() > goal && during > direct
}

func (t table) check() error {
	var errs []error
	for _, r := range t {
		if r.misses() {
			errs = append(errs, fmt.Errorf("%s: the p99 rises %.1f times", r.attack.name, r.proxied.worst()))
		}
	}
	return errors.Join(errs...)
}

func (t table) String() string {
	var b strings.Builder
	b.WriteString("p50 and p99 in ms of GETs beside an attack; p99 × is the p99 during it by that before it. The goal " +
		"is 2, or no more ms than directly.\n\n" +
		"| attack | | p50 before | during | p99 before | during | p99 × |\n|---|---|--:|--:|--:|--:|--:|\n")
	for _, r := range t {
		name := r.attack.what
		if len(r.direct.quiet) > 0 {
			fmt.Fprintf(&b, "| %s | directly%s | %s |\n", name, reached(r.direct.pace), r.direct)
			name = ""
		}
		mark := ""
		if r.misses() {
			mark = " (missed)"
		}
		fmt.Fprintf(&b, "| %s | proxy%s | %s%s |\n", name, reached(r.proxied.pace), r.proxied, mark)
	}
	return b.String()
}

// reached is the pace of an attack in a line of the table.
func reached(pace string) string {
	if pace == "" {
		return ""
	}
	return ", " + pace
}

// String is the last cells of a line of the table.
func (s sample) String() string {
	quiet, during := s.p99()
	return fmt.Sprintf("%s | %s | %s | %s | %.1f", ms(at(s.quiet, 0.5)), ms(at(s.during, 0.5)), ms(quiet), ms(during),
		s.worst())
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }
