package proxy

import (
	"bytes"
	"strings"

	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// A fence of replicas asks, in one go:
//
//	INFO replication   the offset up to which the primary has written, and its history
//	SET holdfast:fence so that there is a write of this connection's that WAIT can be about
//	WAIT n             returns when n replicas have that write
//	INFO replication   which they are, and that the primary still is what it was
//
// WAIT counts journals like replicas, so its count only says when to look. What counts are the lines
// of the last INFO: replicas that are online, have a port, and have acknowledged the offset of the
// first INFO. If it was a journal that WAIT counted, it is asked for one more than it has found.
//
// A fence of the AOF has WAITAOF in its place, and behind it CONFIG GET: the server's word is worth
// something only if it is set so that WAITAOF does not answer early.

// take carries out the reply to one step of a fence.
func (fl *flight) take(sl *sideLink, st step, reply []byte) {
	if text, bad := errorOf(reply); bad {
		fl.refused(sl, st, text)
		return
	}
	switch st {
	case stepBefore:
		fl.before(sl, reply)
	case stepSet:
		fl.marked(sl, reply)
	case stepWait:
		fl.counted(reply)
	case stepConfig:
		if ok, why := sl.d.aofWorth(reply); !ok && fl.f.kind.local {
			fl.fail(telemetry.FenceError, why)
		}
	case stepAfter:
		fl.after(sl, reply)
	}
}

// refused takes an error of the server's.
func (fl *flight) refused(sl *sideLink, st step, text string) {
	if st == stepSet {
		// A full memory refuses SET, and not what makes room, which is to be proven as well.
		sl.d.sides.oom = strings.HasPrefix(text, "OOM") && !sl.d.sides.oom
	}
	fl.fail(telemetry.FenceError, text)
	sl.d.w.up.Recheck()
}

// marked makes sure that there was a write: WAIT succeeds at once on a connection that made none.
func (fl *flight) marked(sl *sideLink, reply []byte) {
	if reply[0] != '+' && string(reply) != ":1\r\n" {
		sl.d.sides.oom = false
		fl.fail(telemetry.FenceError, "the mark of the proof is missing")
	}
}

// replication reads INFO. The text is part of the reply.
func replication(reply []byte) (upstream.Replication, bool) {
	text, ok := bulkText(reply)
	return upstream.ParseReplication(text), ok
}

// bulkText is the text of a bulk string.
func bulkText(reply []byte) ([]byte, bool) {
	i := bytes.IndexByte(reply, '\n')
	if len(reply) < 3 || reply[0] != '$' || i < 0 || len(reply) < i+3 {
		return nil, false
	}
	return reply[i+1 : len(reply)-2], true
}

func (fl *flight) before(sl *sideLink, reply []byte) {
	r, ok := replication(reply)
	if !ok || !sl.d.samePrimary(&r) {
		fl.fail(telemetry.FencePrimary, "the primary changed")
		return
	}
	fl.offset = r.Offset
	copy(fl.replID[:], r.ReplID)
	if fl.f.kind.aof && sl.d.journalsFacked() != fl.journals {
		fl.fail(telemetry.FenceShort, "a journal came or went")
	}
	if fl.f.kind.journal {
		fl.f.d.awaitJournal(fl)
	}
}

// counted takes what WAIT or WAITAOF has found.
func (fl *flight) counted(reply []byte) {
	k := fl.f.kind
	rest, local, ok := reply, int64(0), true
	if k.aof {
		if rest, ok = bytes.CutPrefix(rest, []byte("*2\r\n")); ok {
			local, rest, ok = cutInteger(rest)
		}
	}
	if ok {
		fl.answered, rest, ok = cutInteger(rest)
	}
	switch {
	case !ok || len(rest) > 0:
		fl.answered = 0
		fl.fail(telemetry.FenceError, "the server's answer cannot be read")
	case k.local && local < 1:
		fl.fail(telemetry.FenceShort, "it was not fsynced in time")
	case k.aof && fl.answered < fl.asked:
		fl.fail(telemetry.FenceShort, "too few replicas have fsynced")
	}
}

// cutInteger reads an integer reply at the start of b.
func cutInteger(b []byte) (n int64, rest []byte, ok bool) {
	if len(b) < 4 || b[0] != ':' {
		return 0, nil, false
	}
	for i, c := range b[1:] {
		switch {
		case c >= '0' && c <= '9' && n < 1<<50:
			n = 10*n + int64(c-'0')
		case c == '\r' && i > 0 && i+2 < len(b) && b[i+2] == '\n':
			return n, b[i+3:], true
		default:
			return 0, nil, false
		}
	}
	return 0, nil, false
}

func (fl *flight) after(sl *sideLink, reply []byte) {
	r, ok := replication(reply)
	if !ok || !sl.d.samePrimary(&r) {
		fl.fail(telemetry.FencePrimary, "the primary changed")
		return
	}
	k := fl.f.kind
	if k.aof {
		if k.replicas > 0 && sl.d.journalsFacked() != fl.journals {
			fl.fail(telemetry.FenceShort, "a journal came or went")
		}
		return
	}
	fl.f.acked = r.Acked(fl.offset)
	if fl.f.acked >= k.replicas && fl.answered >= int64(k.replicas) {
		return
	}
	if fl.answered >= fl.asked && sl.d.w.loop.Now()-fl.began < int64(fenceWait) {
		sl.wait(fl.answered + 1) // it was a journal that was counted
		return
	}
	fl.fail(telemetry.FenceShort, "too few replicas")
}
