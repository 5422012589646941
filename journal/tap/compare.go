package tap

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"holdfast/journal/internal/wire"
)

// comparison counts how a server's keys compare with the state behind a tail.
type comparison struct {
	same    int64
	differ  int64
	unknown int64         // keys that the tail does not define, or that may have expired since
	first   int64         // where the first key that differs was last touched; -1: none does
	refused error         // the server refuses its user the reads
	present map[int]int64 // keys of the tail that exist, by database
}

// proven reports that the server holds exactly the state behind the tail.
func (c *comparison) proven(t *tail) bool {
	return c.refused == nil && c.differ == 0 && c.unknown == 0 && t.opaque == 0 && !t.dropped
}

// surplus reports whether a database that the tail has emptied holds keys that it has not written
// since. keys are the server's own counts. The mark's database is left out where it belongs to the
// proxies, which keep more there. A tail that has lost count of its keys proves no surplus.
func (c *comparison) surplus(t *tail, keys map[int]int64, markDB int) bool {
	for db, n := range keys {
		if db == markDB && db != 0 || t.dropped || !t.emptied[-1] && !t.emptied[db] {
			continue
		}
		if n > c.present[db] {
			return true
		}
	}
	return false
}

// question is one command about a key, and the expected reply.
type question struct {
	args []string
	want *sum // nil: none, or 0
	raw  string
}

// entry is a key of a tail with its questions: EXISTS, then the others.
type entry struct {
	keyName
	*expected
	questions []question
}

// compare asks a server for the keys of a tail. The connection's database changes.
func compare(ctx context.Context, c *wire.Conn, t *tail) (*comparison, error) {
	out := &comparison{first: -1, present: map[int]int64{}}
	stop, err := c.Within(ctx)
	if err != nil {
		return out, err
	}
	defer stop()
	all := t.entries()
	for len(all) > 0 {
		n, db := 0, all[0].db
		buf := wire.Append(nil, "sElEcT", strconv.Itoa(db))
		for ; n < len(all) && all[n].db == db && len(buf) < requestBytes; n++ {
			buf = all[n].ask(buf)
		}
		if _, err := c.Write(buf); err != nil {
			return out, err
		}
		if _, err := c.Reply(); err != nil {
			return out, out.refusal(err)
		}
		for _, e := range all[:n] {
			if err := out.take(c, e); err != nil {
				return out, out.refusal(err)
			}
		}
		all = all[n:]
	}
	return out, nil
}

// requestBytes bounds one request: the server buffers at least as much of it.
const requestBytes = 16 << 10

// entries lists the keys, by database and by the place where they were last touched.
func (t *tail) entries() []entry {
	var all []entry
	for k, e := range t.keys {
		if k.key != MarkKey {
			all = append(all, entry{keyName: k, expected: e})
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.db, b.db), cmp.Compare(a.start, b.start))
	})
	return all
}

func (e *entry) ask(buf []byte) []byte {
	buf = wire.Append(buf, "eXiStS", e.key)
	if !e.opaque {
		e.questions = e.expected.questions(e.key)
	}
	for _, q := range e.questions {
		buf = wire.Append(buf, q.args...)
	}
	return buf
}

// take reads the replies about a key, all of them.
func (c *comparison) take(conn *wire.Conn, e entry) error {
	v, err := conn.Reply()
	if err != nil {
		return err
	}
	there, right := v == int64(1), true
	for _, q := range e.questions {
		v, err := conn.Reply()
		var reply wire.Error
		switch {
		case errors.As(err, &reply) && reply.Code() == "WRONGTYPE":
			right = false
		case err != nil:
			return err
		default:
			right = right && q.answered(v)
		}
	}
	if there {
		c.present[e.db]++
	}
	switch e.judge(there, right, time.Now()) {
	case same:
		c.same++
	case unknown:
		c.unknown++
	case differs:
		c.differ++
		if c.first < 0 || e.start < c.first {
			c.first = e.start
		}
	}
	return nil
}

// refusal keeps an error reply: the server refuses the read, or the key is of another type.
func (c *comparison) refusal(err error) error {
	var reply wire.Error
	if errors.As(err, &reply) {
		c.refused = reply
		return nil
	}
	return err
}

type match int

const (
	same match = iota
	differs
	unknown
)

// judge classifies a key. right: all questions had the expected answer.
func (e *expected) judge(there, right bool, now time.Time) match {
	switch {
	case e.opaque:
		return unknown
	case e.gone && !e.expectsParts():
		if there {
			return differs
		}
		return same
	case !there && len(e.parts) > 0 && !e.expectsParts():
		return same // none of them is expected
	case !there && e.mayBeGone(now):
		return unknown
	case !there:
		return differs
	case right:
		return same
	}
	return differs
}

// expectsParts reports whether one of the parts is expected.
func (e *expected) expectsParts() bool {
	for _, want := range e.parts {
		if want != nil {
			return true
		}
	}
	return false
}

func (e *expected) questions(key string) (out []question) {
	if e.text != nil {
		out = append(out, question{args: []string{"gEt", key}, want: e.text})
	}
	there, count := 0, ""
	for p, want := range e.parts {
		args := []string{p.kind, key, p.name}
		if p.kind == "XRANGE" {
			args = append(args, p.name)
		}
		out = append(out, question{args: args, want: want})
		if want != nil {
			there, count = there+1, counting[p.kind]
		}
	}
	if e.whole && there > 0 { // and no others
		out = append(out, question{args: []string{count, key}, raw: strconv.Itoa(there)})
	}
	if e.expiry > 0 {
		out = append(out, question{args: []string{"pExPiReTiMe", key},
			raw: strconv.FormatInt(e.expiry, 10)})
	} else if e.expiry == 0 {
		out = append(out, question{args: []string{"pExPiReTiMe", key}, raw: "-1"})
	}
	return out
}

// counting is the command that counts the parts of a key, by the command that reads one of them.
var counting = map[string]string{"HGET": "HLEN", "SISMEMBER": "SCARD", "ZSCORE": "ZCARD",
	"XRANGE": "XLEN"}

// answered reports whether a reply is the expected one.
func (q *question) answered(v any) bool {
	text := ""
	switch v := v.(type) {
	case nil:
		return q.want == nil && q.raw == ""
	case string:
		text = v
	case int64:
		if v == 0 && q.want == nil && q.raw == "" {
			return true
		}
		text = strconv.FormatInt(v, 10)
	case []any: // XRANGE
		if len(v) == 0 {
			return q.want == nil
		}
		return q.want != nil && *q.want == *sumOfWords(entryWords(v[0]))
	}
	if q.raw != "" {
		return text == q.raw
	}
	return q.want != nil && *q.want == *sumOf([]byte(text))
}

// entryWords returns the id of a stream's entry, its fields and their values.
func entryWords(v any) (words [][]byte) {
	entry, _ := v.([]any)
	for _, part := range entry {
		switch part := part.(type) {
		case string:
			words = append(words, []byte(part))
		case []any:
			words = append(words, entryWords(part)...)
		}
	}
	return words
}
