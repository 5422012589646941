package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"holdfast/journal"
	"holdfast/journal/event"
	"holdfast/journal/quantity"
	"holdfast/journal/replay"
	"holdfast/journal/stream"
)

// A pointFlags selects the point of a replay, and the commands to leave out.
type pointFlags struct {
	to, before    *string
	nth, event    *int
	timeline      *timelineFlag
	end, yesEmpty *bool
	keepLater     *bool
	skips         []replay.Skip
	skipEvents    []int
}

func addPoint(f *flag.FlagSet) *pointFlags {
	p := &pointFlags{
		to: f.String("to", "", "up to "+placeHelp),
		before: f.String("before-command", "", "up to just before the last `COMMAND` of that name "+
			"(or glob), or\nbefore the first of the event that it belongs to"),
		nth:      f.Int("nth", 1, "with --before-command: `N`-th of them from the end; an event is one"),
		event:    f.Int("event", 0, "up to just before event `N` of proxy journal events"),
		yesEmpty: f.Bool("yes-empty", false, "go on where the point has no keys"),
		end:      f.Bool("end", false, "up to the last byte that is held"),
		keepLater: f.Bool("keep-later", false, "with --event or --before-command: leave out that event, or that "+
			"command\nor transaction, and keep what came after it, to the end"),
		timeline: addTimeline(f),
	}
	f.Func("skip", "leave out the command or the transaction at `OFFSET`, or all from FROM-TO;\n"+
		"may be given several times", func(text string) error {
		s, err := replay.ParseSkip(text)
		p.skips = append(p.skips, s)
		return err
	})
	f.Func("skip-event", "leave out the commands of event `N`; may be given several times",
		func(text string) error {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				return fmt.Errorf("%q is no number of an event", text)
			}
			p.skipEvents = append(p.skipEvents, n)
			return nil
		})
	f.Func("skip-command", "leave out all commands whose name matches a `GLOB`, from the oldest base\n"+
		"that leads to the point on", func(text string) error {
		if text == "" {
			return errors.New("no name")
		}
		p.skips = append(p.skips, replay.Skip{Command: text})
		return nil
	})
	return p
}

// given reports whether the flags name a point.
func (p *pointFlags) given() bool {
	return *p.to != "" || *p.before != "" || *p.event != 0 || *p.end
}

// selector reads the flags. The error is one of usage.
func (p *pointFlags) selector(now time.Time) (replay.Selector, error) {
	s := replay.Selector{Timeline: p.timeline.id, Current: p.timeline.current}
	to, err := parsePlace(*p.to, now)
	if err != nil {
		return s, usagef("--to: %w", err)
	}
	chosen := 0
	if to.given {
		chosen++
		s.Kind, s.Offset, s.Time = replay.AtOffset, to.offset, to.time
		if !to.time.IsZero() {
			s.Kind = replay.AtTime
		}
	}
	if *p.before != "" {
		chosen++
		s.Kind, s.Command, s.Nth = replay.BeforeCommand, *p.before, *p.nth
	}
	if *p.event != 0 {
		chosen++
		s.Kind, s.Event = replay.BeforeEvent, *p.event
	}
	if *p.end {
		chosen++
		s.Kind = replay.AtEnd
	}
	switch {
	case chosen == 0:
		return s, usagef("up to where? Give --to, --before-command, --event or --end")
	case chosen > 1:
		return s, usagef("give one of --to, --before-command, --event and --end")
	case *p.nth < 1 || *p.nth > 1 && *p.before == "":
		return s, usagef("--nth counts from 1 and goes with --before-command")
	case *p.keepLater && s.Kind != replay.BeforeEvent && s.Kind != replay.BeforeCommand:
		return s, usagef("--keep-later goes with --event or --before-command")
	case *p.event < 0:
		return s, usagef("--event is a number from 1 on")
	}
	return s, nil
}

