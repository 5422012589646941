package main

import (
	"errors"
	"flag"
	"strconv"

	"holdfast/journal"
)

// A timelineFlag names a timeline: a number, or the word current.
type timelineFlag struct {
	id      journal.TimelineID // 0: not given
	current bool
}

func addTimeline(f *flag.FlagSet) *timelineFlag {
	t := &timelineFlag{}
	f.Var(t, "timeline", "of timeline `ID` (proxy journal ls), or current. By default a time means the\n"+
		"history that was the present then, everything else the current one; --end\n"+
		"asks where a branch that the server lost has more")
	return t
}

// String implements flag.Value.
func (t *timelineFlag) String() string {
	switch {
	case t.current:
		return "current"
	case t.id != 0:
		return strconv.Itoa(int(t.id))
	}
	return ""
}

// Set implements flag.Value.
func (t *timelineFlag) Set(text string) error {
	if text == "current" {
		*t = timelineFlag{current: true}
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		return errors.New("a timeline is a number from 1 on, or current")
	}
	*t = timelineFlag{id: journal.TimelineID(n)}
	return nil
}
