package tap

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"holdfast/journal"
	"holdfast/journal/stream"
)

// recordIncident records the end of a history at the primary. old is that history; r is the verdict
// of judge, nil where place knows the lost range exactly.
func (t *Tap) recordIncident(ctx context.Context, old journal.Timeline, pl plan, r *ruling) error {
	replaced := pl.start.Parent == 0
	if r == nil || !replaced {
		if pl.lost.From >= pl.lost.To {
			return nil
		}
		r = &ruling{verdict: journal.Lost, from: pl.lost.From, least: pl.lost.From, hold: true,
			why: fmt.Sprintf("the server's replication ids say that it went another way from offset "+
				"%d on", pl.lost.From)}
	}
	in := journal.Incident{Timeline: old.ID, From: r.from, To: old.End, Least: r.least,
		Time: time.Now(), Why: r.why, Replaced: replaced, Verdict: r.verdict, Hold: r.hold,
		FirstTime: old.Last, LastTime: old.Last, Untouched: r.untouched, Empty: r.bare, Early: r.early,
		Whole: r.whole}
	if r.verdict == journal.NothingLost {
		in.Closed, in.How = in.Time, "proven"
	} else if err := t.survey(ctx, &in, r); err != nil {
		return err
	}
	if !replaced && in.Commands == 0 {
		return nil // the servers' own traffic, and messages, which no server stores
	}
	t.announce(&in)
	return t.opts.Journal.AddIncident(ctx, in)
}

// recordBehind records that a part of a history is lost, unless an earlier incident has recorded
// it.
func (t *Tap) recordBehind(ctx context.Context, pl plan, lost journal.Range) error {
	view, err := t.opts.Journal.View()
	if err != nil {
		return err
	}
	for _, i := range view.Incidents() {
		if i.Timeline == lost.Timeline && i.Verdict != journal.NothingLost && i.From <= lost.From &&
			i.To >= lost.To {
			return nil
		}
	}
	tl, ok := view.Timeline(lost.Timeline)
	if !ok {
		return nil
	}
	pl.lost = lost
	return t.recordIncident(ctx, tl, pl, nil)
}

// announce logs an incident.
func (t *Tap) announce(in *journal.Incident) {
	a := []any{"verdict", in.Verdict, "timeline", in.Timeline, "from", in.From, "to", in.To,
		"commands", in.Commands, "at_most", in.Most, "keys", in.Keys, "since", in.FirstTime,
		"why", in.Why}
	switch in.Verdict {
	case journal.NothingLost:
		t.log.Info("journal: the server came with a new history and has lost nothing", a...)
	case journal.Lost:
		t.log.Error("journal: the primary lost writes that the journal holds", a...)
	case journal.InQuestion:
		t.log.Warn("journal: whether the server lost writes is in question", a...)
	}
}

const (
	// surveyBytes bounds the stream read to count commands: the tap waits meanwhile.
	surveyBytes = 1 << 30
	// surveyKeys bounds the distinct keys; beyond that they are not counted.
	surveyKeys = 1 << 20
)

// survey counts the commands and keys of an incident and notes their times. A certain loss that
// cannot be read is recorded all the same.
func (t *Tap) survey(ctx context.Context, in *journal.Incident, r *ruling) error {
	err := t.opts.Journal.WaitDurable(ctx, journal.Position{Timeline: in.Timeline, Offset: in.To})
	if err != nil {
		return err
	}
	view, err := t.opts.Journal.View()
	if err != nil {
		return err
	}
	c := &census{in: in, seed: maphash.MakeSeed(), keys: map[uint64]struct{}{}}
	if in.To-in.From <= surveyBytes {
		sc := stream.NewScanner(stream.Options{Offset: in.From, DB: -1, MaxArg: 512})
		err = scan(ctx, view, journal.Position{Timeline: in.Timeline, Offset: in.From}, sc, c.take)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil || in.To-in.From > surveyBytes {
		in.Commands, in.Most, in.Keys = -1, -1, -1
		if r.verdict == journal.InQuestion {
			in.Commands = 0
		}
		if err != nil {
			t.log.Error("journal: cannot read the lost tail", "timeline", in.Timeline,
				"from", in.From, "error", err)
		}
	} else {
		in.Keys = int64(len(c.keys))
		if len(c.keys) == surveyKeys {
			in.Keys = -1
		}
	}
	if r.keys > 0 {
		in.Keys = r.keys
	}
	return nil
}

// census holds the counts for an incident.
type census struct {
	in   *journal.Incident
	seed maphash.Seed
	keys map[uint64]struct{}
}

func (c *census) take(cmd *stream.Command) error {
	if cmd.Traceless() {
		return nil
	}
	in := c.in
	in.Most++
	if in.Most == 1 {
		in.FirstTime = cmd.Time
	}
	in.LastTime = cmd.Time
	if cmd.Start >= in.Least {
		in.Commands++
	}
	if cmd.Start < in.Least && in.Verdict == journal.Lost {
		return nil
	}
	one := *cmd
	one.DB = max(one.DB, 0)           // unknown before the first SELECT
	one.Touches(c.note, func(int) {}) // the number of keys of a whole database is unknown
	return nil
}

func (c *census) note(db int, key []byte) {
	if len(c.keys) == surveyKeys {
		return
	}
	h := maphash.Bytes(c.seed, key)
	c.keys[h^uint64(db+1)*0x9e3779b97f4a7c15] = struct{}{}
}

// closeRecovered closes the incidents whose writes are in the history that has just begun: those of
// a restore or a failover back.
func (t *Tap) closeRecovered(ctx context.Context) error {
	view, err := t.opts.Journal.View()
	if err != nil {
		return err
	}
	for _, i := range view.Incidents() {
		if !i.Open() || !view.Recovered(i) {
			continue
		}
		t.log.Info("journal: the server has again what it had lost", "timeline", i.Timeline,
			"from", i.From, "to", i.To)
		if err := t.opts.Journal.CloseIncident(ctx, i, "the server has it again"); err != nil {
			return err
		}
	}
	return nil
}
