// Package seldom logs lasting conditions: a full disk is news when it begins and when it ends, and
// not each second in between.
package seldom

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// The second line about a condition comes at least Least after the first; each further pause is
// twice as long as the last, up to Most.
const (
	Least = time.Minute
	Most  = time.Hour
)

// A Log reports conditions: each at once, then seldom, with the number of times since the last
// line. Two are the same if their messages are, and their errors but for numbers: those name a
// port, a file or a size that differs each time. Its zero value is ready. It may be used from any
// goroutine.
type Log struct {
	Now func() time.Time // the clock; nil: the machine's

	mu  sync.Mutex
	all map[condition]*told
}

type condition struct{ msg, err string }

// told is the state of a condition's last line.
type told struct {
	times int // since the last line
	last  time.Time
	next  time.Time // time from which a line is due again
	pause time.Duration
	began time.Time
}

// maxConditions bounds the number of conditions kept.
const maxConditions = 256

// Tell records a condition, and logs it if a line is due. err may be nil.
func (l *Log) Tell(to *slog.Logger, level slog.Level, msg string, err error, attrs ...any) {
	c, text := condition{msg: msg}, ""
	if err != nil {
		text = err.Error()
		c.err = withoutNumbers(text)
	}
	again, due := l.meet(c)
	if !due {
		return
	}
	if err != nil {
		attrs = append(attrs, "error", text)
	}
	to.Log(context.Background(), level, msg, append(attrs, again...)...)
}

// meet counts, and returns whether a line is due and its attributes for the earlier times.
func (l *Log) meet(c condition) (again []any, due bool) {
	now := time.Now()
	if l.Now != nil {
		now = l.Now()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.all[c]
	if t != nil && now.Sub(t.last) > max(t.pause, Least) { // it was over
		delete(l.all, c)
		t = nil
	}
	if t == nil {
		if len(l.all) >= maxConditions {
			clear(l.all)
		}
		if l.all == nil {
			l.all = map[condition]*told{}
		}
		l.all[c] = &told{last: now, next: now.Add(Least), pause: Least, began: now}
		return nil, true
	}
	t.times++
	t.last = now
	if now.Before(t.next) {
		return nil, false
	}
	again = []any{"times", t.times, "since", t.began.UTC().Format(time.RFC3339)}
	t.times, t.pause = 0, min(2*t.pause, Most)
	t.next = now.Add(t.pause)
	return again, true
}

// Forget ends the conditions of a message, without a line: another message reports it.
func (l *Log) Forget(msg string) { l.end(msg) }

// Over ends the conditions of a message, with a line if there was one about them.
func (l *Log) Over(to *slog.Logger, msg string) {
	if t := l.end(msg); t != nil {
		to.Info(msg+": it works again", "since", t.began.UTC().Format(time.RFC3339), "times", t.times)
	}
}

// end forgets the conditions of a message; nil: there were none.
func (l *Log) end(msg string) *told {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out *told
	for c, t := range l.all {
		if c.msg != msg {
			continue
		}
		if out != nil {
			t.times, t.began = t.times+out.times, earlier(t.began, out.began)
		}
		out = t
		delete(l.all, c)
	}
	return out
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// withoutNumbers removes the digits of a text.
func withoutNumbers(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
}
