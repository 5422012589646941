package durable

import (
	"bytes"
	"strings"

	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// A fence of replicas sends, in one write:
//
//	INFO replication   the offset up to which the primary has written, and its history
//	SET holdfast:fence a write of this connection, for WAIT to wait for
//	WAIT n             returns when n replicas have that write
//	INFO replication   the replicas' identities, and proof that the primary has not changed
//
// WAIT counts journals like replicas, so its count only triggers a check of the last INFO. Its
// lines decide: replicas that are online, have a port, and have acknowledged the offset of the
// first INFO. If WAIT counted a journal, it is sent again for one more than it has found.
//
// A fence of the AOF has WAITAOF in its place, followed by CONFIG GET: the answer counts only under
// settings with which WAITAOF does not answer early.
//
// WAITAOF waits for the last write of its own connection (c->woff in the server's source), so it
// needs that SET: clients' writes went by other links, where WAITAOF would delay all replies, and
// their users may lack permission for it. But under appendfsync always each turn of the server's
// loop with any write costs an fsync, and the reply to a WAITAOF that had to wait is written one
// turn later, after that turn's fsync. With the fence's own SET, a lone write waited for two
// fsyncs.
//
// So if appendfsync is always, and only the primary's file is demanded, a fence writes nothing:
//
//	CONFIG GET         appendonly yes, appendfsync always, no-appendfsync-on-rewrite no
//	WAITAOF 1 0        on a connection whose last write is long in the file: answered at once
//	INFO replication   proof that the primary has not changed
//
// The proof (beforeSleep, flushAppendOnlyFile and startAppendOnly of Valkey 8.0.1 and Redis 7.2.0
// to 8.0.2): let w be a write that was answered before the fence began.
//
//   - A server under always writes replies only after the fsync of every write executed before, in
//     the same turn: flushAppendOnlyFile comes before handleClientsWithPendingWrites, with I/O
//     threads too, and it also syncs data left unsynced by an earlier setting. If fsync fails, the
//     server exits. So the reply to CONFIG GET, which reads always and is executed after w, follows
//     an fsync of w, for any appendfsync at w, provided that the file was on then.
//   - If it was off at w, or was turned on and is not complete yet, WAITAOF refuses, or waits: until
//     the rewrite is over, fsynced_reploff is 0 or -1, and the connection's write lies above it. For
//     this the fence has WAITAOF, and its connection needs one earlier write. When WAITAOF answers,
//     w is in the file's new base, or was appended after it and fsynced as above.
//   - The writes of scripts, transactions and unblocked clients are in that file before the turn of
//     the loop ends, like w; a command that propagates nothing has nothing to lose.
//
// So a lone write waits for its own fsync and no other. That is the minimum: until the write's
// reply is read, nothing shows whether a query was executed before or after the write.
//
// Under everysec the fsync happens in the background, and the SET identifies the one to wait for.

// take handles the reply to one step of a fence.
func (fc *fence) take(side *sideLink, st step, reply []byte) {
	if text, bad := errorOf(reply); bad {
		fc.refused(side, st, text)
		return
	}
	switch st {
	case stepBefore:
		fc.before(side, reply)
	case stepSet:
		fc.marked(side, reply)
	case stepWait:
		fc.counted(reply)
	case stepConfig:
		fc.configured(side, reply)
	case stepAfter:
		fc.after(side, reply)
	}
}

// refused handles an error reply.
func (fc *fence) refused(side *sideLink, st step, text string) {
	if st == stepSet {
		// A server with full memory refuses SET but accepts deletes, whose proof is also needed.
		side.p.sides.oom = strings.HasPrefix(text, "OOM") && !side.p.sides.oom
	}
	fc.fail(telemetry.FenceError, text)
	side.p.env.Recheck()
}

// marked checks that the write happened: WAIT succeeds at once on a connection without one.
func (fc *fence) marked(side *sideLink, reply []byte) {
	if reply[0] != '+' && string(reply) != ":1\r\n" {
		side.p.sides.oom = false
		fc.fail(telemetry.FenceError, "the mark of the proof is missing")
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

func (fc *fence) before(side *sideLink, reply []byte) {
	r, ok := replication(reply)
	if !ok || !side.p.samePrimary(&r) {
		fc.fail(telemetry.FencePrimary, "the primary changed")
		return
	}
	fc.offset = r.Offset
	copy(fc.replID[:], r.ReplID)
	if fc.f.kind.aof && side.p.journalsFacked() != fc.journals {
		fc.fail(telemetry.FenceShort, "a journal came or went")
	}
	if fc.f.kind.journal {
		fc.f.p.awaitJournal()
	}
}

// counted takes the count of WAIT or WAITAOF.
func (fc *fence) counted(reply []byte) {
	k := fc.f.kind
	rest, local, ok := reply, int64(0), true
	if k.aof {
		if rest, ok = bytes.CutPrefix(rest, []byte("*2\r\n")); ok {
			local, rest, ok = cutInteger(rest)
		}
	}
	if ok {
		fc.answered, rest, ok = cutInteger(rest)
	}
	switch {
	case !ok || len(rest) > 0:
		fc.answered = 0
		fc.fail(telemetry.FenceError, "the server's answer cannot be read")
	case k.local && local < 1:
		fc.fail(telemetry.FenceShort, "it was not fsynced in time")
	case k.aof && fc.answered < fc.asked:
		fc.fail(telemetry.FenceShort, "too few replicas have fsynced")
	}
}

// configured takes the settings on which WAITAOF's answer depends.
func (fc *fence) configured(side *sideLink, reply []byte) {
	ok, why := side.p.aofWorth(reply)
	switch {
	case !ok && fc.f.kind.local:
		fc.fail(telemetry.FenceError, why)
	case fc.unmarked && !side.p.facts.always:
		fc.fail(telemetry.FenceError, "appendfsync was changed")
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

func (fc *fence) after(side *sideLink, reply []byte) {
	r, ok := replication(reply)
	if !ok || !side.p.samePrimary(&r) {
		fc.fail(telemetry.FencePrimary, "the primary changed")
		return
	}
	k := fc.f.kind
	if k.aof {
		if k.replicas > 0 && side.p.journalsFacked() != fc.journals {
			fc.fail(telemetry.FenceShort, "a journal came or went")
		}
		return
	}
	fc.f.acked = r.Acked(fc.offset)
	if fc.f.acked >= k.replicas && fc.answered >= int64(k.replicas) {
		return
	}
	if fc.answered >= fc.asked && side.p.env.Now()-fc.began < int64(fenceWait) {
		side.wait(fc.answered + 1) // WAIT counted a journal
		return
	}
	fc.fail(telemetry.FenceShort, "too few replicas")
}
