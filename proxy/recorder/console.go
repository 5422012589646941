package recorder

import (
	"context"
	"time"

	"holdfast/journal"
	"holdfast/journal/tap"
	"holdfast/proxy/admin"
	"holdfast/proxy/admin/page"
	"holdfast/proxy/telemetry"
)

// State gives the journal's metrics.
func (r *Recorder) State() *telemetry.JournalState {
	s := &telemetry.JournalState{Journal: r.journal.Load().Stats(), Tap: r.tap.Load().Stats(),
		Reopens: r.reopens.Load(), Scrubs: r.scrub.rounds.Load(),
		Damaged: int64(len(r.scrub.damaged())), Held: r.heldBack() != ""}
	s.Events, s.LastEvents = r.events.counts()
	if a := r.asideNow(); a != nil {
		s.Aside = a.Time
	}
	s.Lag = lag(s, r.moved.Load())
	return s
}

// lag is how long the journal has been behind: since it was attached, or, while data waits for the
// next fsync, since the last one, at moved.
func lag(s *telemetry.JournalState, moved int64) time.Duration {
	since := s.Tap.Since
	switch {
	case s.Tap.State != tap.Streaming && !s.Tap.LastByte.IsZero():
		since = s.Tap.LastByte
	case s.Tap.State == tap.Streaming && s.Journal.Received == s.Journal.Durable:
		return 0
	case s.Tap.State == tap.Streaming && moved != 0:
		since = time.Unix(0, moved)
	}
	return time.Since(since)
}

// Console implements admin.JournalBackend.
type Console struct {
	recorder *Recorder // nil without a journal
	audit    func(admin.Action)
}

// Console returns the console's view. audit records the end of a repair. r is nil without a journal.
func (r *Recorder) Console(audit func(admin.Action)) Console { return Console{r, audit} }

// Journal implements admin.JournalBackend.
func (c Console) Journal(context.Context) (*admin.Journal, error) {
	r := c.recorder
	if r == nil {
		return nil, admin.ErrNoJournal
	}
	o, j, s := r.options(), r.journal.Load().Stats(), r.tap.Load().Stats()
	out := &admin.Journal{
		Dir: o.Dir, State: string(j.State), Required: o.Required, Server: s.Primary,
		Attached: string(s.State), Since: time.Since(s.Since), Restorable: s.Covered,
		Timeline: uint32(j.Received.Timeline), Received: j.Received.Offset, Durable: j.Durable.Offset,
		Segments: j.Segments, SegmentBytes: j.SegmentBytes, Bases: j.Bases, BaseBytes: j.BaseBytes,
		BaseError: errorText(s.BaseErr), BaseFailing: s.BaseFailing, BaseSince: s.BaseSince,
		Over: j.Over, BaseRunning: s.BaseRunning, Oldest: j.Oldest, Gaps: j.Gaps, Incidents: j.Incidents,
		Replaced: j.Replaced,
		Fsyncs:   j.Fsyncs, FsyncLast: j.FsyncLast, FsyncMax: j.FsyncMax, Batches: j.Batches,
		StreamBytes: j.StreamBytes, Rate: int64(j.WriteRate), BacklogSize: s.BacklogSize,
		BacklogTime: s.BacklogTime, DiskPercent: j.DiskPercent, DiskFree: j.DiskFree,
		TimeToFull: j.TimeToFull, Attempts: s.Connects, Continues: s.Continues,
		FullResyncs: s.FullResyncs, BasesTaken: s.Bases, BasesFailed: s.BaseErrors,
		Reopens: r.reopens.Load(), FirstError: errorText(j.FirstError), DiskErrors: j.DiskErrors,
		Error: errorText(r.failure()), LastError: errorText(s.LastErr),
	}
	if a := r.asideNow(); a != nil {
		out.Aside = &admin.Aside{Dir: a.To, Time: a.Time, Why: a.Why}
	}
	if j.Fsyncs > 0 {
		out.FsyncMean = j.FsyncTotal / time.Duration(j.Fsyncs)
	}
	if !s.LastByte.IsZero() {
		out.Quiet = time.Since(s.LastByte)
	}
	return out, nil
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// contents lists the journal's present contents.
func (c Console) contents() (*journal.View, error) {
	if c.recorder == nil {
		return nil, admin.ErrNoJournal
	}
	return c.recorder.journal.Load().View()
}

// Timelines implements admin.JournalBackend.
func (c Console) Timelines(context.Context) ([]admin.Timeline, error) {
	view, err := c.contents()
	if err != nil {
		return nil, err
	}
	var out []admin.Timeline
	for _, t := range view.Timelines() {
		out = append(out, admin.Timeline{
			ID: uint32(t.ID), ReplID: t.ReplID, Start: t.Start, End: t.End, Parent: uint32(t.Parent),
			Fork: t.Fork, Why: t.Why, Opened: t.Opened, Last: t.Last,
		})
	}
	return out, nil
}

// History implements page.Backend.
func (c Console) History(context.Context) (*page.History, error) {
	view, err := c.contents()
	if err != nil {
		return nil, err
	}
	out := &page.History{Keys: keysOf(c.recorder.journal.Load().Keys())}
	for _, b := range view.Bases() {
		if !b.Missing {
			out.Bases = append(out.Bases, admin.Base{File: b.File, Timeline: uint32(b.Timeline), Offset: b.Offset,
				Size: b.Size, Time: b.Time})
		}
	}
	for _, g := range view.Gaps() {
		out.Gaps = append(out.Gaps, page.Gap{Timeline: uint32(g.Timeline), From: g.From, To: g.To, Why: g.Why,
			Time: g.Time})
	}
	return out, nil
}

// TakeBase implements admin.JournalBackend.
func (c Console) TakeBase(ctx context.Context) (*admin.Base, error) {
	if c.recorder == nil {
		return nil, admin.ErrNoJournal
	}
	b, err := c.recorder.tap.Load().Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return &admin.Base{File: b.File, Timeline: uint32(b.Timeline), Offset: b.Offset, Size: b.Size,
		Time: b.Time}, nil
}
