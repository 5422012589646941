package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"holdfast/journal/putback"
	"holdfast/journal/quantity"
)

// An itemView is the outcome for a key, in JSON. A name that is not UTF-8 is in base64 as well.
type itemView struct {
	DB     int    `json:"db"`
	Key    string `json:"key"`
	Base64 []byte `json:"key_base64,omitempty"`
	Action string `json:"action"`
	What   string `json:"differs_in,omitempty"`
	Why    string `json:"why,omitempty"`
}

// A keysView is the outcome in JSON.
type keysView struct {
	Items    []itemView       `json:"items"` // all keys that are not the same; written one by one
	Plan     planView         `json:"plan"`
	Span     *putback.Span    `json:"changed_between,omitempty"`
	Names    map[string]int64 `json:"commands,omitempty"` // of the span
	Into     string           `json:"into"`
	Scratch  string           `json:"scratch"`
	Recorded bool             `json:"recorded"` // the journal records the server that they go into
	Keys     map[string]int64 `json:"keys"`     // by action
	DryRun   bool             `json:"dry_run"`
	Done     bool             `json:"done"` // false: a dry run, or it failed
	Seconds  float64          `json:"seconds"`
	Paused   float64          `json:"paused_seconds"` // while the server's latency rose
}

// An itemPrinter prints the outcome for each key, as it comes.
type itemPrinter struct {
	w      io.Writer
	asJSON bool
	keeps  bool // conflicts, unless --conflicts replace
	n      int
	lines  [2]int // of keys that were or would be written, and of those that were not
	hidden int    // keys without a line
}

// maxItemLines bounds the lines of each of the two kinds: a conflict does not drown in the written keys. JSON
// holds all of them.
const maxItemLines = 100

func (p *itemPrinter) print(i putback.Item) error {
	p.n++
	if p.asJSON {
		return p.printJSON(i)
	}
	kind := 0
	if i.Action >= putback.Conflicted {
		kind = 1
	}
	if p.lines[kind]++; p.lines[kind] > maxItemLines {
		p.hidden++
		return nil
	}
	text := fmt.Sprintf("  %-9s db%d %s", i.Action, i.Key.DB, word([]byte(i.Key.Name)))
	if i.What != "" {
		text += " (" + i.What + ")"
	}
	if i.Why != nil {
		text += ": " + i.Why.Error()
	}
	_, err := fmt.Fprintln(p.w, text)
	return err
}

func (p *itemPrinter) printJSON(i putback.Item) error {
	v := itemView{DB: i.Key.DB, Key: strings.ToValidUTF8(i.Key.Name, "\uFFFD"),
		Action: i.Action.String(), What: i.What}
	if !utf8.ValidString(i.Key.Name) {
		v.Base64 = []byte(i.Key.Name)
	}
	if i.Why != nil {
		v.Why = i.Why.Error()
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	before := ",\n    "
	if p.n == 1 {
		before = "{\n  \"items\": [\n    "
	}
	_, err = fmt.Fprintf(p.w, "%s%s", before, text)
	return err
}

// end prints the totals.
func (p *itemPrinter) end(v keysView) error {
	if !p.asJSON {
		return p.endText(v)
	}
	if p.n == 0 {
		v.Items = []itemView{}
		return writeJSON(p.w, v)
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(text), "\"items\": null")
	_, err = fmt.Fprintf(p.w, "\n  ]%s\n", rest)
	return err
}

// maxNames bounds the names of commands in a line.
const maxNames = 8

// namesText lists commands, the most frequent ones first.
func namesText(names map[string]int64) string {
	sorted := slices.SortedFunc(maps.Keys(names), func(a, b string) int {
		return cmp.Or(cmp.Compare(names[b], names[a]), strings.Compare(a, b))
	})
	var out []string
	for _, name := range sorted[:min(len(sorted), maxNames)] {
		out = append(out, quantity.Grouped(names[name])+" "+strings.ToUpper(name))
	}
	if rest := len(sorted) - len(out); rest > 0 {
		out = append(out, "and "+quantity.Of(rest, "other command"))
	}
	return strings.Join(out, ", ")
}

func (p *itemPrinter) endText(v keysView) error {
	var counts []string
	for a := putback.Same; a <= putback.Unproven; a++ {
		if n := v.Keys[a.String()]; n > 0 {
			counts = append(counts, fmt.Sprintf("%s %s", quantity.Grouped(n), a))
		}
	}
	if len(counts) == 0 && !v.Done && !v.DryRun {
		return nil // no key was compared
	}
	if len(counts) == 0 {
		counts = append(counts, "none matches")
	}
	if len(v.Names) > 0 {
		fmt.Fprintf(p.w, "the stretch has %s\n", namesText(v.Names))
	}
	if p.hidden > 0 {
		fmt.Fprintf(p.w, "  and %s more; --json names all of them\n", quantity.Grouped(p.hidden))
	}
	fmt.Fprintf(p.w, "keys: %s\n", strings.Join(counts, ", "))
	if p.keeps && v.Keys[putback.Conflicted.String()] > 0 {
		fmt.Fprintln(p.w, "a conflict keeps its present value; --conflicts replace sets it back to the point, too")
	}
	switch {
	case v.DryRun:
		_, err := fmt.Fprintln(p.w, "dry run: nothing was written")
		return err
	case !v.Done:
		return nil
	}
	_, err := fmt.Fprintf(p.w, "done: each written key was compared again with the point, after %.1f s\n",
		v.Seconds)
	return err
}
