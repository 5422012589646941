package proxy

import (
	"bytes"

	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// A rule with the action rewrite has a command carried out in a way that does not stall the
// server. FLUSHALL and FLUSHDB become ASYNC, DEL becomes UNLINK, SAVE becomes BGSAVE: another
// command takes the place of the client's, and goes on as if the client had sent it. KEYS is
// answered by many small SCANs. The server checks the permissions of what it is sent, so a user
// needs those of SCAN, UNLINK and BGSAVE.

// rewrite carries out such a rule; the results are those of ruled.
func (s *session) rewrite(c *resp.Command, cmd *policy.Command, r *policy.Rule) (done, ok bool) {
	if s.held&holdRefused != 0 {
		return false, true // refused whatever it is
	}
	inMulti := s.held&holdMulti != 0
	var args [][]byte
	switch how := policy.RewriteOf(cmd); {
	case how == policy.RewriteScan && len(c.Args) == 2:
		return true, s.keysByScan(c, cmd, r)
	case how == policy.RewriteAsync && flushNow(c.Args):
		args = [][]byte{c.Args[0], []byte("ASYNC")}
	case how == policy.RewriteUnlink && cmd.AcceptsArgs(len(c.Args)):
		args = append([][]byte{[]byte("UNLINK")}, c.Args[1:]...)
	case how == policy.RewriteBgsave && len(c.Args) == 1 && !inMulti:
		args = [][]byte{[]byte("BGSAVE")}
	default:
		return false, true // the server refuses it, or it is harmless as it stands
	}
	s.note(c, cmd, r, rewritten, "")
	c.Args, c.Inline = args, true
	return false, true
}

// flushNow reports whether a FLUSHALL or FLUSHDB would be carried out while everybody waits, or
// may be: what it does without an argument is the server's configuration (lazyfree-lazy-user-flush).
func flushNow(args [][]byte) bool {
	return len(args) == 1 || len(args) == 2 && resp.EqualFold(args[1], "sync")
}

const (
	// scanStep is how many keys one SCAN looks at: some tenths of a millisecond of the server's.
	scanStep = "1000"
	// keyCost is what a key costs beside its bytes while it is remembered.
	keyCost = 64
)

// keyScan is a KEYS in progress. The server may show a key twice while it resizes its table, hence
// seen; a key that is there all the while is sure to be shown, as in KEYS itself.
type keyScan struct {
	s       *session
	cmd     *policy.Command
	up      *upstream.Upstream // the cursor means something there alone
	start   int64
	pattern []byte
	seen    map[string]struct{}
	reply   []byte // the elements
	held    int64  // what counts in worker.gathered
}

// keysByScan answers KEYS.
func (s *session) keysByScan(c *resp.Command, cmd *policy.Command, r *policy.Rule) bool {
	if s.held&holdMulti != 0 {
		s.note(c, cmd, r, denied, "")
		return s.refuse1(cmd, textNotInMulti(cmd.Name, r.Name))
	}
	s.note(c, cmd, r, rewritten, "")
	if s.outstanding > 0 {
		s.wait = waitOrder
		return false
	}
	if s.muted != replyOn {
		s.reply(nil) // nobody wants the answer, and there is nothing else to it
		return true
	}
	k := &keyScan{
		s: s, cmd: cmd, up: s.w.up, start: s.w.loop.Now(),
		pattern: append([]byte(nil), c.Args[1]...), seen: map[string]struct{}{},
	}
	s.last = cmd
	s.command++
	k.step([]byte("0"))
	return true
}

// step asks for the next keys, by the link that the session has at this moment.
func (k *keyScan) step(cursor []byte) {
	s := k.s
	last, count := s.last, s.command
	l := s.pin
	if l == nil {
		l = s.lane(laneData).pick(s.w)
	}
	args := [][]byte{[]byte("sCaN"), cursor, []byte("MATCH"), k.pattern, []byte("COUNT"),
		[]byte(scanStep)}
	s.ask(l, nil, args, k.gather)
	s.last, s.command = last, count
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
		k.finish(resp.AppendError(nil, textUpstreamLost(k.up.Address(), nil, notExecuted)), true)
		return
	}
	v, _, err := resp.Parse(reply)
	if err != nil || len(v.Elems) != 2 {
		k.finish(resp.AppendError(nil, textScanReply), false)
		return
	}
	for i := range v.Elems[1].Elems {
		k.add(v.Elems[1].Elems[i].Str)
	}
	cursor := v.Elems[0].Str
	switch {
	case !k.account():
		k.finish(resp.AppendError(nil, textKeysTooMany(s.w.limits.ClientOutput)), false)
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

// account notes what the keys so far cost; false when that is more than one client may have.
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

// gather counts n more (or fewer) bytes that the proxy holds for an answer in the making.
func (s *session) gather(n int64) {
	s.gathered += n
	s.w.gathered += n
}
