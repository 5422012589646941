package main

import (
	"fmt"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/journal/diff"
	"holdfast/journal/keyspace"
	"holdfast/journal/quantity"
	"holdfast/journal/replay"
)

// A diffView is the outcome in JSON.
type diffView struct {
	Same        bool               `json:"same"` // no key differs, and none is unknown
	What        string             `json:"what"` // the side that is compared with the journal
	Timeline    journal.TimelineID `json:"timeline"`
	From        int64              `json:"from"` // the journal's offset at the beginning
	To          int64              `json:"to"`   // and at the end
	Keys        int64              `json:"keys"` // compared
	Looked      int64              `json:"looked_for"`
	Differ      int64              `json:"differ"`
	Differences []differenceView   `json:"differences,omitempty"` // the first 100,000
	Changing    []openView         `json:"changing,omitempty"`
	Unknown     []openView         `json:"unknown,omitempty"`
	Seconds     float64            `json:"seconds"`
	Paused      float64            `json:"paused_seconds"`
}

// A differenceView is a difference in JSON.
type differenceView struct {
	DB   int               `json:"db"`
	Key  string            `json:"key"` // bytes that are not text are replaced
	Kind string            `json:"kind"`
	Last *replay.LastWrite `json:"last_write"` // null: the journal holds none
}

// An openView is an unsettled key in JSON.
type openView struct {
	DB  int    `json:"db"`
	Key string `json:"key"`
	Why string `json:"why"`
}

func viewOpen(list []diff.Open) []openView {
	out := make([]openView, len(list))
	for i, o := range list {
		out[i] = openView{o.Key.DB, textKey(o.Key), o.Why}
	}
	return out
}

func textKey(k keyspace.Key) string { return strings.ToValidUTF8(k.Name, "\uFFFD") }

// report prints the result. Differences, and keys that cannot be compared, are exit code 1.
func (d *comparing) report(r *diff.Result, took time.Duration) (err error) {
	same := r.Differ == 0 && len(r.Unknown) == 0
	if *d.asJSON {
		v := diffView{Same: same, What: d.what, Timeline: r.Timeline, From: r.From, To: r.To, Keys: r.Compared,
			Looked: r.Looked, Differ: r.Differ, Changing: viewOpen(r.Changing), Unknown: viewOpen(r.Unknown),
			Seconds: took.Seconds(), Paused: r.Paused.Seconds()}
		for _, one := range r.List {
			v.Differences = append(v.Differences, differenceView{one.Key.DB, textKey(one.Key), one.Kind, one.Last})
		}
		err = writeJSON(d.c.stdout, v)
	} else {
		d.print(r, took)
	}
	if err == nil && !same {
		err = errReported
	}
	return err
}

var kindTexts = map[string]string{diff.Missing: "is missing", diff.Extra: "is extra: the journal does not have it",
	diff.Type: "has another type", diff.Value: "has another value", diff.Deadline: "has another deadline"}

func (d *comparing) print(r *diff.Result, took time.Duration) {
	w := d.c.stdout
	for _, one := range r.List {
		last := "the journal holds no write of it"
		if l := one.Last; l != nil {
			last = fmt.Sprintf("its last write: offset %d, %s, %s", l.Offset, clock(l.Time), l.Command)
		}
		fmt.Fprintf(w, "db%d %s %s; %s\n", one.Key.DB, word([]byte(one.Key.Name)), kindTexts[one.Kind], last)
	}
	if more := r.Differ - int64(len(r.List)); more > 0 {
		fmt.Fprintf(w, "and %s more\n", quantity.Grouped(more))
	}
	for _, o := range append(r.Changing, r.Unknown...) {
		fmt.Fprintf(w, "db%d %s is not settled: %s\n", o.Key.DB, word([]byte(o.Key.Name)), o.Why)
	}
	where := fmt.Sprintf("offset %d", r.To)
	if r.From != r.To {
		where = fmt.Sprintf("offsets %d to %d", r.From, r.To)
	}
	verdict := "nothing differs"
	if r.Differ > 0 {
		verdict = quantity.Grouped(r.Differ) + quantity.Either(r.Differ, " differs", " differ")
	}
	if n := r.Unsettled; n > 0 {
		verdict += fmt.Sprintf(", %s not settled", quantity.Grouped(n))
	}
	fmt.Fprintf(w, "%s: %s %s compared with the journal at %s of timeline %d: %s, after %.1f s\n", d.what,
		quantity.Grouped(r.Compared), quantity.Either(r.Compared, "key", "keys"), where, r.Timeline, verdict, took.Seconds())
}
