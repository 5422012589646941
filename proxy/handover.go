package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/journal/ctxtime"
	"holdfast/proxy/admin"
	"holdfast/proxy/sentinel"
	"holdfast/proxy/upstream"
)

// A handover is a failover that an operator asks for (FAILOVER on the console). It loses nothing, also
// for clients that go round the proxy.
//
// Valkey 9.1 has SENTINEL FAILOVER … COORDINATED, in which the servers wait for each other, for up to a second. It is
// used where the proxy may not demote the old primary (failover.fence: off). Otherwise:
//
//  1. Commands that may write wait in the proxy, as from the first sign of any failover (suspicion.go),
//     until no reply to an earlier one is outstanding.
//  2. CLIENT PAUSE WRITE on the primary: the other clients' writes wait there.
//  3. Every replica that could be promoted says itself that it has reached the primary's offset.
//  4. SENTINEL FAILOVER.
//  5. As soon as a replica says that it was promoted, at or behind the offset of step 3, the old primary is made its
//     replica. No write is lost by that, whatever the sentinels do next: none has been executed since step 2.
//  6. The new primary is put in force, by the words of both (sentinel/judge.go). The sentinels follow a second later.
//
// Should the leading sentinel die between steps 4 and 6, the others find a primary that says that it is a replica, and
// fail over once more, half a minute later, to the new primary or to one of its replicas.
//
// A failure up to step 3, or a refusal of step 4, undoes the steps before: nothing has happened. After
// step 4 the sentinels decide; if step 5 fails, the new primary is the one that most of them name. The pause ends by itself.
type handover struct {
	srv   *Server
	t     *topology
	w     *sentinel.Watcher
	view  *sentinel.View // at the beginning
	moves uint64         // followed before
	began time.Time
}

const (
	// drainFor bounds step 1, catchUpFor step 3, and moveFor step 5.
	drainFor, catchUpFor, moveFor = 2 * time.Second, 5 * time.Second, 30 * time.Second
	// handoverPace is the pause between two looks.
	handoverPace = 5 * time.Millisecond
	// promotedFor bounds the wait of step 5 for a promotion.
	promotedFor = 3 * time.Second
	// demotedFor bounds the wait for the fence.
	demotedFor = 3 * time.Second
)

// plannedSign is the doubt of step 1.
const plannedSign = "an operator's FAILOVER is under way"

var (
	errNoSentinels = errors.New("no sentinels name the server: promote a replica yourself, and RELOAD")
	errOwnFailover = errors.New("no sentinels watch the candidates: promote one of them yourself, and the proxy follows; " +
		"see docs/failover.md#without-sentinels")
	errUnderWay = errors.New("a FAILOVER is under way")
)

// failoverConsole implements admin.FailoverBackend.
type failoverConsole struct{ srv *Server }

// Failover implements admin.FailoverBackend.
func (c failoverConsole) Failover(ctx context.Context) (*admin.Failover, error) {
	t := c.srv.topology
	w := t.sentinels()
	switch {
	case w == nil && c.srv.options().Candidates != nil:
		return nil, errOwnFailover
	case w == nil:
		return nil, errNoSentinels
	}
	if !t.handing.TryLock() {
		return nil, errUnderWay
	}
	defer t.handing.Unlock()
	h := &handover{srv: c.srv, t: t, w: w, view: w.View(), began: time.Now()}
	t.mu.Lock()
	h.moves = t.total
	t.mu.Unlock()
	out, err := h.run(ctx)
	if err != nil {
		c.srv.log.Warn("console: the failover has failed", "error", err)
	}
	return out, err
}

// run is the whole of it.
func (h *handover) run(ctx context.Context) (*admin.Failover, error) {
	v := h.view
	targets := 0
	for _, r := range v.Replicas {
		if r.Up {
			targets++
		}
	}
	switch {
	case v.Primary == "":
		return nil, errNotNamed
	case v.Doubt != "" || h.srv.up.Load().Address() != v.Primary:
		return nil, fmt.Errorf("nothing was done: the primary is in doubt: %s", cmp.Or(v.Doubt, v.Primary+" is new"))
	case h.srv.options().Hold == 0:
		return nil, errors.New("nothing was done: upstream.hold is 0, so writes could not wait for the new primary")
	case targets == 0:
		return nil, errors.New("nothing was done: the sentinels see no replica that follows the primary")
	}
	how, byServers := "coordinated by the servers", !h.srv.options().Fence
	var err error
	if byServers {
		err = h.ask(ctx, "COORDINATED")
		byServers = !unknownWord(err)
	}
	if !byServers {
		how = "with the writes held back by the proxy"
		err = h.byUs(ctx)
	}
	if err != nil {
		return nil, err
	}
	return h.await(ctx, how)
}

