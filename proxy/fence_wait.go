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
//
// WAITAOF waits for the last write of its own connection (c->woff in the server's source), so it
// needs that SET: clients' writes went by other links, where WAITAOF would hold up everybody's
// replies, and their users need not be allowed it. But each turn of the server's loop in which
// anybody wrote is an fsync under appendfsync always, and the reply to a WAITAOF that had to wait is
// written one turn later, after that turn's fsync. With its own, a lone write waited for two.
//
// So where appendfsync is always, and only the primary's file is asked for, a fence writes nothing:
//
//	CONFIG GET         appendonly yes, appendfsync always, no-appendfsync-on-rewrite no
//	WAITAOF 1 0        of a connection whose last write is long in the file: answered at once
//	INFO replication   the primary still is what it was
//
// What is proven by it, and why (beforeSleep, flushAppendOnlyFile and startAppendOnly of Valkey 8.0.1
// and Redis 7.2.0 to 8.0.2). Let w be a write that was answered before the fence began.
//
//   - A server under always writes replies only behind the fsync of all that was executed before, in
//     the same turn: flushAppendOnlyFile comes before handleClientsWithPendingWrites, with I/O
//     threads too, and looks for what an earlier setting left without an fsync. If fsync fails, the
//     server ends. So the reply to CONFIG GET, which says always and is executed after w, comes after
//     an fsync of w, whatever appendfsync was at w: if the file was on then.
//   - If it was off at w, or was turned on and is not complete yet, WAITAOF refuses, or waits: until
//     the rewrite is over, fsynced_reploff is 0 or -1, and the connection's write lies above it. That
//     is what it is for, and why it needs one write of the connection's at one time. When it answers,
//     w is in the file's new base, or was appended behind it and fsynced as above.
//   - Scripts, transactions and what a blocked client did are in that file before the turn of the
//     loop ends, like w; and what propagates nothing has nothing to lose.
//
// So a lone write waits for its own fsync and no other. Less cannot be had: in front of the write's
// reply nothing says whether what is asked was executed before or after it.
//
// Under everysec an fsync happens in the background, and the SET is needed to know which one.

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
		fl.configured(sl, reply)
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

// configured takes the settings that WAITAOF's word depends on.
func (fl *flight) configured(sl *sideLink, reply []byte) {
	ok, why := sl.d.aofWorth(reply)
	switch {
	case !ok && fl.f.kind.local:
		fl.fail(telemetry.FenceError, why)
	case fl.unmarked && !sl.d.facts.always:
		fl.fail(telemetry.FenceError, "appendfsync was changed")
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
