package proxy

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// sideLink is a connection of the control user, separate from those that carry client commands. It
// carries one fence at a time, since WAIT blocks its connection. It is an ordinary link with
// neither lane nor owner.
type sideLink struct {
	d      *durability
	l      *link
	ready  bool // the server at its end is known
	dead   bool
	flight *flight // nil: free
	marked bool    // it has written, and the write was in the append-only file (fence_wait.go)

	steps []step // outstanding steps, oldest first
	call  call   // one for all steps
	idle  int64  // loop time at which it became free
	until int64  // loop time at which a flight without all replies counts as stuck
}

// step is a command of a fence.
type step uint8

const (
	stepHello  step = iota // the server's identity: run id, role, history
	stepBefore             // INFO replication before the fence
	stepSet                // the write that WAIT and WAITAOF wait for
	stepWait
	stepConfig // the settings that WAITAOF depends on
	stepAfter  // INFO replication after the fence
	stepSize   // the size of the watermark's database (fence_mark.go)
	stepExists
)

const (
	// fenceWait bounds WAIT and WAITAOF. After it a new fence covers the same holds.
	fenceWait = time.Second
	// fenceGrace is how long their reply may be overdue before the link counts as stuck.
	fenceGrace = 2 * time.Second
	// sideIdle is how long a side link may be unused, except the last one.
	sideIdle = int64(10 * time.Second)
)

// The watermark is the key that fences write. Only its position in the stream matters.
const watermark = "holdfast:fence"

var (
	frameHello = resp.AppendCommandStrings(nil, "iNfO", "server", "replication")
	frameInfo  = resp.AppendCommandStrings(nil, "iNfO", "replication")
	frameSet   = resp.AppendCommandStrings(nil, "sEt", watermark, "1")
	// frameTouch replaces the SET that a full memory refuses; the key must exist.
	frameTouch  = resp.AppendCommandStrings(nil, "pExPiReAt", watermark, "9999999999999")
	frameConfig = resp.AppendCommandStrings(nil, "cOnFiG", "gEt", "appendonly", "appendfsync",
		"no-appendfsync-on-rewrite")
)

var (
	errFenceStuck = errors.New("proxy: a fence was not answered")
	errNoInfo     = errors.New("proxy: the control user may not run INFO")
	errSideSpare  = errors.New("proxy: one side link too many")
)

// sidePool is the side links of a worker.
type sidePool struct {
	links   []*sideLink
	opening bool  // one of them is not ready yet
	retry   int64 // earliest loop time of the next dial
	backoff upstream.Backoff
	oom     bool // the server refuses SET for lack of memory
}

// take returns a free side link; nil if none is free. Then one is being opened.
func (p *sidePool) take(d *durability) *sideLink {
	for _, sl := range p.links {
		if sl.ready && sl.flight == nil {
			return sl
		}
	}
	if len(p.links) < maxFlights*max(len(d.kinds), 1) {
		p.open(d)
	}
	return nil
}

// open dials one more, unless a dial is under way or has just failed.
func (p *sidePool) open(d *durability) {
	w := d.w
	if p.opening || w.loop.Now() < p.retry {
		return
	}
	p.opening = true
	l := w.newLink(w.controlIdentity(), laneKey{kind: laneScript, proto: 2, db: d.db})
	sl := &sideLink{d: d, l: l}
	sl.call.done = sl.reply
	l.side = sl
	p.links = append(p.links, sl)
	sl.send(stepHello, frameHello)
	sl.until = w.loop.Now() + int64(fenceGrace) + int64(w.srv.opts.Upstream.ConnectTimeout)
}

// send appends a command of the proxy's own.
func (sl *sideLink) send(st step, frame []byte) {
	l := sl.l
	l.send(frame)
	r := l.reqs.push()
	r.mode, r.call, r.start, r.end = modeCall, &sl.call, l.w.loop.Now(), l.queued
	sl.steps = append(sl.steps, st)
}

// fly begins a fence.
func (sl *sideLink) fly(fl *flight) {
	now := sl.d.w.loop.Now()
	sl.flight, fl.aloft = fl, true
	sl.until = now + int64(fenceWait+fenceGrace)
	switch k := fl.f.kind; {
	case k.journal:
		sl.send(stepBefore, frameInfo)
	case k.aof:
		sl.flyAOF(fl)
	default:
		sl.send(stepBefore, frameInfo)
		sl.mark()
		sl.wait(int64(k.replicas))
	}
}

// flyAOF begins a fence of the append-only file, without a write of its own if that suffices.
func (sl *sideLink) flyAOF(fl *flight) {
	k := fl.f.kind
	fl.unmarked = k.replicas == 0 && sl.marked && sl.d.facts.always
	switch {
	case fl.unmarked:
		sl.send(stepConfig, frameConfig)
		sl.waitAOF(k, 0)
	default:
		if k.replicas > 0 {
			sl.send(stepBefore, frameInfo)
		}
		sl.mark()
		sl.waitAOF(k, sl.d.journalsFacked())
		sl.send(stepConfig, frameConfig)
	}
	sl.send(stepAfter, frameInfo)
}

// mark sends the fence's own write.
func (sl *sideLink) mark() {
	if sl.d.sides.oom {
		sl.send(stepSet, frameTouch)
		return
	}
	sl.send(stepSet, frameSet)
}

