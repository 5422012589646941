package proxy

import (
	"context"
	"time"

	"holdfast/proxy/admin"
)

// outageOf describes the present outage for the console; nil: there is none.
func outageOf(ctx context.Context, l *loops) (out *admin.Outage, err error) {
	parts, err := gather(ctx, l, func(w *worker) *admin.Outage { return w.outage.describe() })
	if err != nil {
		return nil, err
	}
	held := int64(0)
	for _, o := range parts {
		if o == nil {
			continue
		}
		held += o.Held
		if out == nil || o.Left > out.Left {
			out = o
		}
	}
	if out != nil {
		out.Held = held
	}
	return out, nil
}

func (o *outage) describe() *admin.Outage {
	if !o.on {
		return nil
	}
	now := o.w.loop.Now()
	a := &admin.Outage{For: time.Duration(now - o.since), Why: reason(o.cause),
		Next: time.Duration(max(o.w.dialer.wait(now), 0)), Held: o.held()}
	if o.holds() {
		a.Left = time.Duration(o.until() - now)
	}
	return a
}

// held counts the sessions whose command waits.
func (o *outage) held() (n int64) {
	for _, s := range o.waiting.sessions {
		if s.wait == waitUpstream && !s.closed {
			n++
		}
	}
	return n
}
