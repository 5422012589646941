package durable

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"time"

	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// sideLink is a connection of the control user, separate from those that carry client commands. It
// carries one fence at a time, since WAIT blocks its connection.
type sideLink struct {
	p      *Pipeline
	link   Link
	ready  bool // the server at its end is known
	dead   bool
	fence  *fence // nil: free
	marked bool   // it has written, and the write was in the append-only file (wait.go)

	steps []step // outstanding steps, oldest first
	idle  int64  // loop time at which it became free
	until int64  // loop time at which a fence without all replies counts as stuck
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
	stepSize   // the size of the watermark's database (mark.go)
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

// Watermark is the key that fences write. Only its position in the stream matters.
const Watermark = "holdfast:fence"

var (
	frameHello = resp.AppendCommandStrings(nil, "iNfO", "server", "replication")
	frameInfo  = resp.AppendCommandStrings(nil, "iNfO", "replication")
	frameSet   = resp.AppendCommandStrings(nil, "sEt", Watermark, "1")
	// frameTouch replaces the SET that a full memory refuses; the key must exist.
	frameTouch  = resp.AppendCommandStrings(nil, "pExPiReAt", Watermark, "9999999999999")
	frameConfig = resp.AppendCommandStrings(nil, "cOnFiG", "gEt", "appendonly", "appendfsync",
		"no-appendfsync-on-rewrite")
)

var (
	errFenceStuck = errors.New("proxy: a fence was not answered")
	errNoInfo     = errors.New("proxy: the control user may not run INFO")
	errSideSpare  = errors.New("proxy: one side link too many")
)

// sidePool is the side links of a Pipeline.
type sidePool struct {
	p              *Pipeline
	connectTimeout int64 // of a dial, nanoseconds

	links   []*sideLink
	opening bool  // one of them is not ready yet
	retry   int64 // earliest loop time of the next dial
	backoff upstream.Backoff
	oom     bool // the server refuses SET for lack of memory
	hidden  hiddenCount
	encode  []byte // reused for commands
}

// take returns a free side link; nil if none is free. Then one is being opened.
func (s *sidePool) take() *sideLink {
	for _, side := range s.links {
		if side.ready && side.fence == nil {
			return side
		}
	}
	if len(s.links) < s.most() {
		s.open()
	}
	return nil
}

// most is the number of side links that are kept.
func (s *sidePool) most() int { return maxFences * max(len(s.p.kinds), 1) }

// open dials one more, unless a dial is under way or has just failed.
func (s *sidePool) open() {
	p := s.p
	now := p.env.Now()
	if s.opening || now < s.retry {
		return
	}
	s.opening = true
	side := &sideLink{p: p}
	side.link = p.env.Dial(p.mark.DB, side)
	s.links = append(s.links, side)
	side.send(stepHello, frameHello)
	side.until = now + int64(fenceGrace) + s.connectTimeout
}

// send appends a command of the proxy's own.
func (side *sideLink) send(st step, frame []byte) {
	side.link.Send(frame)
	side.steps = append(side.steps, st)
}

// carry begins a fence.
func (side *sideLink) carry(fc *fence) {
	now := side.p.env.Now()
	side.fence, fc.carried = fc, true
	side.until = now + int64(fenceWait+fenceGrace)
	switch k := fc.f.kind; {
	case k.journal:
		side.send(stepBefore, frameInfo)
	case k.aof:
		side.carryAOF(fc)
	default:
		side.send(stepBefore, frameInfo)
		side.mark()
		side.wait(int64(k.replicas))
	}
}

// carryAOF begins a fence of the append-only file, without a write of its own if that suffices.
func (side *sideLink) carryAOF(fc *fence) {
	k := fc.f.kind
	fc.unmarked = k.replicas == 0 && side.marked && side.p.facts.always
	switch {
	case fc.unmarked:
		side.send(stepConfig, frameConfig)
		side.waitAOF(k, 0)
	default:
		if k.replicas > 0 {
			side.send(stepBefore, frameInfo)
		}
		side.mark()
		side.waitAOF(k, side.p.journalsFacked())
		side.send(stepConfig, frameConfig)
	}
	side.send(stepAfter, frameInfo)
}

// mark sends the fence's own write.
func (side *sideLink) mark() {
	if side.p.sides.oom {
		side.send(stepSet, frameTouch)
		return
	}
	side.send(stepSet, frameSet)
}

// wait asks for a count of replicas, and then for their identities.
func (side *sideLink) wait(count int64) {
	side.fence.asked = count
	s := &side.p.sides
	s.encode = append(s.encode[:0], "*3\r\n$4\r\nwAiT\r\n"...)
	s.encode = appendNumber(s.encode, count)
	s.encode = appendNumber(s.encode, fenceWait.Milliseconds())
	side.send(stepWait, s.encode)
	side.send(stepAfter, frameInfo)
}

// waitAOF asks for fsyncs. Its count includes the journals that count as replicas.
func (side *sideLink) waitAOF(k kind, journals int) {
	side.fence.journals = journals
	side.fence.asked = int64(k.replicas)
	if k.replicas > 0 {
		side.fence.asked += int64(journals)
	}
	local := int64(0)
	if k.local {
		local = 1
	}
	s := &side.p.sides
	s.encode = append(s.encode[:0], "*4\r\n$7\r\nwAiTaOf\r\n"...)
	s.encode = appendNumber(s.encode, local)
	s.encode = appendNumber(s.encode, side.fence.asked)
	s.encode = appendNumber(s.encode, fenceWait.Milliseconds())
	side.send(stepWait, s.encode)
}

// appendNumber appends a number as an argument of a command.
func appendNumber(b []byte, n int64) []byte {
	var digits [20]byte
	return resp.AppendBulk(b, strconv.AppendInt(digits[:0], n, 10))
}

// Reply implements Handler.
func (side *sideLink) Reply(reply []byte) {
	st := side.steps[0]
	side.steps = slices.Delete(side.steps, 0, 1)
	switch st {
	case stepHello:
		side.hello(reply)
		return
	case stepSize, stepExists:
		side.counts(st, reply)
		return
	}
	fc := side.fence
	if !fc.ended && fc.epoch == side.p.epoch {
		fc.take(side, st, reply)
	}
	if len(side.steps) == 0 {
		side.free()
	}
}

// free makes the link take another fence.
func (side *sideLink) free() {
	fc := side.fence
	side.fence, side.idle = nil, side.p.env.Now()
	fc.carried = false
	side.marked = fc.f.kind.aof && fc.failed == telemetry.FenceProven && fc.epoch == side.p.epoch
	if !fc.f.kind.journal || fc.failed != 0 {
		// The journal's fences end once the journal has reached the offset.
		fc.end()
	}
	fc.recycle()
}

// end ends a fence whose replies have all come.
func (fc *fence) end() {
	if fc.epoch != fc.f.p.epoch {
		fc.f.ended(fc, telemetry.FencePrimary, "the primary changed")
		return
	}
	fc.f.ended(fc, fc.failed, fc.why)
}

// fail notes why a fence proves nothing. The first reason counts.
func (fc *fence) fail(outcome telemetry.FenceOutcome, why string) {
	if fc.failed == telemetry.FenceProven {
		fc.failed, fc.why = outcome, why
	}
}

// Broken implements Handler. It does its work once.
func (side *sideLink) Broken() {
	if side.dead {
		return
	}
	side.dead = true
	p := side.p
	p.sides.remove(side)
	if !side.ready {
		p.sides.opening = false
		p.sides.retry = p.env.Now() + int64(p.sides.backoff.Next())
	}
	if fc := side.fence; fc != nil {
		side.fence, fc.carried = nil, false
		fc.f.ended(fc, telemetry.FenceBroken, "the link of the proof broke")
		fc.recycle()
	}
	p.wakeAt(p.sides.retry)
}

func (s *sidePool) remove(side *sideLink) {
	s.links = slices.DeleteFunc(s.links, func(x *sideLink) bool { return x == side })
}

// close drops a side link; its fence in flight proves nothing.
func (side *sideLink) close(cause error) {
	side.Broken()
	side.link.Fail(cause)
}

// close closes all side links.
func (s *sidePool) close() {
	for _, side := range slices.Clone(s.links) {
		side.close(errSideSpare)
	}
	s.retry = 0
}

// limit closes the oldest side links beyond the limit: the youngest verifies the most links.
func (s *sidePool) limit() {
	for i := 0; len(s.links) > s.most() && i < len(s.links); {
		if side := s.links[i]; side.ready && side.fence == nil {
			side.close(errSideSpare)
			continue
		}
		i++
	}
}

// Sweep closes side links that are stuck or idle for too long, and keeps one open while there are
// routes. Call it once a second.
func (p *Pipeline) Sweep() {
	s, now := &p.sides, p.env.Now()
	for _, side := range slices.Clone(s.links) {
		switch {
		case (!side.ready || side.fence != nil) && now > side.until:
			side.close(errFenceStuck)
		case side.ready && side.fence == nil && now-side.idle > sideIdle &&
			(len(s.links) > 1 || p.routes == nil):
			side.close(errSideSpare)
		}
	}
	if p.routes != nil && len(s.links) == 0 {
		s.open()
	}
}

// errorMax is how much of an error reply is quoted.
const errorMax = 80

// errorOf returns the text of an error reply; false: no error.
func errorOf(reply []byte) (string, bool) {
	if len(reply) == 0 || reply[0] != '-' {
		return "", false
	}
	return string(bytes.TrimRight(reply[1:min(len(reply), 1+errorMax)], "\r\n")), true
}
