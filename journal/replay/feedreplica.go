package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"holdfast/journal"
	"holdfast/journal/ctxtime"
	"holdfast/journal/internal/wire"
	"holdfast/journal/place"
	"holdfast/journal/stream"
)

// A replica of a primary that is gone is fed the end of their history, before one of the replicas is
// promoted:
//
//	replica of a primary that is gone     we
//	at offset n of the history            read the journal from n to its last boundary
//	becomes a replica of our listener
//	asks for PSYNC at n                   serve the history's own bytes, at their own offsets
//	has applied all of it                 make it a replica of its own primary again
//
// Nothing is added and nothing left out: the replica is then as if it had received everything from its
// primary. So the feed may begin twice, end anywhere, come from several journals in turn, and turn out to be
// unnecessary: a primary that was not gone after all has these bytes, and continues the replica from there.
//
// A sentinel may promote the replica, or give it another primary, between any two of our commands. Each of
// our REPLICAOFs therefore shows, in one transaction, the role that it replaces; one that was not expected is
// put back at once. A replica that has been promoted has another replication id, is not served a byte, and
// becomes a primary again.

// ReplicaFeed is a feed of one replica. All but Logger and Step are required.
type ReplicaFeed struct {
	Replica wire.Endpoint
	Primary string // host:port of the primary that is gone
	Places  *place.Book
	View    *journal.View
	// Put durably notes that the replica will be ours, before it is.
	Put    func(journal.Borrowed) error
	Linked bool         // also feed a replica that believes to be connected to its primary
	Logger *slog.Logger // nil: discard
	Step   func(string) // nil: none; tests end the process there
}

// Fed is the outcome of a feed of one replica.
type Fed struct {
	From, To int64 // offsets before and after
	Commands int64 // at most; 0 where From is To
	Lent     bool  // the note was left, and the replica is not known to be given back for good
}

var (
	// ErrNoNeed means that a server is a primary.
	ErrNoNeed = errors.New("nothing to feed")
	// ErrElsewhere means that a replica follows another server than the primary that is gone: perhaps another
	// proxy, which feeds it at this moment.
	ErrElsewhere = errors.New("it follows another server")
	// ErrLinked means that a replica is connected to that primary.
	ErrLinked = errors.New("it is connected to its primary")
)

// FeedReplica gives a replica the missing end of its own history. With an error, too, the replica is not ours
// any more, unless Fed.Lent says otherwise.
func FeedReplica(ctx context.Context, o ReplicaFeed) (fed Fed, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	t, err := openEndpoint(ctx, o.Replica, RestoreOptions{View: o.View, Logger: o.Logger})
	if err != nil {
		return fed, err
	}
	defer func() { t.conn.Close() }()
	b, err := o.lacks(ctx, t)
	if err != nil {
		return fed, err
	}
	if fed.From, fed.To = b.from, b.from; b.Size() == 0 {
		return fed, nil
	}
	if err := t.lendable(ctx); err != nil {
		return fed, err
	}
	c := newContinuation(t, b, o.Step)
	c.at = b.from
	advertise, stop, err := c.listen(ctx)
	if err != nil {
		return fed, err
	}
	defer stop()
	o.Step("before the note")
	err = o.Put(journal.Borrowed{Server: o.Replica.Address, RunID: t.before.runID, ReplID: t.before.replID,
		Address: advertise, Primary: t.before.primary, Time: time.Now()})
	if err != nil {
		return fed, err
	}
	fed.Lent = true
	o.Step("before the switch")
	t.advertised = advertise
	err = t.lend(ctx)
	if err == nil {
		o.Step("ours")
		close(c.ready)
		err = c.arrival(ctx)
	}
	var now look
	if err == nil {
		now, err = c.applied(ctx)
	}
	if err == nil {
		fed.To, fed.Commands = now.offset, b.commands
		err = t.understood(now)
	}
	o.Step("before it is given back")
	given, back := t.giveBack(context.WithoutCancel(ctx))
	fed.Lent = !given
	o.Step("given back")
	return fed, errors.Join(err, back)
}

