package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// A book is the account of all rounds.
type book struct {
	out    io.Writer
	began  time.Time
	seed   uint64
	server string
	proofs []string
	lines  []*line
}

// A line sums up the rounds of one scenario.
type line struct {
	*scenario
	rounds, failed int
	sum            account
}

// shownProblems is how many problems of a round are printed.
const shownProblems = 4

func (b *book) proved(sc *scenario, rounds int) {
	fmt.Fprintf(b.out, "ok    the harness finds the loss: %s (round %d)\n", sc.name, rounds)
	b.proofs = append(b.proofs, fmt.Sprintf("| %s: %s | %d |", sc.name, sc.about, rounds))
}

// enter adds a round and prints it.
func (b *book) enter(sc *scenario, seed uint64, a *account) {
	l := b.line(sc)
	l.rounds++
	s := &l.sum
	s.acked, s.unconfirmed, s.unknown = s.acked+a.acked, s.unconfirmed+a.unconfirmed, s.unknown+a.unknown
	s.refused, s.reads = s.refused+a.refused, s.reads+a.reads
	s.lives, s.faults = s.lives+a.lives, s.faults+a.faults
	word := "ok   "
	if len(a.problems) > 0 {
		word = "FAIL "
		l.failed++
		s.problems = append(s.problems, a.problems...)
	}
	fmt.Fprintf(b.out, "%s %-30s seed %d: %d acknowledged, %d unconfirmed, %d unknown, %d refused, "+
		"%d reads; %d faults\n", word, sc.name, seed, a.acked, a.unconfirmed, a.unknown, a.refused,
		a.reads, a.faults)
	for i, p := range a.problems {
		if i == shownProblems {
			fmt.Fprintf(b.out, "      and %d more\n", len(a.problems)-i)
			break
		}
		fmt.Fprintf(b.out, "      %s\n", p)
	}
	if len(a.problems) > 0 {
		fmt.Fprintf(b.out, "      faults: %s\n      logs: %s\n", strings.Join(a.happened, ", "), a.dir)
	}
}

func (b *book) line(sc *scenario) *line {
	for _, l := range b.lines {
		if l.name == sc.name {
			return l
		}
	}
	l := &line{scenario: sc}
	b.lines = append(b.lines, l)
	return l
}

func (b *book) summary(out io.Writer) {
	for _, l := range b.lines {
		fmt.Fprintf(out, "%-32s %4d rounds, %4d primaries killed, %8d acknowledged, %d failed\n",
			l.name, l.rounds, l.sum.lives, l.sum.acked, l.failed)
	}
}

// section is for loadtest/RESULTS.md.
func (b *book) section() string {
	var t strings.Builder
	fmt.Fprintf(&t, "## Crashes\n\n%s, %s, %s; %s, seed %d.\n\n", harness.Machine(), b.server,
		b.began.Format(time.DateOnly), time.Since(b.began).Round(time.Minute), b.seed)
	t.WriteString("| what happens | rounds | primaries killed | other faults | acknowledged | " +
		"unconfirmed | unknown | refused | reads | rounds with a loss or another fault |\n" +
		"|---|---|---|---|---|---|---|---|---|---|\n")
	for _, l := range b.lines {
		s := &l.sum
		fmt.Fprintf(&t, "| %s: %s | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n", l.name, l.about,
			l.rounds, s.lives, s.faults, s.acked, s.unconfirmed, s.unknown, s.refused, s.reads,
			l.failed)
	}
	if len(b.proofs) > 0 {
		t.WriteString("\nThe harness finds the loss where there is no gate, and where one is lied " +
			"to:\n\n| what | found in round |\n|---|---|\n" + strings.Join(b.proofs, "\n") + "\n")
	}
	return t.String()
}

// verdict is the error of the run.
func (b *book) verdict() error {
	failed, rounds := 0, 0
	for _, l := range b.lines {
		failed, rounds = failed+l.failed, rounds+l.rounds
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d rounds failed", failed, rounds)
	}
	return nil
}
