package putback

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/journal/keyspace"
	"holdfast/journal/stream"
)

// MaxKeys bounds the keys that a span may touch, including those touched after it.
const MaxKeys = 5_000_000

// ErrTooMany says that a span touches more than MaxKeys keys.
var ErrTooMany = errors.New("too many keys")

// Span is a part of the stream: the commands that begin at From or later and before To.
type Span struct{ From, To int64 }

// mark is the stream's evidence about one key.
type mark struct {
	within   bool  // the span touches it
	outside  bool  // another command has touched it since the point
	timed    bool  // the span has changed its deadline, to:
	deadline int64 // in milliseconds since 1970; 0: none
	gone     int64 // time of a DEL of it alone after the span; 0: none
}

// marks is the stream's evidence about the keys since the point.
type marks struct {
	span  Span
	point int64
	keys  map[keyspace.Key]*mark
	// Databases whose every key may have been touched; -1: all of them.
	within, outside map[int]bool
	full            bool
	by              func(name string) bool // of the span's commands; nil: all
	names           map[string]int64       // of the span's commands that touch keys
}

func newMarks(point int64, span Span, by func(name string) bool) *marks {
	return &marks{span: span, point: point, by: by, names: make(map[string]int64), keys: make(map[keyspace.Key]*mark),
		within: make(map[int]bool), outside: make(map[int]bool)}
}

// has reports whether a set of databases has one, or all.
func has(dbs map[int]bool, db int) bool { return dbs[-1] || dbs[db] }

// take applies a command.
func (m *marks) take(c *stream.Command) error {
	if c.Start < m.point || len(c.Args) == 0 {
		return nil
	}
	inSpan, touched := c.Start >= m.span.From && c.Start < m.span.To, false
	within := inSpan && (m.by == nil || m.by(nameOf(c)))
	c.Touches(func(db int, name []byte) {
		touched = touched || !isOwn(string(name))
		k := m.keys[keyspace.Key{DB: db, Name: string(name)}]
		if k == nil {
			k = m.add(keyspace.Key{DB: db, Name: string(name)}, c.Start)
		}
		if k != nil {
			k.note(c, within)
		}
	}, func(db int) {
		touched = true
		if within {
			m.within[db] = true
		} else {
			m.outside[db] = true
		}
	})
	if inSpan && touched {
		m.names[nameOf(c)]++
	}
	if m.full {
		return fmt.Errorf("%w: the commands from offset %d to %d touch more than %d: restore the "+
			"point into another server instead", ErrTooMany, m.span.From, m.span.To, MaxKeys)
	}
	return nil
}

func nameOf(c *stream.Command) string { return strings.ToLower(string(c.Args[0])) }

// add begins to track a key. One that only commands behind the span touch is of no interest, unless
// the span may have touched any key.
func (m *marks) add(key keyspace.Key, at int64) *mark {
	if isOwn(key.Name) || at >= m.span.To && len(m.within) == 0 {
		return nil
	}
	if len(m.keys) >= MaxKeys {
		m.full = true
		return nil
	}
	k := &mark{}
	m.keys[key] = k
	return k
}

// isOwn reports whether a key is the proxy's own, or ours.
func isOwn(name string) bool { return stream.IsOwn(name) || name == unshiftedKey }

// note records a command on the key.
func (k *mark) note(c *stream.Command, within bool) {
	if within {
		k.within = true
		if at, ok := deadlineOf(c); ok {
			k.timed, k.deadline = true, at
		}
		return
	}
	if (c.Is("DEL") || c.Is("UNLINK")) && len(c.Args) == 2 && c.Tx == stream.TxNone {
		if k.gone == 0 {
			k.gone = c.Time.UnixMilli()
			return
		}
	}
	k.outside = true
}

// deadlineOf reads a key's new deadline from a command, and reports whether the command changes it.
func deadlineOf(c *stream.Command) (ms int64, changes bool) {
	a := c.Args
	switch {
	case c.Is("PEXPIREAT") && len(a) >= 3:
		ms, _ = strconv.ParseInt(string(a[2]), 10, 64) // the server's own format
		return ms, true
	case c.Is("SET"):
		for i := 3; i < len(a); i++ {
			switch {
			case bytes.EqualFold(a[i], []byte("KEEPTTL")):
				return 0, false
			case bytes.EqualFold(a[i], []byte("PXAT")) && i+1 < len(a):
				ms, _ = strconv.ParseInt(string(a[i+1]), 10, 64)
				return ms, true
			}
		}
		return 0, true
	case c.Is("PERSIST"), c.Is("DEL"), c.Is("UNLINK"):
		return 0, true
	}
	return 0, false
}

// clockSlack bounds how much later than its deadline a server may delete a key, and the difference
// between its clock and the journal's.
const clockSlack = 2 * time.Second

// conflict reports whether a command outside the span has touched a key since the point. deadline
// is that of the key at the point.
func (m *marks) conflict(key keyspace.Key, deadline int64) bool {
	if has(m.outside, key.DB) {
		return true
	}
	k := m.keys[key]
	switch {
	case k == nil:
		return false
	case k.outside:
		return true
	case k.gone == 0:
		return false
	}
	if k.timed {
		deadline = k.deadline
	}
	return deadline == 0 || k.gone+clockSlack.Milliseconds() < deadline
}
