package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"holdfast/journal"
	"holdfast/journal/event"
	"holdfast/journal/quantity"
	"holdfast/journal/replay"
)

// A surveyView is the outcome of a point, in JSON.
type surveyView struct {
	Keys    event.Counts `json:"keys"`
	Exact   bool         `json:"exact"`          // the numbers of keys are exact, not bounds
	After   int64        `json:"after"`          // commands behind the point; -1: a part is missing
	More    bool         `json:"more,omitempty"` // there are more than After
	Expired struct {
		Low  int64 `json:"low"`
		High int64 `json:"high"` // -1: no bound is known
	} `json:"expired"` // keys whose deadline has passed since
}

func viewSurvey(s *replay.Survey) *surveyView {
	if s == nil {
		return nil
	}
	v := &surveyView{Keys: s.Keys, Exact: s.Keys.Exact(), After: s.After, More: s.More}
	v.Expired.Low, v.Expired.High = s.Expired.Low, s.Expired.High
	return v
}

// countFor bounds how long a restore waits for the number of commands behind the point. A dry run
// counts them all.
const countFor = 5 * time.Second

// survey estimates the outcome of a plan. One without keys needs --yes-empty, except in a dry run.
func (p *pointFlags) survey(ctx context.Context, view *journal.View, plan *replay.Plan, dry bool,
	shown *progress) (*replay.Survey, error) {
	patience := countFor
	if dry {
		patience = 0
	}
	s, err := replay.NewSurvey(ctx, view, plan, time.Now(), patience, func(at, end int64) {
		shown.say("counting: offset %d of %d", at, end)
	})
	shown.done()
	if err != nil || dry || *p.yesEmpty || !s.Keys.Empty() {
		return s, err
	}
	return nil, fmt.Errorf("the point, offset %d, has no keys; proxy journal events lists what emptied "+
		"the server, and --event N goes to before that; --yes-empty restores nothing all the same",
		plan.Point.Offset)
}

func printSurvey(w io.Writer, p *replay.Plan, s *replay.Survey) {
	if e := p.Point.Event; e != nil {
		fmt.Fprintf(w, "before event %d: %s, from %s to %s\n", e.N, e.Text(), clock(e.First),
			clock(e.Last))
	}
	how := ""
	switch {
	case !s.Keys.Known():
		how = " (nothing that the journal holds says how many)"
	case !s.Keys.Exact():
		how = " (between what is certain and what is possible)"
	}
	fmt.Fprintf(w, "keys there: %s%s\n", s.Keys, how)
	after := quantity.Grouped(s.After) + " " + quantity.Either(s.After, "command", "commands")
	if s.More {
		after = "more than " + after
	}
	if s.After < 0 {
		after = "an unknown number of commands, for a part is missing"
	}
	fmt.Fprintf(w, "after it: %s; deadlines passed since: %s\n", after, between(s.Expired))
}

func between(b replay.Between) string {
	switch {
	case b.High == b.Low:
		return quantity.Grouped(b.Low)
	case b.High < 0:
		return quantity.Grouped(b.Low) + " or more"
	}
	return quantity.Grouped(b.Low) + " to " + quantity.Grouped(b.High)
}
