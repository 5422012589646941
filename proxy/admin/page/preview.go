package page

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/journal/quantity"
	"holdfast/proxy/admin"
)

// previews asks for one preview at a time, and rests when they take too large a share of the time: they read
// the journal, and every reader of the address may ask.
type previews struct {
	source *source
	turn   chan struct{} // held by the one that asks, until the disk has answered

	// By the holder of turn.
	due    time.Time // the time at which the share of all previews so far is used up; later than now: it rests
	spot   Spot      // of the last one
	asked  time.Time
	answer part[*Preview]
}

const (
	// previewTime bounds a reader's wait: less than askTime, since this question reads the disk.
	previewTime = 500 * time.Millisecond
	// Previews take a previewShare-th of the time on average, after previewBurst of that average at once.
	previewShare = 4
	previewBurst = 10 * time.Second
)

func newPreviews(s *source) *previews { return &previews{source: s, turn: make(chan struct{}, 1)} }

// get returns a preview, or the reason why there is none in time.
func (p *previews) get(ctx context.Context, s Spot) part[*Preview] {
	ctx, cancel := context.WithTimeout(ctx, previewTime)
	defer cancel()
	busy := part[*Preview]{Err: "other previews are being made: load the page again in a moment"}
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return busy
	}
	if p.spot == s && time.Since(p.asked) < refresh {
		defer p.leave()
		return p.answer
	}
	select {
	case <-time.After(time.Until(p.due)):
	case <-ctx.Done():
		p.leave()
		return busy
	}
	out := make(chan part[*Preview], 1)
	go p.ask(ctx, s, out)
	select {
	case a := <-out:
		return a
	case <-ctx.Done(): // the disk may take longer
		return part[*Preview]{Err: fmt.Sprintf("no answer within %s", previewTime)}
	}
}

func (p *previews) leave() { <-p.turn }

// ask asks the proxy. It ends with ctx, or as soon as the disk answers.
func (p *previews) ask(ctx context.Context, s Spot, out chan<- part[*Preview]) {
	defer p.leave()
	begun := time.Now()
	a := answer(p.source, ctx, func(ctx context.Context) (*Preview, error) { return p.source.backend.Preview(ctx, s) })
	if least := begun.Add(-previewBurst); p.due.Before(least) {
		p.due = least
	}
	p.due = p.due.Add(previewShare * time.Since(begun))
	if p.spot, p.asked, p.answer = s, begun, a; ctx.Err() != nil {
		p.asked = time.Time{} // the client has left, or it took too long: that is no answer for another one
	}
	out <- a
}

// spotOf is the query for a place; to 0: the present.
func spotOf(timeline uint32, offset, to int64) string {
	text := fmt.Sprintf("%d@%d", timeline, offset)
	if to > 0 {
		text += fmt.Sprintf("-%d", to)
	}
	return text
}

// parseSpot reads a time, TIMELINE@OFFSET, or TIMELINE@FROM-TO.
func parseSpot(text string) (s Spot, ok bool) {
	if t, ok := parseMoment(text); ok {
		return Spot{Time: t.UTC().Truncate(time.Millisecond)}, true
	}
	timeline, place, ok := strings.Cut(text, "@")
	id, err := strconv.ParseUint(timeline, 10, 32)
	if !ok || err != nil || id == 0 {
		return Spot{}, false
	}
	s.Timeline = uint32(id)
	from, to, ranged := strings.Cut(place, "-")
	if s.Offset, err = parseOffset(from); err != nil {
		return Spot{}, false
	}
	if ranged {
		if s.To, err = parseOffset(to); err != nil || s.To <= s.Offset {
			return Spot{}, false
		}
	}
	return s, true
}

func parseOffset(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err
}

// A fact is a line of a preview.
type fact struct{ What, Text string }

