package recorder

import (
	"context"
	"time"

	"holdfast/journal"
	"holdfast/journal/event"
	"holdfast/journal/replay"
	"holdfast/proxy/admin"
	"holdfast/proxy/admin/page"
)

// The price of a preview on the operator's page. The page makes one at a time.
const (
	previewBytes    = 256 << 20 // of stream
	previewPatience = 300 * time.Millisecond
	previewBase     = 4 << 20 // the size up to which a snapshot is read for its number of keys
)

// Preview implements page.Backend.
func (c Console) Preview(ctx context.Context, s page.Spot) (*page.Preview, error) {
	if c.recorder == nil {
		return nil, admin.ErrNoJournal
	}
	j := c.recorder.journal.Load()
	view, err := j.View()
	if err != nil {
		return nil, err
	}
	sel := replay.Selector{Kind: replay.AtTime, Time: s.Time}
	if s.Time.IsZero() {
		sel = replay.Selector{Kind: replay.AtOffset, Timeline: journal.TimelineID(s.Timeline), Offset: s.Offset}
	}
	p, err := replay.NewPreview(ctx, view, replay.PreviewOptions{Selector: sel, To: s.To, Bytes: previewBytes,
		Patience: previewPatience, BaseBytes: previewBase, Events: j.Events()})
	if err != nil {
		return nil, err
	}
	out := &page.Preview{At: p.Time, Timeline: uint32(p.Timeline), Offset: p.Offset, Keys: keysOf(p.Keys), Short: p.Short,
		Left: p.Left, After: keysOf(p.Since.Keys), Bytes: p.Since.Bytes, Read: p.Since.Read, Commands: p.Since.Commands,
		SinceShort: p.Since.Short}
	if s.To == 0 {
		out.After = keysOf(j.Keys())
	}
	for _, n := range p.Since.Names {
		out.Names = append(out.Names, page.CommandCount(n))
	}
	return out, nil
}

func keysOf(c event.Counts) page.Keys {
	k := page.Keys{Known: c.Known()}
	for _, d := range c.DBs {
		k.DBs = append(k.DBs, page.DBKeys(d))
	}
	return k
}
