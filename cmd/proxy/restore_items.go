package main

import (
	"encoding/json"
	"fmt"
	"io"
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
	n      int
}

// maxItemLines bounds the keys in output for people; JSON holds all of them.
const maxItemLines = 100

func (p *itemPrinter) print(i putback.Item) error {
	p.n++
	if p.asJSON {
		return p.printJSON(i)
	}
	switch {
	case p.n == maxItemLines+1:
		_, err := fmt.Fprintln(p.w, "  ...")
		return err
	case p.n > maxItemLines:
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

func (p *itemPrinter) endText(v keysView) error {
	var counts []string
	for a := putback.Same; a <= putback.Unproven; a++ {
		if n := v.Keys[a.String()]; n > 0 {
			counts = append(counts, fmt.Sprintf("%s %s", quantity.Grouped(n), a))
		}
	}
	if len(counts) == 0 {
		counts = append(counts, "none matches")
	}
	fmt.Fprintf(p.w, "keys: %s\n", strings.Join(counts, ", "))
	switch {
	case v.DryRun:
		_, err := fmt.Fprintln(p.w, "dry run: nothing was written")
		return err
	case !v.Done:
		return nil
	}
	_, err := fmt.Fprintf(p.w, "done: each of them was compared again with the point, after %.1f s\n",
		v.Seconds)
	return err
}