// plan finds the point and a way to it.
func (p *pointFlags) plan(ctx context.Context, view *journal.View, sel replay.Selector,
	shown *progress,
) (*replay.Plan, error) {
	sel, err := p.keep(ctx, view, sel, shown)
	if err != nil {
		return nil, err
	}
	point, err := p.locate(ctx, view, sel, shown)
	if err != nil {
		return nil, err
	}
	skips, err := p.withEvents(ctx, view, shown)
	if err != nil {
		return nil, err
	}
	return replay.NewPlan(ctx, view, point, skips)
}

// locate finds the point of a selector.
func (p *pointFlags) locate(ctx context.Context, view *journal.View, sel replay.Selector, shown *progress) (
	*replay.Point, error,
) {
	point, err := replay.Locate(ctx, view, sel, func(at, end int64) {
		shown.say("looking for the point: offset %d of %d", at, end)
	})
	shown.done()
	if errors.Is(err, replay.ErrNoPoint) && sel.Kind == replay.BeforeCommand {
		err = fmt.Errorf("%w (proxy journal show --match NAME lists where one stands)", err)
	}
	if errors.Is(err, replay.ErrBranches) {
		err = fmt.Errorf("%w: say which with --timeline ID or --timeline current", err)
	}
	return point, err
}

// withEvents adds the events to leave out to the other skips.
func (p *pointFlags) withEvents(ctx context.Context, view *journal.View, shown *progress) (
	[]replay.Skip, error,
) {
	if len(p.skipEvents) == 0 {
		return p.skips, nil
	}
	events, err := findEvents(ctx, view, shown)
	if err != nil {
		return nil, err
	}
	skips := slices.Clone(p.skips)
	for _, n := range p.skipEvents {
		i := slices.IndexFunc(events, func(e event.Event) bool { return e.N == n })
		if i < 0 {
			return nil, fmt.Errorf("there is no event %d: see proxy journal events", n)
		}
		if !events[i].Commands() {
			return nil, fmt.Errorf("event %d has no commands to leave out: its keys have expired; undo the commands that "+
				"set the deadlines (docs/journal.md#expired-keys)", n)
		}
		skips = append(skips, replay.Skip{Event: &events[i]})
	}
	return skips, nil
}

// A lineView is a command of the stream in JSON.
type lineView struct {
	Offset int64     `json:"offset"`
	End    int64     `json:"end"`
	Time   time.Time `json:"time"`
	DB     *int      `json:"db"` // null: unknown
	Tx     string    `json:"tx,omitempty"`
	Args   []string  `json:"args"`
	Cut    bool      `json:"cut,omitempty"` // arguments are longer than shown
}

var txNames = map[stream.TxState]string{
	stream.TxBegin: "begin", stream.TxInside: "inside", stream.TxEnd: "end",
}

func viewLine(l *replay.Line) lineView {
	v := lineView{Offset: l.Start, End: l.End, Time: l.Time, Tx: txNames[l.Tx], Cut: l.Cut,
		Args: make([]string, len(l.Args))}
	if l.DB >= 0 {
		v.DB = &l.DB
	}
	for i, a := range l.Args {
		v.Args[i] = strings.ToValidUTF8(string(a), "\uFFFD")
	}
	return v
}

func viewLines(lines []replay.Line) []lineView {
	out := make([]lineView, len(lines))
	for i := range lines {
		out[i] = viewLine(&lines[i])
	}
	return out
}

// A planView is a plan in JSON.
type planView struct {
	Timeline  journal.TimelineID `json:"timeline"`
	ReplID    string             `json:"replid"`
	Offset    int64              `json:"offset"`
	TargetEnd int64              `json:"target_offset"` // the server's offset at the end
	Time      *time.Time         `json:"time"`          // of the last command; null: the base's alone
	DB        int                `json:"db"`
	Base      journal.Base       `json:"base"`
	Stream    int64              `json:"stream"` // bytes behind the base
	Before    []lineView         `json:"before"`
	After     []lineView         `json:"after"`
	Edited    bool               `json:"edited"`
	LeftOut   int64              `json:"left_out"`
	Skipped   []lineView         `json:"skipped,omitempty"` // the first of them
	Event     *event.Event       `json:"event,omitempty"`   // the point is before it
	Note      string             `json:"note,omitempty"`
	Broken    []brokenView       `json:"broken,omitempty"` // newer bases that cannot be used
}

