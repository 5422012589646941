package failover

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/loadtest/crash/history"
	"holdfast/proxy/proxytest"
)

// A round is one scenario on one stack.
type round struct {
	*stack
	sc   *scenario
	load *load
	form
	fills, filled int // values and bytes that fill the tail of the journal
}

// A form says how strictly a round is judged.
type form struct {
	full   bool // with HAProxy beside the proxies
	timely bool // the proxies get their processor time
}

// kept reports whether nothing of a kind may be lost.
func (r *round) kept(k *kind) bool {
	sc := r.sc
	return slices.Contains(sc.proven, k) || r.timely && slices.Contains(sc.keeps, k)
}

// A tally counts the results of one kind's clients.
type tally struct {
	acked, lost int
	pause       time.Duration // the longest of a client
	errors      map[string]int
}

// An outcome is the result of a round.
type outcome struct {
	sc       *scenario
	of       map[*kind]*tally
	problems []string
	incident bool // a proxy names a loss
	filled   int  // bytes of the tail that only the journal had
}

// play plays a scenario.
func play(t *testing.T, sc *scenario, server string, clients int, v variant, f form) *outcome {
	t.Helper()
	v.settings += sc.settings
	r := &round{stack: newStack(t, server, sc, v, f.full), sc: sc, form: f}
	r.load = startLoad(clients, uint64(time.Now().UnixNano()), r.kinds(), r.addresses)
	r.more(10, all...)
	sc.strike(r)
	if !sc.stays {
		r.moved()
	}
	r.more(10, plain, journal)
	settled := r.load.Clock()
	r.load.stop()
	out := r.judge(settled)
	if out.of[plain].pause > longPause || out.incident && !sc.apart {
		r.explain()
	}
	return out
}

// longPause is longer than a failover without a mishap, such as an election without a winner.
const longPause = 6 * time.Second

// explain logs the proxies' and the sentinels' accounts of the failover.
func (r *round) explain() {
	for _, f := range r.proxies {
		text, err := os.ReadFile(filepath.Join(f.dir, "proxy.log"))
		r.Logf("%s, %v:\n%s", f.dir, err, text)
	}
	for _, w := range r.Sentinels {
		text, err := os.ReadFile(filepath.Join(w.Dir, "server.log"))
		if err != nil {
			r.Log(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, " # ") || strings.Contains(line, "failover") || strings.Contains(line, "slave-reconf") {
				r.Log(w.Addr, " ", strings.TrimSpace(line))
			}
		}
	}
}

// more waits until each client of some kinds, through a proxy that runs, has got n more replies.
func (r *round) more(n int64, of ...*kind) {
	r.Helper()
	want := make([]int64, len(r.load.clients))
	for i, c := range r.load.clients {
		want[i] = c.acked.Load() + n
	}
	for i, c := range r.load.clients {
		if slices.Contains(of, c.kind) {
			proxytest.Poll(r.T, fmt.Sprintf("client %d (%s) to go on", c.id, c.kind.name), func() bool {
				return c.acked.Load() >= want[i]
			})
		}
	}
}

// moved waits until another server is the primary.
func (r *round) moved() {
	r.Helper()
	proxytest.Poll(r.T, "the sentinels to name another primary", func() bool {
		srv := r.named()
		return srv != nil && srv != r.Primary
	})
}

// judge compares the acknowledged writes with the data of the primary.
func (r *round) judge(settled time.Duration) *outcome {
	r.Helper()
	out := &outcome{sc: r.sc, of: map[*kind]*tally{}}
	var last *proxytest.Server
	proxytest.Poll(r.T, "a primary", func() bool { last = r.named(); return last != nil })
	if r.sc.stays && last != r.Primary { // others may have failed over once more, to the first one
		out.problems = append(out.problems, "the primary is "+last.Addr)
	}
	for _, k := range r.kinds() {
		out.of[k] = r.judgeKind(k, last, settled, out)
	}
	out.filled = r.filled
	if n := r.unfilled(last); n > 0 {
		out.of[journal].lost++
		if r.kept(journal) {
			out.problems = append(out.problems, fmt.Sprintf("%d of %d bytes of the tail are missing", n, r.filled))
		}
	}
	if out.of[journal].lost > 0 {
		proxytest.Poll(r.T, "an incident that names the loss", func() bool {
			return slices.ContainsFunc(r.proxies, func(f *front) bool { return f.losses() > 0 })
		})
		out.incident = true
	}
	return out
}

// judgeKind judges one kind's writes.
func (r *round) judgeKind(k *kind, last *proxytest.Server, settled time.Duration, out *outcome) *tally {
	r.Helper()
	sum := &tally{errors: map[string]int{}}
	state := history.NewState()
	var logs []*history.Log
	for _, c := range r.load.clients {
		if c.kind != k {
			continue
		}
		logs = append(logs, &c.log)
		sum.pause = max(sum.pause, c.gap)
		sum.acked += int(c.acked.Load())
		for text, n := range c.errors {
			sum.errors[text] += n
		}
		key := fmt.Sprintf("%s:log:%d", k.prefix, c.id)
		tags, _ := last.MustDo("LRANGE", key, 0, -1).([]any)
		for _, tag := range tags {
			state.Add(key, fmt.Sprint(tag))
		}
	}
	log := history.Join(logs)
	kept := r.kept(k)
	problem := func(p history.Problem) { out.problems = append(out.problems, k.name+": "+p.String()) }
	for _, p := range history.CheckLedger(log.Writes, state) {
		if p.What == history.Lost {
			sum.lost++
			if !kept {
				continue
			}
		}
		problem(p)
	}
	if kept {
		at := time.Duration(r.load.struck.Load())
		for _, p := range history.Across(log.Ops, []history.Turmoil{{From: at, To: settled}}) {
			problem(p)
		}
	}
	if r.sc.errorless && r.timely && k == plain {
		for text, n := range sum.errors {
			out.problems = append(out.problems, fmt.Sprintf("plain clients saw %d of: %s", n, text))
		}
	}
	return sum
}