// factsOf describes a preview in words that say how sure they are.
func factsOf(s Spot, a part[*Preview], st *state) []fact {
	p := a.V
	if p == nil {
		return []fact{{"Keys there", "unknown: " + name(a.Err)}}
	}
	cut := fmt.Sprintf("offset %d of timeline %d", p.Offset, p.Timeline)
	if !p.At.IsZero() {
		cut += ", behind a command of " + p.At.UTC().Format("2006-01-02 15:04:05.000") + " UTC"
	}
	if p.Short != "" {
		facts := []fact{{"Keys there", "not known exactly: " + p.Short + ". The command with --dry-run reads on"},
			{"Keys before it", p.Keys.words(st.Trash.V) + ", at " + cut}}
		if s.To == 0 {
			facts = append(facts, fact{"Keys now", p.After.words(st.Trash.V)})
		}
		return facts
	}
	after := "Keys now"
	if s.To > 0 {
		after = "Keys after these commands"
	}
	facts := []fact{{"Keys there", p.Keys.words(st.Trash.V)}, {after, p.After.words(st.Trash.V)},
		{"In between", p.between()}, {"The cut", cut}}
	if p.Left {
		facts = append(facts, fact{"Mind", "the server has left this history since: these commands are not in its data now"})
	}
	if text := destroyedSince(p, st); text != "" && s.To == 0 {
		facts = append(facts, fact{"Destroyed since", text})
	}
	return facts
}

// words are the numbers, and how sure they are.
func (k Keys) words(t *Trash) string {
	exact := true
	var list []string
	for _, d := range k.DBs {
		number := quantity.Grouped(d.High)
		if d.Low != d.High {
			exact, number = false, quantity.Grouped(d.Low)+" to "+number
		} else if d.High == 0 {
			continue
		}
		db := fmt.Sprintf("db%d", d.DB)
		if t != nil && slices.Contains(t.Databases, d.DB) {
			db += " (of the trash)"
		}
		list = append(list, db+" "+number)
	}
	switch {
	case !k.Known && len(list) == 0:
		return "unknown: nothing in reach counts them (journal.mark has the server's counts recorded)"
	case !k.Known:
		return strings.Join(list, ", ") + "; other databases unknown"
	case len(list) == 0:
		return "none (exact)"
	case exact:
		return strings.Join(list, ", ") + " (exact)"
	}
	return strings.Join(list, ", ") + " (at least and at most, by the commands since the last exact count)"
}

// between describes the commands that follow.
func (p *Preview) between() string {
	if p.Bytes == 0 {
		return "no command"
	}
	number := counted(p.Commands, "command")
	if p.SinceShort != "" {
		number = "at least " + number + " in the first " + admin.Size(p.Read) + " of"
	} else {
		number += " in"
	}
	text := number + " " + admin.Size(p.Bytes) + " of stream"
	var list []string
	rest := p.Commands
	for _, n := range p.Names {
		list = append(list, quantity.Grouped(n.Count)+" "+name(n.Name))
		rest -= n.Count
	}
	if rest > 0 {
		list = append(list, quantity.Grouped(rest)+" others")
	}
	if len(list) > 0 {
		text += ": " + strings.Join(list, ", ")
	}
	if p.SinceShort != "" {
		text += ". There the reading ended: " + p.SinceShort
	}
	return text
}

// maxDestroyed is the number of events named in a preview.
const maxDestroyed = 3

// destroyedSince names the first events behind the cut, on the same timeline.
func destroyedSince(p *Preview, st *state) string {
	var list []string
	more := int64(0)
	for i := range st.Events.V {
		e := &st.Events.V[i]
		switch {
		case e.Timeline < p.Timeline, e.Timeline == p.Timeline && e.From < p.Offset:
		case len(list) == maxDestroyed:
			more++
		default:
			list = append(list, fmt.Sprintf("event %d, %s, of %s UTC", e.N, name(e.What), stamp(e.First)))
		}
	}
	text := strings.Join(list, "; ")
	if more > 0 {
		text += "; and " + counted(more, "later event")
	}
	return text
}