// lacks reads the journal behind the replica's offset.
func (o *ReplicaFeed) lacks(ctx context.Context, t *target) (*tail, error) {
	info, err := t.info(ctx)
	if err != nil {
		return nil, err
	}
	now := readLook(info)
	t.before = now
	if !now.replica {
		return nil, fmt.Errorf("%w: it is a primary", ErrNoNeed)
	}
	err = o.Places.Learn(ctx, now.primary, o.Primary)
	switch {
	case o.Places.Same(now.primary, o.Primary):
	case err != nil:
		return nil, fmt.Errorf("%w: it is a replica of %s, which may be %s: %w", ErrTarget, now.primary, o.Primary, err)
	default:
		return nil, fmt.Errorf("%w: it is a replica of %s", ErrElsewhere, now.primary)
	}
	switch {
	case now.linkUp && !o.Linked:
		return nil, ErrLinked
	case now.loading || now.syncing || info["async_loading"] == "1":
		return nil, fmt.Errorf("%w: it is loading a snapshot", ErrTarget)
	}
	for _, field := range []string{"rdb_last_bgsave_status", "aof_last_write_status"} {
		if info[field] != "ok" {
			return nil, fmt.Errorf("%w: INFO says %s:%s, with which a replica would end itself", ErrTarget, field,
				info[field])
		}
	}
	cur, _ := o.View.Current()
	if cur.ReplID != now.replID {
		return nil, fmt.Errorf("%w: its history is %s, and the journal's %s", ErrTarget, now.replID, cur.ReplID)
	}
	return newTail(ctx, o.View, cur, now.offset)
}

// tail is the end of a history behind a server's offset, up to the last boundary. Its bytes are the
// history's own.
type tail struct {
	view     *journal.View
	timeline journal.TimelineID
	from, to int64
	commands int64
}

func newTail(ctx context.Context, view *journal.View, tl journal.Timeline, from int64) (*tail, error) {
	b := &tail{view: view, timeline: tl.ID, from: from, to: from}
	if from >= tl.End {
		return b, nil
	}
	sc := stream.NewScanner(stream.Options{Offset: from, DB: -1, MaxArg: lineArg})
	err := eachChunk(ctx, view, tl.ID, from, tl.End, func(c journal.Chunk) error {
		return sc.Feed(c.Time, c.Data, func(c *stream.Command) error {
			if !c.Traceless() {
				b.commands++
			}
			return nil
		})
	})
	b.to, _ = sc.Boundary()
	return b, err
}

// Size is the number of bytes.
func (b *tail) Size() int64 { return b.to - b.from }

// writeTo writes the bytes without the first ones.
func (b *tail) writeTo(ctx context.Context, w io.Writer, skip int64) error {
	return eachChunk(ctx, b.view, b.timeline, b.from+skip, b.to, func(c journal.Chunk) error {
		_, err := w.Write(c.Data[:min(int64(len(c.Data)), b.to-c.Offset)])
		return err
	})
}

// lendable makes sure that a replica comes for the bytes, and in which way.
func (t *target) lendable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	p := &Preflight{before: t.before}
	if err := t.checkSettings(ctx, p); err != nil {
		return err
	}
	if len(p.obstacles()) > 0 {
		return &PreflightError{p}
	}
	return nil
}

// lend makes a replica ours, if its primary is still the same.
func (t *target) lend(ctx context.Context) error {
	was, err := t.look(ctx)
	if err == nil && was.primary != t.before.primary {
		return fmt.Errorf("%w: it became %s", ErrTaken, was.role()) // by another proxy, perhaps
	}
	if err == nil {
		was, err = t.assign(ctx, t.advertised)
	}
	if err != nil {
		return err
	}
	if was.primary == t.before.primary && was.replID == t.before.replID {
		return nil
	}
	return errors.Join(fmt.Errorf("%w: it became %s", ErrTaken, was.role()), t.undo(ctx, was.primary, t.advertised))
}

