package tap

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
)

// startEvery is the interval between requests to start the stream: the primary starts it at the
// first acknowledgement after it has reaped its snapshot child, which can be later than our first
// one.
const startEvery = 100 * time.Millisecond

// acker acknowledges on one connection: after each fsync, when the primary asks, and at least every
// AckEvery. Only its goroutine writes to the connection.
type acker struct {
	t        *Tap
	link     *link
	timeline journal.TimelineID

	flowing atomic.Bool   // the stream has begun
	asked   chan struct{} // has room for one: the primary asked, or more is durable
	buf     []byte        // owned by run
}

func newAcker(t *Tap, l *link, tl journal.TimelineID) *acker {
	return &acker{t: t, link: l, timeline: tl, asked: make(chan struct{}, 1)}
}

// run acknowledges until the context ends or the connection breaks.
func (a *acker) run(ctx context.Context) error {
	unsubscribe := a.t.opts.Journal.Subscribe(func(journal.Position) { poke(a.asked) })
	defer unsubscribe()
	rate := newRate(a.t.bytesRead.Load(), time.Now())
	for {
		if err := a.acknowledge(); err != nil {
			return err
		}
		pause := a.t.opts.AckEvery
		if !a.flowing.Load() {
			pause = min(pause, startEvery)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-a.asked:
			timer.Stop()
		case <-timer.C:
		}
		if rate.sample(a.t.bytesRead.Load(), time.Now()) {
			a.t.judgeBacklog(rate.perSecond)
		}
	}
}

// acknowledge sends the durable offset. Offset 0 says only that we are alive.
func (a *acker) acknowledge() error {
	offset := int64(0)
	if p := a.t.Confirmed(); p.Timeline == a.timeline {
		offset = p.Offset
	}
	text := strconv.FormatInt(offset, 10)
	args := []string{"REPLCONF", "ACK", text}
	if a.t.opts.FACK {
		args = append(args, "FACK", text)
	}
	a.buf = wire.Append(a.buf[:0], args...)
	if err := a.link.SetWriteDeadline(time.Now().Add(a.t.opts.Timeout)); err != nil {
		return err
	}
	_, err := a.link.Write(a.buf)
	return err
}
