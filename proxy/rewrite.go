package proxy

import (
	"bytes"

	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// A rule with the action rewrite has a command carried out in a way that does not stall the server.
// FLUSHALL and FLUSHDB become ASYNC, DEL becomes UNLINK, SAVE becomes BGSAVE: another command takes
// the place of the client's, and goes on as if the client had sent it. KEYS is answered by many
// small SCANs. The server checks the permissions of the new command, so a user needs those of SCAN,
// UNLINK and BGSAVE.

// rewrite carries out such a rule.
func (f *frame) rewrite(r *policy.Rule) next {
	s, cmd := f.s, f.cmd
	inMulti := s.tx != nil
	var args [][]byte
	switch how := policy.RewriteOf(cmd); {
	case how == policy.RewriteScan && len(f.Args) == 2:
		return f.keysByScan(r)
	case how == policy.RewriteAsync && flushNow(f.Args):
		args = [][]byte{f.Args[0], []byte("ASYNC")}
	case how == policy.RewriteUnlink && cmd.AcceptsArgs(len(f.Args)):
		args = append([][]byte{[]byte("UNLINK")}, f.Args[1:]...)
	case how == policy.RewriteBgsave && len(f.Args) == 1 && !inMulti:
		args = [][]byte{[]byte("BGSAVE")}
	default:
		return goOn // the server refuses it, or it is harmless as it stands
	}
	f.note(r, rewritten, "")
	f.Args, f.Inline = args, true
	return goOn
}

// flushNow reports whether a FLUSHALL or FLUSHDB may be synchronous, while all clients wait:
// without an argument that depends on the server's configuration (lazyfree-lazy-user-flush).
func flushNow(args [][]byte) bool {
	return len(args) == 1 || len(args) == 2 && resp.EqualFold(args[1], "sync")
}

const (
	// scanStep is the number of keys that one SCAN visits: some tenths of a millisecond of the
	// server's time.
	scanStep = "1000"
	// keyCost is the memory per remembered key, in addition to its bytes.
	keyCost = 64
)

// keyScan is a KEYS in progress. SCAN may return a key twice while the server resizes its table,
// hence seen; a key that exists throughout is sure to be returned, as by KEYS itself.
type keyScan struct {
	s       *session
	cmd     *policy.Command
	up      *upstream.Upstream // the cursor is valid there only
	start   int64
	pattern []byte
	seen    map[string]struct{}
	reply   []byte // the elements
	held    int64  // its part of worker.gathered
}

// keysByScan answers KEYS.
func (f *frame) keysByScan(r *policy.Rule) next {
	s, cmd := f.s, f.cmd
	if s.tx != nil {
		f.note(r, denied, "")
		return f.refuse(textNotInMulti(cmd.Name, r.Name))
	}
	f.note(r, rewritten, "")
	if s.outstanding > 0 {
		return waitOrder
	}
	if n := f.logsSaved(); n != goOn {
		return n
	}
	if s.muted != replyOn {
		s.reply(nil) // the client wants no answer, and KEYS has no other effect
		return handled
	}
	k := &keyScan{
		s: s, cmd: cmd, up: s.w.up, start: s.w.loop.Now(),
		pattern: append([]byte(nil), f.Args[1]...), seen: map[string]struct{}{},
	}
	s.last = cmd
	s.traffic.commands++
	k.step([]byte("0"))
	return handled
}

// step asks for the next keys, on the session's present link.
func (k *keyScan) step(cursor []byte) {
	s := k.s
	last, count := s.last, s.traffic.commands
	l := s.pin
	if l == nil {
		l = s.lane(laneData).pick(s.w)
	}
	args := [][]byte{[]byte("sCaN"), cursor, []byte("MATCH"), k.pattern, []byte("COUNT"),
		[]byte(scanStep)}
	s.ask(l, nil, args, k.gather)
	s.last, s.traffic.commands = last, count
}

// gather takes the reply to one SCAN.
func (k *keyScan) gather(reply []byte, broken bool) {
	s := k.s
	if isError(reply, broken) {
		if bytes.HasPrefix(reply, []byte("-ERR Can't execute")) { // as a subscriber
			reply = bytes.Replace(reply, []byte("'scan'"), []byte("'keys'"), 1)
		}
		k.finish(reply, broken)
		return
	}
	if s.w.up != k.up {
		k.finish(resp.AppendOwnError(nil, textUpstreamLost(errClosed, notExecuted)), true)
		return
	}
	v, _, err := resp.Parse(reply)
	if err != nil || len(v.Elems) != 2 {
		k.finish(resp.AppendOwnError(nil, textScanReply), false)
		return
	}
	for i := range v.Elems[1].Elems {
		k.add(v.Elems[1].Elems[i].Str)
	}
	cursor := v.Elems[0].Str
	switch {
	case !k.account():
		k.finish(resp.AppendOwnError(nil, textKeysTooMany(s.w.limits.ClientOutput)), false)
	case string(cursor) == "0":
		head := resp.AppendArray(nil, len(k.seen))
		k.finish(append(head, k.reply...), false)
	default:
		k.step(append([]byte(nil), cursor...))
	}
}

func (k *keyScan) add(key []byte) {
	if _, ok := k.seen[string(key)]; !ok {
		k.seen[string(key)] = struct{}{}
		k.reply = resp.AppendBulk(k.reply, key)
	}
}

// account notes the memory of the keys so far; false: it is over the limit for one client.
func (k *keyScan) account() bool {
	n := int64(2*len(k.reply) + keyCost*len(k.seen))
	k.s.gather(n - k.held)
	k.held = n
	return uint64(len(k.reply)) <= k.s.w.limits.ClientOutput
}

// finish gives the client its answer.
func (k *keyScan) finish(reply []byte, broken bool) {
	s := k.s
	s.gather(-k.held)
	cmd := s.w.command(k.cmd.Name)
	outcome := telemetry.OutcomeLocal
	switch {
	case broken:
		outcome = telemetry.OutcomeUpstream
	case reply[0] == '-':
		outcome = telemetry.OutcomeError
	}
	s.w.record(&request{s: s, cmd: cmd, start: k.start}, outcome, reply, s.w.loop.Now())
	s.deliver(reply)
}