// giveBack makes a replica its primary's again, if it still is ours. It retries for some time; after that,
// GiveBack does. given: it is its primary's. One that another took away may come back: a proxy that makes a replica its
// own and sees that it was ours undoes that.
func (t *target) giveBack(ctx context.Context) (given bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, giveBackTimeout)
	defer cancel()
	for {
		given, err = t.giveBackNow(ctx)
		if err == nil || ctx.Err() != nil {
			return given, err
		}
		_ = ctxtime.Sleep(ctx, pollEvery) // its end shows above
		if derr := t.dial(ctx); derr != nil {
			t.opts.Logger.Warn("feed: a replica is not given back to its primary yet", "replica", t.opts.Target,
				"error", derr)
			_ = ctxtime.Sleep(ctx, giveBackPause) // as above
		}
	}
}

const (
	giveBackTimeout = 5 * time.Second
	giveBackPause   = 200 * time.Millisecond
)

func (t *target) giveBackNow(ctx context.Context) (given bool, err error) {
	now, err := t.look(ctx)
	if err != nil || now.primary != t.advertised {
		return err == nil && now.primary == t.before.primary, err // else another took it
	}
	own := t.before.primary
	if now.runID == t.before.runID && now.replID != t.before.replID {
		own = "" // it had been promoted
	}
	was, err := t.assign(ctx, own)
	if err != nil || was.primary == t.advertised {
		return err == nil, err
	}
	return false, t.undo(ctx, was.primary, own)
}

// undo gives a server the primary back that an assignment took away from it between two looks; "": it is a
// primary. set is what that assignment set.
func (t *target) undo(ctx context.Context, primary, set string) error {
	for range 3 {
		was, err := t.assign(ctx, primary)
		if err != nil || was.primary == set {
			return err
		}
		primary, set = was.primary, primary // once more, from elsewhere
	}
	return fmt.Errorf("%w: others change its primary all the time", ErrTaken)
}

// assign makes a server a replica of an address, or a primary (""), and returns its state just before.
func (t *target) assign(ctx context.Context, primary string) (was look, err error) {
	host, port := "NO", "ONE"
	if primary != "" {
		if host, port, err = net.SplitHostPort(primary); err != nil {
			return was, err
		}
	}
	replies, err := t.transaction(ctx, []string{"INFO", "replication"}, []string{"REPLICAOF", host, port})
	if err != nil {
		return was, err
	}
	text, _ := replies[0].(string)
	return readLook(wire.Fields(text)), nil
}

// transaction executes commands in one, and returns their replies. A reply that is an error is the error.
func (t *target) transaction(ctx context.Context, commands ...[]string) ([]any, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	for _, args := range append([][]string{{"MULTI"}}, commands...) {
		if _, err := t.conn.Do(ctx, args...); err != nil {
			// An open transaction ends with the connection.
			return nil, errors.Join(t.refused(args[0], err), t.dial(ctx))
		}
	}
	v, err := t.conn.Do(ctx, "EXEC")
	if err != nil {
		return nil, t.refused("EXEC", err)
	}
	replies, _ := v.([]any)
	if len(replies) != len(commands) {
		return nil, fmt.Errorf("%w: EXEC answers with %d replies, want %d", ErrTarget, len(replies), len(commands))
	}
	for i, reply := range replies {
		if refused, ok := reply.(wire.Error); ok {
			return nil, t.refused(commands[i][0], refused)
		}
	}
	return replies, nil
}

// role describes the role in words.
func (l look) role() string {
	if l.replica {
		return "a replica of " + l.primary
	}
	return "a primary"
}

// GiveBack gives a replica back that a feed has left ours. ours: it was until now. given: it is its primary's.
func GiveBack(ctx context.Context, e wire.Endpoint, note journal.Borrowed) (ours, given bool, err error) {
	t, err := openEndpoint(ctx, e, RestoreOptions{})
	if err != nil {
		return false, false, err
	}
	defer func() { t.conn.Close() }()
	now, err := t.look(ctx)
	if err != nil || now.primary != note.Address {
		return false, now.primary == note.Primary, err
	}
	// A server that was started again with that address in its configuration is no other one, as long as
	// nothing else has taken the address.
	if now.runID != note.RunID && !t.deadEnd(ctx, note.Address) {
		return false, false, nil
	}
	t.advertised = note.Address
	t.before = look{runID: note.RunID, primary: note.Primary, replID: note.ReplID}
	given, err = t.giveBack(ctx)
	return true, given, err
}
