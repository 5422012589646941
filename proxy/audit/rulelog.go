package audit

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// rulePause is the least time between two lines about one rule.
const rulePause = 10 * time.Second

// A RuleLog logs the commands that the rules refuse, or would refuse: the first of a rule at once,
// and the following ones as one line every ten seconds, so that a client that sends nothing else
// neither fills the disk nor hides another. It shows names of commands and never arguments.
//
// Loops call Hit, which takes a mutex for a few instructions and never waits for the log. Its own
// goroutine writes the lines, since their reader may be slow. All workers share one RuleLog, and so
// one line.
type RuleLog struct {
	log  *slog.Logger
	wake chan struct{} // one token: a rule has no line yet

	quit, done chan struct{}
	begun      bool // Start was called

	mu    sync.Mutex
	rules map[ruleKey]*ruleHits
}

type ruleKey struct {
	rule     string
	observed bool
}

// A Hit is one command that a rule names.
type Hit struct {
	Command, User, Client string
	Why                   string // of code
}

// ruleHits holds one rule's hits that are not logged yet. It is kept for as long as it holds lines
// back.
type ruleHits struct {
	first Hit       // logged at once
	told  bool      // first has been logged
	count uint64    // hits after it, or after the last line
	last  Hit       // the newest of them
	next  time.Time // earliest time of their line
}

// NewRuleLog makes a rule log, which Start starts.
func NewRuleLog(log *slog.Logger) *RuleLog {
	return &RuleLog{
		log: log, wake: make(chan struct{}, 1), rules: map[ruleKey]*ruleHits{},
		quit: make(chan struct{}), done: make(chan struct{}),
	}
}

// Start starts the goroutine; Stop ends it, after it has logged the rest.
func (r *RuleLog) Start() {
	r.begun = true
	go r.run()
}

func (r *RuleLog) Stop() {
	if r.begun {
		close(r.quit)
		<-r.done
	}
}

// Hit notes a command that a rule has refused or, with observed, would have refused. It does not
// block, and may be called from any loop.
func (r *RuleLog) Hit(rule string, observed bool, hit Hit) {
	key := ruleKey{rule, observed}
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

// run is the writing goroutine. Started by Start, joined by Stop.
func (r *RuleLog) run() {
	defer close(r.done)
	timer := time.NewTimer(rulePause)
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
func (r *RuleLog) tell(all bool) time.Duration {
	due, wait := r.take(time.Now(), all)
	for key, h := range due {
		level, verb := slog.LevelWarn, "refused"
		if key.observed {
			level, verb = slog.LevelInfo, "would refuse"
		}
		if !h.told {
			r.log.Log(context.Background(), level, "a rule "+verb+" a command", append([]any{"rule",
				key.rule, "command", h.first.name(), "user", h.first.User, "client",
				h.first.Client}, h.first.reason()...)...)
		}
		if h.count > 0 {
			r.log.Log(context.Background(), level, "a rule "+verb+" commands", append([]any{"rule",
				key.rule, "count", h.count, "last_command", h.last.name(), "last_user",
				h.last.User, "last_client", h.last.Client}, h.last.reason()...)...)
		}
	}
	return wait
}

// name is the command's name, if the table knows it: an unknown one may contain anything, and is
// not logged.
func (h *Hit) name() string {
	if h.Command == "" {
		return "(unknown)"
	}
	return h.Command
}

func (h *Hit) reason() []any {
	if h.Why == "" {
		return nil
	}
	return []any{"code", h.Why}
}

// take removes the hits that are due. A rule without hits for a whole pause is forgotten, so that
// its next command is logged at once again.
func (r *RuleLog) take(now time.Time, all bool) (map[ruleKey]ruleHits, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	due, wait := map[ruleKey]ruleHits{}, rulePause
	for key, h := range r.rules {
		rest := h.next.Sub(now)
		switch {
		case all:
			due[key] = *h
			delete(r.rules, key)
		case !h.told:
			due[key] = ruleHits{first: h.first}
			h.told, h.next = true, now.Add(rulePause)
		case rest > 0:
			wait = min(wait, rest)
		case h.count == 0:
			delete(r.rules, key)
		default:
			due[key] = *h
			h.count, h.next = 0, now.Add(rulePause)
		}
	}
	return due, wait
}