// ask has a sentinel begin.
func (h *handover) ask(ctx context.Context, more ...string) error {
	err := error(&sentinel.Refusal{Text: "no sentinel answers"})
	for i := range h.view.Sentinels {
		s := &h.view.Sentinels[i]
		if !s.Counts || !s.Heard || !h.w.Same(s.Names, h.view.Primary) {
			continue
		}
		h.srv.log.Info("console: a sentinel is asked for a failover", "sentinel", s.Address, "words", more)
		_, err = h.w.Ask(ctx, s.Address, append([]string{"SENTINEL", "FAILOVER", h.view.Name}, more...)...)
		var no *sentinel.Refusal
		if !errors.As(err, &no) {
			break // it has begun, or may have
		}
		if unknownWord(err) {
			return err
		}
	}
	var no *sentinel.Refusal
	if errors.As(err, &no) {
		return fmt.Errorf("nothing was done: the sentinels refuse: %w", err)
	}
	return nil // an answer that was lost shows by the move
}

// unknownWord reports that a sentinel does not know COORDINATED.
func unknownWord(err error) bool {
	var no *sentinel.Refusal
	return errors.As(err, &no) && (strings.Contains(no.Text, "wrong number of arguments") ||
		strings.Contains(no.Text, "syntax error"))
}

// byUs takes steps 1 to 4. After an error, everything is as before.
func (h *handover) byUs(ctx context.Context) (err error) {
	h.t.plan(plannedSign)
	defer func() {
		if err != nil {
			h.t.plan("")
		}
	}()
	if err := h.drained(ctx); err != nil {
		return err
	}
	o := h.srv.options().Upstream
	o.ConnectTimeout = min(o.ConnectTimeout, demoteTimeout)
	primary, err := upstream.Open(ctx, o)
	if err != nil {
		return fmt.Errorf("nothing was done: %w", err)
	}
	defer primary.Close()
	if _, err := primary.Do("CLIENT", "PAUSE", strconv.FormatInt(pauseFor.Milliseconds(), 10), "WRITE"); err != nil {
		return fmt.Errorf("nothing was done: %w", err)
	}
	defer func() {
		if err != nil {
			_, _ = primary.Do("CLIENT", "UNPAUSE") // the pause ends by itself, too
		}
	}()
	end, err := h.caughtUp(ctx, primary, o)
	if err != nil {
		return err
	}
	if err := h.ask(ctx); err != nil {
		return err
	}
	if h.srv.options().Fence {
		h.succeed(ctx, primary, o, end)
	}
	return nil
}

// paused is the end of a history whose writes are paused.
type paused struct {
	replID string
	end    int64
}

// succeed is step 5. A failure leaves it to the sentinels and the fence.
func (h *handover) succeed(ctx context.Context, primary *upstream.Talk, o upstream.Options, at paused) {
	ctx, cancel := context.WithTimeout(ctx, promotedFor)
	defer cancel()
	log := h.srv.log.With("server", h.view.Primary)
	heir := h.promoted(ctx, o, at)
	host, port, err := net.SplitHostPort(heir)
	if err == nil {
		_, err = primary.Do("REPLICAOF", host, port)
	}
	if err != nil {
		log.Warn("console: the old primary is not made a replica of the new one yet", "error", err)
		return
	}
	h.w.Look()
	if trouble := endDemoted(primary); trouble != "" {
		log.Warn("console: the old primary is a replica of the new one", "trouble", trouble)
	}
	h.w.Look() // the first look may have met the old role
}

// promoted waits for the replica that was promoted, and returns its address; "": none was in time.
func (h *handover) promoted(ctx context.Context, o upstream.Options, at paused) string {
	open := map[string]*upstream.Talk{}
	defer func() {
		for _, t := range open {
			t.Close()
		}
	}()
	for {
		for _, r := range h.view.Replicas {
			o.Address, o.Dialer = r.Address, nil
			if info := askOn(ctx, open, o); info["role"] == "master" && info["master_replid2"] == at.replID {
				if from, _ := strconv.ParseInt(info["second_repl_offset"], 10, 64); from > at.end {
					return r.Address
				}
			}
		}
		if ctxtime.Sleep(ctx, handoverPace) != nil {
			return ""
		}
	}
}