// A brokenView is a base that cannot be used, in JSON.
type brokenView struct {
	Base  journal.Base `json:"base"`
	Error string       `json:"error"`
}

func viewPlan(p *replay.Plan) planView {
	v := planView{
		Timeline: p.Point.Timeline.ID, ReplID: p.ReplID, Offset: p.Point.Offset, TargetEnd: p.End(),
		DB: p.Point.DB, Base: p.Base, Stream: p.Point.Offset - p.Base.Offset,
		Before: viewLines(p.Point.Before), After: viewLines(p.Point.After), Edited: p.Edited,
		LeftOut: p.Left, Skipped: viewLines(p.Skipped), Note: p.Point.Note, Event: p.Point.Event,
	}
	if t := p.Point.Time; !t.IsZero() {
		v.Time = &t
	}
	for _, b := range p.Broken {
		v.Broken = append(v.Broken, brokenView{b.Base, b.Err.Error()})
	}
	return v
}

// maxSkippedShown is the number of left out commands in output for people.
const maxSkippedShown = 10

// printPlan shows the point with the commands around it.
func printPlan(w io.Writer, p *replay.Plan) {
	pt := p.Point
	at := pt.Time
	if at.IsZero() {
		at = pt.Base.Time
	}
	fmt.Fprintf(w, "offset %d of timeline %d, %s\n", pt.Offset, pt.Timeline.ID, clock(at))
	fmt.Fprintf(w, "from %s (offset %d, %s) and %s of stream\n", p.Base.File, p.Base.Offset,
		bytesText(p.Base.Size), bytesText(pt.Offset-p.Base.Offset))
	for _, b := range p.Broken {
		fmt.Fprintf(w, "warning: a newer base, %s (offset %d), cannot be used: %v\n", b.Base.File,
			b.Base.Offset, b.Err)
	}
	if len(pt.Before) == 0 {
		fmt.Fprint(w, "      (the base itself)\n")
	}
	for i := range pt.Before {
		fmt.Fprintf(w, "      %s\n", lineText(&pt.Before[i]))
	}
	fmt.Fprint(w, "  --> the point: what is above is in, what is below is not\n")
	for i := range pt.After {
		fmt.Fprintf(w, "      %s\n", lineText(&pt.After[i]))
	}
	if len(pt.After) == 0 {
		fmt.Fprint(w, "      (the end of what is held)\n")
	}
	if pt.Note != "" {
		fmt.Fprintf(w, "note: %s\n", pt.Note)
	}
	if !p.Edited {
		return
	}
	fmt.Fprintf(w, "left out: %s; this state never existed\n", quantity.Of(p.Left, "command"))
	for i := range p.Skipped[:min(len(p.Skipped), maxSkippedShown)] {
		fmt.Fprintf(w, "      %s\n", lineText(&p.Skipped[i]))
	}
	if p.Left > maxSkippedShown {
		fmt.Fprint(w, "      ...\n")
	}
}

// lineText is a command in one line: offset, time, database, words.
func lineText(l *replay.Line) string {
	db := "?"
	if l.DB >= 0 {
		db = strconv.Itoa(l.DB)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d  %s  db%s ", l.Start, clock(l.Time), db)
	for _, a := range l.Args {
		b.WriteByte(' ')
		b.WriteString(word(a))
	}
	if l.Cut {
		b.WriteString(" …")
	}
	return b.String()
}

// word is an argument as redis-cli takes it: in quotes where it needs them.
func word(a []byte) string {
	plain := len(a) > 0 && utf8.Valid(a)
	for _, r := range string(a) {
		plain = plain && r != '"' && r != '\'' && r != '\\' && r != ' ' && unicode.IsPrint(r)
	}
	if plain {
		return string(a)
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range a {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
