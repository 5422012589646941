package failover

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/loadtest/harness"
)

// A book is the account of all rounds.
type book struct {
	began   time.Time
	load    string // of the machine then
	clients int

	mu   sync.Mutex
	rows []*row
}

// A row is the rounds of one scenario on one kind of server.
type row struct {
	sc     *scenario
	server string
	rounds []*outcome
}

// enter adds a round, and fails its test for each problem.
func (b *book) enter(t *testing.T, server string, o *outcome) {
	t.Helper()
	for i, p := range o.problems {
		if i == shownProblems {
			t.Errorf("and %d more", len(o.problems)-i)
			break
		}
		t.Error(p)
	}
	for _, k := range shownKinds {
		s := o.of[k]
		if s == nil {
			continue
		}
		t.Logf("%-12s %6d replies, %5d lost, pause %v, errors %v", k.name, s.acked, s.lost,
			s.pause.Round(time.Millisecond), s.errors)
	}
	if o.filled > 0 {
		t.Logf("a tail of %d bytes", o.filled)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at := slices.IndexFunc(b.rows, func(r *row) bool { return r.sc == o.sc && r.server == server })
	if at < 0 {
		at, b.rows = len(b.rows), append(b.rows, &row{sc: o.sc, server: server})
	}
	b.rows[at].rounds = append(b.rows[at].rounds, o)
}

// shownProblems is how many problems of a round are printed.
const shownProblems = 6

// table is the section of loadtest/RESULTS.md.
func (b *book) table() string {
	var t strings.Builder
	fmt.Fprintf(&t, "## Failovers\n\n%s; %s, %s; %d clients. Settings of the proxies: %s. Lost: acknowledged writes "+
		"that the new primary lacks, of all acknowledged commands of all rounds. Pause: of the client that waited "+
		"longest, median and maximum of the rounds. Tail: what only the journal had, at least; likewise. Errors: of plain "+
		"clients, per round.\n\n",
		harness.Machine(), b.load, b.began.Format(time.DateOnly), b.clients, b.settings())
	t.WriteString("| what happens | server | rounds |")
	for _, k := range shownKinds {
		fmt.Fprintf(&t, " lost, %s |", k.name)
	}
	t.WriteString(" tail | pause, plain | pause, journal | errors, plain |\n|---|---|--:|")
	t.WriteString(strings.Repeat("--:|", len(shownKinds)) + "--:|--:|--:|---|\n")
	for _, r := range b.rows {
		fmt.Fprintf(&t, "| %s | %s | %d |", r.sc.name, r.server, len(r.rounds))
		for _, k := range shownKinds {
			acked, lost := 0, 0
			for _, o := range r.rounds {
				acked, lost = acked+o.of[k].acked, lost+o.of[k].lost
			}
			fmt.Fprintf(&t, " %d of %d |", lost, acked)
		}
		fmt.Fprintf(&t, " %s | %s | %s | %s |\n", r.tail(), r.pause(plain), r.pause(journal), r.errors(plain))
	}
	return t.String()
}

func (b *book) settings() string {
	if *settingsFlag == "" {
		return "the defaults"
	}
	return "`" + *settingsFlag + "`"
}

// pause is the median and the maximum of the rounds.
func (r *row) pause(k *kind) string {
	var all []time.Duration
	for _, o := range r.rounds {
		all = append(all, o.of[k].pause)
	}
	slices.Sort(all)
	return fmt.Sprintf("%.2f s, %.2f s", all[len(all)/2].Seconds(), all[len(all)-1].Seconds())
}

// tail is the median and the maximum size of the tails that only a journal had.
func (r *row) tail() string {
	var all []int
	for _, o := range r.rounds {
		all = append(all, o.filled)
	}
	slices.Sort(all)
	if all[len(all)-1] == 0 {
		return ""
	}
	return fmt.Sprintf("%d MB, %d MB", all[len(all)/2]>>20, all[len(all)-1]>>20)
}

// errors lists the errors of a kind, per round.
func (r *row) errors(k *kind) string {
	sum := map[string]int{}
	for _, o := range r.rounds {
		for text, n := range o.of[k].errors {
			sum[text] += n
		}
	}
	var out []string
	for text, n := range sum {
		out = append(out, fmt.Sprintf("%.1f %s", float64(n)/float64(len(r.rounds)), text))
	}
	slices.Sort(out)
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}
