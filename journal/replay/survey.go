package replay

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/journal/event"
	"holdfast/journal/stream"
)

// Survey is the state at a plan's end, as far as the journal knows it.
type Survey struct {
	Keys event.Counts // at the point
	// After is the number of commands behind the point, without the servers' own traffic and the
	// proxy's own marks; -1: a part is missing.
	After int64
	More  bool // there are more: the count hit its time limit
	// Expired is the number of keys at the point whose deadline has passed since: they go when the
	// server is promoted.
	Expired Between
}

// Between bounds a number. High -1: no bound.
type Between struct{ Low, High int64 }

// NewSurvey reads the stream from the plan's base to the end of its history. patience, if not 0,
// bounds the time to count the commands behind the point, which may be those of a week.
func NewSurvey(ctx context.Context, view *journal.View, plan *Plan, now time.Time,
	patience time.Duration, progress func(offset, end int64)) (*Survey, error) {
	p := plan.Point
	v := &surveyor{plan: plan, left: plan.Drops, deadlines: newDeadlines(), patience: patience}
	v.base()
	f := &finder{view: view, tl: p.Timeline, progress: progress}
	s := f.scan(plan.Base, p.Timeline.End)
	s.maxArg, s.sample = maxKey, v.sample
	err := s.run(ctx, v.take)
	if !v.done { // the point is the end
		v.settle()
	}
	v.out.Expired = v.deadlines.passed(now, v.expires)
	if _, missing := hole(err); missing || errors.Is(err, journal.ErrPruned) {
		v.out.After, err = -1, nil
	}
	return &v.out, err
}

// maxKey is the length up to which keys are distinguished, in bytes.
const maxKey = 512

type surveyor struct {
	plan      *Plan
	left      []journal.Range // the parts left out, from here on
	counter   *event.Counter
	deadlines *deadlines
	expires   int64   // keys with a deadline, at most; -1: unknown
	recent    []int64 // places at which those behind the last sample were counted
	at        int64
	edited    bool // commands were left out: the server's own counts are of another state
	done      bool // the point has been passed
	patience  time.Duration
	since     time.Time // time at which the point was passed
	out       Survey
}

// base begins with the base's own figures: how many keys there are, and with that how many at most
// have a deadline.
func (v *surveyor) base() {
	v.at, v.expires = v.plan.Base.Offset, -1
	var c event.Counts
	if found := v.plan.Needs.Contents; found != nil {
		c, v.expires = countsOf(found.Keys), 0
		for _, n := range found.Keys {
			v.expires += n
		}
		v.deadlines.all = v.expires == 0
	}
	v.counter = event.NewCounter(v.at, c)
}

// countsOf are exact counts of all databases.
func countsOf(keys map[int]int64) event.Counts {
	c := event.Counts{Rest: true}
	for db, n := range keys {
		c.DBs = append(c.DBs, event.DBCount{DB: db, Low: n, High: n})
	}
	slices.SortFunc(c.DBs, func(a, b event.DBCount) int { return a.DB - b.DB })
	return c
}

func (v *surveyor) sample(s event.Sample) {
	// A sample waits in the counter until the stream has reached its offset.
	if v.edited || v.done || len(v.left) > 0 && s.Offset > v.left[0].From {
		return
	}
	v.counter.Sample(s, v.at)
	v.expires = s.Expires
	for _, end := range v.recent {
		if end > s.Offset {
			v.expires++
		}
	}
	v.recent = v.recent[:0]
}

// more counts a key that may have a deadline now.
func (v *surveyor) more(end int64) {
	if v.expires >= 0 {
		v.expires++
	}
	if len(v.recent) == cap(v.recent) && len(v.recent) >= maxRecent {
		v.recent = v.recent[:copy(v.recent, v.recent[maxRecent/2:])] // no sample is that late
	}
	v.recent = append(v.recent, end)
}

// maxRecent is above the number of keys that get a deadline between a sample's offset and its place
// in the journal.
const maxRecent = 64 << 10

func (v *surveyor) take(c *stream.Command) error {
	if c.Start >= v.plan.Point.Offset {
		if !v.done {
			v.settle()
		}
		if !c.Traceless() && !ownKey(c) {
			v.out.After++
		}
		if v.patience > 0 && v.out.After%4096 == 4095 && time.Since(v.since) > v.patience {
			v.out.More = true
			return stream.ErrStop
		}
		return nil
	}
	for len(v.left) > 0 && v.left[0].To <= c.Start {
		v.left = v.left[1:]
	}
	if len(v.left) > 0 && v.left[0].From <= c.Start {
		v.edited = true
		return nil
	}
	v.counter.Command(c)
	if c.Tx == stream.TxNone || c.Tx == stream.TxEnd {
		v.at = c.End
	}
	if v.deadlines.take(c) {
		v.more(c.End)
	}
	if c.Is("FLUSHALL") {
		v.expires, v.recent = 0, v.recent[:0]
	}
	return nil
}

