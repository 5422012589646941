package proxy

import (
	"strings"
	"time"

	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// timeoutQueue is the holds of all routes with the same timeout, in the order of expiry. There is
// one queue for each distinct timeout, and one timer for all.
type timeoutQueue struct {
	after time.Duration
	holds queue[*hold]
}

// startTimeout starts the timeout at the server's reply.
func (d *durability) startTimeout(h *hold) {
	q := d.timeoutQueue(h.match.Timeout)
	h.refs++
	q.holds.push(h)
	if q.holds.len() == 1 {
		d.wakeAt(h.began + int64(q.after))
	}
}

func (d *durability) timeoutQueue(after time.Duration) *timeoutQueue {
	for _, q := range d.timeouts {
		if q.after == after {
			return q
		}
	}
	q := &timeoutQueue{after: after}
	d.timeouts = append(d.timeouts, q)
	return q
}

// wakeAt arms the timer, unless it is armed for an earlier time.
func (d *durability) wakeAt(when int64) {
	wait := max(when-d.w.loop.Now(), 1)
	switch {
	case d.timer == nil:
		d.timer = d.w.loop.AfterFunc(time.Duration(wait), d.expire)
	case d.wakes == 0 || when < d.wakes:
		d.timer.Reset(time.Duration(wait))
	default:
		return
	}
	d.wakes = when
}

// expire settles the holds whose timeout is over.
func (d *durability) expire() {
	d.wakes = 0
	now := d.w.loop.Now()
	for _, q := range d.timeouts {
		for q.holds.len() > 0 {
			h := q.holds.front()
			if !h.settled && h.began+int64(q.after) > now {
				d.wakeAt(h.began + int64(q.after))
				break
			}
			q.holds.pop()
			if !h.settled {
				h.closes = h.match.Close
				d.settle(h, telemetry.HoldTimeout)
			}
			d.unref(h)
		}
	}
}

// prune drops settled holds.
func (d *durability) prune() {
	for _, q := range d.timeouts {
		for q.holds.len() > 0 && q.holds.front().settled {
			d.unref(q.holds.pop())
		}
	}
	for _, f := range d.kinds {
		for f.waiting.len() > lateMax && f.waiting.front().settled {
			d.unref(f.waiting.pop())
		}
	}
}

// lateMax bounds the timed-out holds that still wait for a late proof, to count it.
const lateMax = 64 << 10

// textUnconfirmed returns the error that replaces a held reply.
func (d *durability) textUnconfirmed(h *hold, o telemetry.HoldOutcome) []byte {
	var text string
	switch o {
	case telemetry.HoldPrimary:
		text = textUnconfirmedPrimary(d.proofs(h))
	case telemetry.HoldLink:
		text = textUnconfirmedLink(d.proofs(h))
	default:
		text = textUnconfirmedTimeout(h.match.Timeout, d.proofs(h))
	}
	return resp.AppendError(nil, text)
}

// proofs lists the state of each proof: "journal confirmed; replicas 0 of 1".
func (d *durability) proofs(h *hold) string {
	var out []string
	for i, f := range h.plan.kinds {
		word := f.name + " confirmed"
		if h.missing&(1<<i) != 0 {
			word = f.lacks()
		}
		out = append(out, word)
	}
	if h.missing&needsLink != 0 {
		out = append(out, "the server that executed it not identified")
	}
	return strings.Join(out, "; ")
}