// wait asks for a count of replicas, and then for their identities.
func (sl *sideLink) wait(count int64) {
	sl.flight.asked = count
	w := sl.d.w
	w.encode = append(w.encode[:0], "*3\r\n$4\r\nwAiT\r\n"...)
	w.encode = appendNumber(w.encode, count)
	w.encode = appendNumber(w.encode, fenceWait.Milliseconds())
	sl.send(stepWait, w.encode)
	sl.send(stepAfter, frameInfo)
}

// waitAOF asks for fsyncs. Its count includes the journals that count as replicas.
func (sl *sideLink) waitAOF(k fenceKind, journals int) {
	sl.flight.journals = journals
	sl.flight.asked = int64(k.replicas)
	if k.replicas > 0 {
		sl.flight.asked += int64(journals)
	}
	local := int64(0)
	if k.local {
		local = 1
	}
	w := sl.d.w
	w.encode = append(w.encode[:0], "*4\r\n$7\r\nwAiTaOf\r\n"...)
	w.encode = appendNumber(w.encode, local)
	w.encode = appendNumber(w.encode, sl.flight.asked)
	w.encode = appendNumber(w.encode, fenceWait.Milliseconds())
	sl.send(stepWait, w.encode)
}

// appendNumber appends a number as an argument of a command.
func appendNumber(b []byte, n int64) []byte {
	var digits [20]byte
	return resp.AppendBulk(b, strconv.AppendInt(digits[:0], n, 10))
}

// reply takes the replies, in order.
func (sl *sideLink) reply(reply []byte, broken bool) {
	if broken {
		sl.broke()
		return
	}
	st := sl.steps[0]
	sl.steps = slices.Delete(sl.steps, 0, 1)
	switch st {
	case stepHello:
		sl.hello(reply)
		return
	case stepSize, stepExists:
		sl.counts(st, reply)
		return
	}
	fl := sl.flight
	if !fl.ended && fl.epoch == sl.d.epoch {
		fl.take(sl, st, reply)
	}
	if len(sl.steps) == 0 {
		sl.land()
	}
}

// land frees the link.
func (sl *sideLink) land() {
	fl := sl.flight
	sl.flight, sl.idle = nil, sl.d.w.loop.Now()
	fl.aloft = false
	sl.marked = fl.f.kind.aof && fl.failed == telemetry.FenceProven && fl.epoch == sl.d.epoch
	if !fl.f.kind.journal || fl.failed != 0 {
		// The journal's fences end once the journal has reached the offset.
		fl.end()
	}
	fl.landed()
}

// end ends a fence whose replies have all come.
func (fl *flight) end() {
	if fl.epoch != fl.f.d.epoch {
		fl.f.ended(fl, telemetry.FencePrimary, "the primary changed")
		return
	}
	fl.f.ended(fl, fl.failed, fl.why)
}

// fail notes why a fence proves nothing. The first reason counts.
func (fl *flight) fail(outcome telemetry.FenceOutcome, why string) {
	if fl.failed == telemetry.FenceProven {
		fl.failed, fl.why = outcome, why
	}
}

// broke is called for each outstanding command of a broken link, and does its work once.
func (sl *sideLink) broke() {
	if sl.dead {
		return
	}
	sl.dead = true
	d := sl.d
	d.sides.remove(sl)
	if !sl.ready {
		d.sides.opening = false
		d.sides.backoff.Max = d.w.srv.opts.Upstream.MaxBackoff
		d.sides.retry = d.w.loop.Now() + int64(d.sides.backoff.Next())
	}
	if fl := sl.flight; fl != nil {
		sl.flight, fl.aloft = nil, false
		fl.f.ended(fl, telemetry.FenceBroken, "the link of the proof broke")
		fl.landed()
	}
	d.wakeAt(d.sides.retry)
}

func (p *sidePool) remove(sl *sideLink) {
	p.links = slices.DeleteFunc(p.links, func(x *sideLink) bool { return x == sl })
}

// close drops a side link; its fence in flight proves nothing.
func (sl *sideLink) close(cause error) {
	sl.broke()
	if !sl.l.closed {
		sl.l.fail(cause)
	}
}

// closeSides closes all side links.
func (d *durability) closeSides() {
	for _, sl := range slices.Clone(d.sides.links) {
		sl.close(errSideSpare)
	}
	d.sides.retry = 0
}

// sweepSides closes side links that are stuck or idle for too long, and keeps one open while there
// are routes.
func (d *durability) sweepSides() {
	now := d.w.loop.Now()
	for _, sl := range slices.Clone(d.sides.links) {
		switch {
		case (!sl.ready || sl.flight != nil) && now > sl.until:
			sl.close(errFenceStuck)
		case sl.ready && sl.flight == nil && now-sl.idle > sideIdle &&
			(len(d.sides.links) > 1 || !d.routes):
			sl.close(errSideSpare)
		}
	}
	if d.routes && len(d.sides.links) == 0 {
		d.sides.open(d)
	}
}

// errorOf returns the text of an error reply; false: no error.
func errorOf(reply []byte) (string, bool) {
	if len(reply) == 0 || reply[0] != '-' {
		return "", false
	}
	return string(trimCRLF(short(reply[1:]))), true
}