func (v *surveyor) settle() {
	v.done, v.since = true, time.Now()
	v.out.Keys = v.counter.Counts()
}

// ownKey reports whether a command is one of the proxy's marks.
func ownKey(c *stream.Command) bool {
	return c.Is("SET") && len(c.Args) > 1 && strings.HasPrefix(string(c.Args[1]), "holdfast:")
}

// deadlines tracks the keys to which the stream gives a deadline. Its size is bounded: beyond it
// the bounds are wider.
type deadlines struct {
	byKey map[deadlineKey]int64 // Unix time, ms
	all   bool                  // no other key has one
}

type deadlineKey struct {
	db  int
	key string
}

const maxDeadlines = 2 << 20

func newDeadlines() *deadlines { return &deadlines{byKey: make(map[deadlineKey]int64)} }

// take applies a command and reports whether a key may have got its first deadline.
func (d *deadlines) take(c *stream.Command) (more bool) {
	if len(c.Args) == 0 {
		return false
	}
	switch {
	case c.Is("FLUSHALL"):
		clear(d.byKey)
		d.all = true
		return false
	case c.Is("FLUSHDB"):
		d.drop(c.DB)
		return false
	case c.Is("SWAPDB") && len(c.Args) == 3:
		d.swap(string(c.Args[1]), string(c.Args[2]))
		return false
	case len(c.Args) < 2:
		return false
	}
	k := deadlineKey{c.DB, string(c.Args[1])}
	switch {
	case c.Is("SET"):
		return d.set(k, c.Args[2:])
	case c.Is("PEXPIREAT") && len(c.Args) > 2:
		return d.put(k, c.Args[2])
	case c.Is("DEL"), c.Is("UNLINK"):
		for _, key := range c.Args[1:] {
			delete(d.byKey, deadlineKey{c.DB, string(key)})
		}
	case c.Is("PERSIST"), c.Is("RENAME"), c.Is("RENAMENX"), c.Is("MOVE"), c.Is("LPOP"), c.Is("RPOP"),
		c.Is("SREM"), c.Is("ZREM"), c.Is("HDEL"), c.Is("LREM"), c.Is("LTRIM"), c.Is("GETEX"):
		if _, ok := d.byKey[k]; ok && !c.Is("PERSIST") {
			d.all = false // it may exist, or another key may have its deadline
		}
		delete(d.byKey, k)
		return c.Is("RENAME") || c.Is("RENAMENX") || c.Is("MOVE")
	case c.Is("RESTORE"), c.Is("COPY"):
		delete(d.byKey, k)
		d.all = false
		return true
	}
	return false
}

// set handles the options of a SET.
func (d *deadlines) set(k deadlineKey, args [][]byte) bool {
	for i, a := range args {
		if i == 0 { // the value
			continue
		}
		switch word := strings.ToUpper(string(a)); {
		case word == "KEEPTTL":
			return false
		case word == "PXAT" && i+1 < len(args):
			return d.put(k, args[i+1])
		}
	}
	delete(d.byKey, k)
	return false
}

func (d *deadlines) put(k deadlineKey, ms []byte) bool {
	at, err := strconv.ParseInt(string(ms), 10, 64)
	_, had := d.byKey[k]
	if err != nil || !had && len(d.byKey) >= maxDeadlines {
		d.all = false
		return !had
	}
	d.byKey[k] = at
	return !had
}

func (d *deadlines) drop(db int) {
	for k := range d.byKey {
		if k.db == db {
			delete(d.byKey, k)
		}
	}
}

func (d *deadlines) swap(first, second string) {
	a, errA := strconv.Atoi(first)
	b, errB := strconv.Atoi(second)
	if errA != nil || errB != nil {
		return
	}
	swapped := make(map[deadlineKey]int64, len(d.byKey))
	for k, at := range d.byKey {
		switch k.db {
		case a:
			k.db = b
		case b:
			k.db = a
		}
		swapped[k] = at
	}
	d.byKey = swapped
}

// passed counts the deadlines before a moment. Keys whose deadlines the stream does not give may
// have passed theirs, too: all keys with a deadline, less those known to go on.
func (d *deadlines) passed(now time.Time, all int64) Between {
	var b Between
	for _, at := range d.byKey {
		if at <= now.UnixMilli() {
			b.Low++
		}
	}
	switch b.High = -1; {
	case d.all:
		b.High = b.Low
	case all >= 0:
		b.High = max(b.Low, all-(int64(len(d.byKey))-b.Low))
	}
	return b
}
