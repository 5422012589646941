package proxy

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"holdfast/policy"
)

// ruleLogPause is the least time between two lines about one rule.
const ruleLogPause = 10 * time.Second

// A ruleLog logs the commands that the rules refuse, or would refuse: the first of a rule at once,
// and the following ones as one line every ten seconds, so that a client that sends nothing else
// neither fills the disk nor hides another. It shows names of commands and never arguments.
//
// Loops call hit, which takes a mutex for a few instructions and never waits for the log. Its own
// goroutine writes the lines, since their reader may be slow. All workers share one ruleLog, and so
// one line.
type ruleLog struct {
	log  *slog.Logger
	wake chan struct{} // one token: a rule has no line yet

	quit, done chan struct{}
	begun      bool // start was called

	mu    sync.Mutex
	rules map[ruleLogKey]*ruleHits
}

type ruleLogKey struct {
	rule     string
	observed bool
}

// ruleHit is one command that a rule names.
type ruleHit struct {
	command, user, client string
	why                   string // of code
}

// ruleHits holds one rule's hits that are not logged yet. It is kept for as long as it holds lines
// back.
type ruleHits struct {
	first ruleHit   // logged at once
	told  bool      // first has been logged
	count uint64    // hits after it, or after the last line
	last  ruleHit   // the newest of them
	next  time.Time // earliest time of their line
}

func newRuleLog(log *slog.Logger) *ruleLog {
	return &ruleLog{
		log: log, wake: make(chan struct{}, 1), rules: map[ruleLogKey]*ruleHits{},
		quit: make(chan struct{}), done: make(chan struct{}),
	}
}

// start starts the goroutine; stop ends it, after it has logged the rest.
func (r *ruleLog) start() {
	r.begun = true
	go r.run()
}

func (r *ruleLog) stop() {
	if r.begun {
		close(r.quit)
		<-r.done
	}
}

// hit notes a command that a rule has refused or, with observed, would have refused. It does not
// block, and may be called from any loop.
func (r *ruleLog) hit(rule string, observed bool, hit ruleHit) {
	key := ruleLogKey{rule, observed}
	r.mu.Lock()
	h := r.rules[key]
	if h == nil {
		r.rules[key] = &ruleHits{first: hit}
	} else {
		h.count++
		h.last = hit
	}
	r.mu.Unlock()
	if h == nil {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// run is the writing goroutine. Started by start, joined by stop.
func (r *ruleLog) run() {
	defer close(r.done)
	timer := time.NewTimer(ruleLogPause)
	defer timer.Stop()
	for {
		select {
		case <-r.wake:
		case <-timer.C:
		case <-r.quit:
			r.tell(true)
			return
		}
		timer.Reset(r.tell(false))
	}
}

// tell writes the lines that are due, or with all every one, and returns the time until the next is
// due, unless wake comes first.
func (r *ruleLog) tell(all bool) time.Duration {
	due, wait := r.take(time.Now(), all)
	for key, h := range due {
		level, verb := slog.LevelWarn, "refused"
		if key.observed {
			level, verb = slog.LevelInfo, "would refuse"
		}
		if !h.told {
			r.log.Log(context.Background(), level, "a rule "+verb+" a command", append([]any{"rule",
				key.rule, "command", h.first.name(), "user", h.first.user, "client",
				h.first.client}, h.first.reason()...)...)
		}
		if h.count > 0 {
			r.log.Log(context.Background(), level, "a rule "+verb+" commands", append([]any{"rule",
				key.rule, "count", h.count, "last_command", h.last.name(), "last_user",
				h.last.user, "last_client", h.last.client}, h.last.reason()...)...)
		}
	}
	return wait
}

// name is the command's name, if the table knows it: an unknown one may contain anything, and is
// not logged.
func (h *ruleHit) name() string {
	if h.command == "" {
		return "(unknown)"
	}
	return h.command
}

func (h *ruleHit) reason() []any {
	if h.why == "" {
		return nil
	}
	return []any{"code", h.why}
}

// take removes the hits that are due. A rule without hits for a whole pause is forgotten, so that
// its next command is logged at once again.
func (r *ruleLog) take(now time.Time, all bool) (map[ruleLogKey]ruleHits, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	due, wait := map[ruleLogKey]ruleHits{}, ruleLogPause
	for key, h := range r.rules {
		rest := h.next.Sub(now)
		switch {
		case all:
			due[key] = *h
			delete(r.rules, key)
		case !h.told:
			due[key] = ruleHits{first: h.first}
			h.told, h.next = true, now.Add(ruleLogPause)
		case rest > 0:
			wait = min(wait, rest)
		case h.count == 0:
			delete(r.rules, key)
		default:
			due[key] = *h
			h.count, h.next = 0, now.Add(ruleLogPause)
		}
	}
	return due, wait
}

// tellHit logs the effect, actual or observed, of a rule on a command.
func (f *frame) tellHit(r *policy.Rule, observed bool) {
	if observed && r.Action == policy.Allow {
		return
	}
	s := f.s
	s.w.srv.hits.hit(r.Name, observed, ruleHit{f.cmd.Name, s.ident.userName(), s.conn.RemoteAddr(),
		f.ruleReason(r)})
}