// askOn asks the server at o.Address for its replication, on its connection of open. Sentinels disconnect all clients of
// a server that they promote, so a broken one is opened again the next time.
func askOn(ctx context.Context, open map[string]*upstream.Talk, o upstream.Options) map[string]string {
	t := open[o.Address]
	if t == nil {
		var err error
		if t, err = upstream.Open(ctx, o); err != nil {
			return nil
		}
		open[o.Address] = t
	}
	info, err := t.Info("replication")
	if err != nil {
		t.Close()
		delete(open, o.Address)
	}
	return info
}

// drained waits until commands that may write wait, and no reply to an earlier one is outstanding.
func (h *handover) drained(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainFor)
	defer cancel()
	for {
		parts, err := gather(ctx, h.srv.loops, func(w *worker) bool { return w.outage.suspends() && !w.owesWrites() })
		if err == nil && !slices.Contains(parts, false) {
			return nil
		}
		if ctxtime.Sleep(ctx, handoverPace) != nil {
			return fmt.Errorf("nothing was done: writes are still without a reply after %v", drainFor)
		}
	}
}

// owesWrites reports whether a reply to a command that may write is outstanding.
func (w *worker) owesWrites() bool {
	for l := range w.links {
		if l.owesWrite() {
			return true
		}
	}
	return false
}

// caughtUp waits until every replica that could be promoted has the whole stream of the primary, whose
// writes are paused.
func (h *handover) caughtUp(ctx context.Context, primary *upstream.Talk, o upstream.Options) (at paused, err error) {
	ctx, cancel := context.WithTimeout(ctx, catchUpFor)
	defer cancel()
	info, err := primary.Info("replication")
	if err != nil {
		return at, fmt.Errorf("nothing was done: %w", err)
	}
	if info["role"] != "master" {
		return at, fmt.Errorf("nothing was done: %s is a replica", h.view.Primary)
	}
	at.replID = info["master_replid"]
	at.end, err = strconv.ParseInt(info["master_repl_offset"], 10, 64)
	if err != nil {
		return at, fmt.Errorf("nothing was done: master_repl_offset: %w", err)
	}
	for _, r := range h.view.Replicas {
		if !r.Up {
			continue
		}
		o.Address, o.Dialer = r.Address, nil
		if err := h.reached(ctx, o, at.end); err != nil {
			return at, fmt.Errorf("nothing was done: the replica %s: %w", r.Address, err)
		}
	}
	return at, nil
}

// reached waits until the replica at o.Address has reached an offset.
func (h *handover) reached(ctx context.Context, o upstream.Options, end int64) error {
	replica, err := upstream.Open(ctx, o)
	if err != nil {
		return err
	}
	defer replica.Close()
	for {
		info, err := replica.Info("replication")
		if err != nil {
			return err
		}
		at, _ := strconv.ParseInt(info["slave_repl_offset"], 10, 64)
		if info["role"] == "slave" && info["master_link_status"] == "up" && at >= end {
			return nil
		}
		if ctxtime.Sleep(ctx, handoverPace) != nil {
			return fmt.Errorf("its link is %s, and it lacks %d bytes after %v", info["master_link_status"],
				max(0, end-at), catchUpFor)
		}
	}
}

// await waits for the new primary, and then for the end of the old one.
func (h *handover) await(ctx context.Context, how string) (*admin.Failover, error) {
	moving, cancel := context.WithTimeout(ctx, moveFor)
	defer cancel()
	var m admin.Move
	for found := false; !found; {
		if m, found = h.t.move(h.moves + 1); found {
			break
		}
		if ctxtime.Sleep(moving, handoverPace) != nil {
			h.t.plan("")
			return nil, fmt.Errorf("a sentinel has begun a failover, and no new primary is in force after %v: whether "+
				"there will be one is not known; SHOW UPSTREAM", time.Since(h.began).Round(time.Millisecond))
		}
	}
	demoting, cancel := context.WithTimeout(ctx, demotedFor)
	defer cancel()
	for h.srv.options().Fence && m.Old == "" && ctxtime.Sleep(demoting, handoverPace) == nil {
		m, _ = h.t.move(h.moves + 1)
	}
	out := &admin.Failover{From: m.From, To: m.To, How: how, Paused: m.Paused, Took: time.Since(h.began), Old: m.Old}
	h.srv.log.LogAttrs(ctx, slog.LevelInfo, "console: the failover is over", slog.String("from", m.From),
		slog.String("to", m.To), slog.String("how", how), slog.String("old", m.Old))
	return out, nil
}
