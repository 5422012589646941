package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/journal/ctxtime"
	"holdfast/journal/internal/wire"
)

// A server that lost the end of a history, without a write since, is fed that end: it becomes a
// replica of this process for a short time, and a primary again.
//
//	server                                journal                     we
//	                                                                  claim the server, and check everything that
//	                                                                  can be known
//	becomes a replica of our listener,    receives the server's       wait until the journal holds the
//	answers writes with -READONLY,        stream to its last byte     server's whole stream. None of it
//	asks for PSYNC at its offset n,                                   may be a client's write (Check)
//	and waits
//	is given +CONTINUE of its own                                     serve the branch, from n on
//	history, and the branch
//	has applied all of it                                             compare offset and errors
//	becomes a primary
//
// Its own history is continued, so that its replicas and the journal follow it through all of this:
// from n on its bytes are the branch's, whatever their offsets were in the lost history. A server
// never throws away its data here: only a full resynchronization does that, and its request for one
// is refused with an error after which it retries later. So whenever this ends, by kill -9 too, the
// server holds the branch up to some transaction, which Branch.Fed determines; but it is a replica
// of an address where nothing answers until RestoreRole.

// FeedOptions configure a feed. All but Logger and Step are required.
type FeedOptions struct {
	Target wire.Endpoint
	View   *journal.View
	Fresh  func() (*journal.View, error) // returns the journal's present view
	Branch *Branch
	// Check examines a view that has the server's whole stream, once clients can no longer write.
	// An error of it ends the feed before its first byte.
	Check func(ctx context.Context, view *journal.View) error
	// Word is the state of the incident and its feeds so far. Put durably notes each next step: the
	// address that the server will replicate from, then the offset of the feed; and afterwards its
	// return to primary, or its divergence.
	Word    journal.Feeding
	Watched bool // sentinels may watch the server
	Put     func(journal.Feeding) error
	Logger  *slog.Logger // nil: discard
	Step    func(string) // nil: none; tests end the process there
}

// ErrNotFed means that a server was not fed: it is a primary again, with its data as before.
var ErrNotFed = errors.New("the server was not fed")

// Limits of a feed. Clients cannot write while it lasts.
const (
	comeTimeout    = 2 * time.Second // until the server comes
	settleTimeout  = time.Second     // until the journal has the server's own stream
	standstill     = 10 * time.Second
	restoreTimeout = 30 * time.Second
)

// Feedable makes every check possible before a feed. The error is ErrNotFed.
func Feedable(ctx context.Context, o FeedOptions) error {
	t, err := openFed(ctx, &o)
	if err != nil {
		return err
	}
	return t.conn.Close()
}

// openFed connects to a server and checks whether it can be fed.
func openFed(ctx context.Context, o *FeedOptions) (*target, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	t, err := openEndpoint(ctx, o.Target, RestoreOptions{View: o.View, Plan: o.Branch.plan, Logger: o.Logger,
		SentinelPaused: o.Watched})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFed, err)
	}
	err = t.claim(ctx)
	if err == nil {
		err = t.feedable(ctx)
	}
	if err == nil {
		err = o.sameHistory(t)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNotFed, err), t.conn.Close())
	}
	return t, nil
}

// feedClaim is the name of a connection that feeds its server.
const feedClaim = "holdfast-feed"

// claim makes this connection the only one that feeds the server, until it ends. A feed renames the server's
// history, even one that ends without a byte. Another proxy's journal, which follows from one name to the next,
// must have seen each. Without the rights for it there is no claim, and sameHistory decides alone.
func (t *target) claim(ctx context.Context) error {
	replies, err := t.transaction(ctx, []string{"CLIENT", "SETNAME", feedClaim}, []string{"CLIENT", "LIST"})
	if err != nil {
		if errors.Is(err, ErrTarget) {
			return nil
		}
		return err
	}
	text, _ := replies[1].(string)
	if strings.Count(text, " name="+feedClaim+" ") > 1 {
		return ErrFeeding
	}
	return nil
}

// sameHistory makes sure that the server still has the history that the view ends with, and was checked by.
func (o *FeedOptions) sameHistory(t *target) error {
	if cur, _ := o.View.Current(); cur.ReplID != t.before.replID {
		return fmt.Errorf("%w: its history is %s, and the journal's %s", ErrTaken, t.before.replID, cur.ReplID)
	}
	return nil
}

// feedable is the preflight of a feed.
func (t *target) feedable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	info, err := t.info(ctx)
	if err != nil {
		return err
	}
	t.before = readLook(info)
	p := &Preflight{before: t.before}
	for field, bad := range map[string]string{"role": "slave", "loading": "1", "async_loading": "1",
		"cluster_enabled": "1", "slave_read_only": "0"} {
		if info[field] == bad {
			p.refuse("state", ErrTarget, "INFO says %s:%s", field, bad)
		}
	}
	// A replica that cannot write to its disk exits at its primary's next write.
	for _, field := range []string{"rdb_last_bgsave_status", "aof_last_write_status"} {
		if info[field] != "ok" {
			p.refuse("disk", ErrTarget, "INFO says %s:%s, with which a replica would end itself", field,
				info[field])
		}
	}
	for _, check := range []func(context.Context, *Preflight) error{
		t.checkCommands, t.checkOptions, t.checkDatabases, t.checkSettings, t.checkSentinels,
	} {
		if err := check(ctx, p); err != nil {
			return err
		}
	}
	if len(p.obstacles()) > 0 {
		return &PreflightError{p}
	}
	return nil
}

// liveFeed is a running feed.
type liveFeed struct {
	FeedOptions
	*continuation
}

// Feed feeds a server. After ErrNotFed it is unchanged; another error says whether it has a part of
// the branch, and whether it is a primary again.
func Feed(ctx context.Context, o FeedOptions) (err error) {
	t, err := openFed(ctx, &o)
	if err != nil {
		return err
	}
	f := &liveFeed{FeedOptions: o, continuation: newContinuation(t, o.Branch, o.Step)}
	defer func() { t.conn.Close() }()
	advertise, stop, err := f.listen(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotFed, err)
	}
	defer stop()
	f.Word.Server, f.Word.RunID, f.Word.Address = o.Target.Address, t.before.runID, advertise
	o.Step("before the word")
	if err := o.Put(f.Word); err != nil {
		return fmt.Errorf("%w: %w", ErrNotFed, err)
	}
	o.Step("before the switch")
	began := time.Now()
	err = t.replicaOf(ctx, advertise)
	if err == nil {
		o.Step("a replica")
		err = f.feed(ctx)
	}
	o.Step("before the role is restored")
	back := t.restoreRole(context.WithoutCancel(ctx))
	if back == nil {
		f.Word.Address = ""
		back = o.Put(f.Word)
	}
	o.Step("a primary")
	o.Logger.Info("repair: the server was a replica for a moment", "ms", time.Since(began).Milliseconds(),
		"fed", f.fed.Load(), "error", err)
	switch {
	case back != nil:
		return errors.Join(err, back)
	case err != nil && !f.fed.Load():
		return fmt.Errorf("%w: %w", ErrNotFed, err)
	}
	return err
}

// feed runs while the server is a replica.
func (f *liveFeed) feed(ctx context.Context) error {
	if err := f.fence(ctx); err != nil {
		return err
	}
	f.Step("before the first byte")
	close(f.ready)
	now, err := f.applied(ctx)
	if err != nil {
		return err
	}
	f.Step("all of it is applied")
	return f.understood(now)
}

// fence waits for the server to connect, and for the journal to have all of its stream, and checks
// that.
func (f *liveFeed) fence(ctx context.Context) error {
	if err := f.arrival(ctx); err != nil {
		return err
	}
	now, err := f.t.lookAtOurs(ctx)
	if err != nil {
		return err
	}
	f.at = now.offset
	for until := time.Now().Add(settleTimeout); ; {
		view, err := f.Fresh()
		if err != nil {
			return err
		}
		cur, _ := view.Current()
		if cur.ReplID == f.t.before.replID && cur.End == f.at {
			if err := f.Check(ctx, view); err != nil {
				return err
			}
			break
		}
		if time.Now().After(until) {
			return fmt.Errorf("%w: the server is at offset %d of %s, and the journal at %d of %s", ErrTail,
				f.at, f.t.before.replID, cur.End, cur.ReplID)
		}
		if err := ctxtime.Sleep(ctx, pollAtEnd); err != nil {
			return err
		}
	}
	f.Word.Parts = append(slices.Clone(f.Word.Parts), journal.FedPart{ReplID: f.t.before.replID, At: f.at,
		From: f.Branch.from, Rejected: f.t.before.rejected})
	return f.Put(f.Word)
}

// understood makes sure that the server has executed the whole feed.
func (f *liveFeed) understood(now look) error {
	err := f.t.understood(now)
	if err == nil {
		f.Word.Parts[len(f.Word.Parts)-1].Understood = true
		return nil
	}
	f.Word.Diverged = true
	return errors.Join(err, f.Put(f.Word))
}

// Understood reports whether a server has understood all that it was fed in a part, of which the feed
// was cut off before it knew. A server that was started since does not say.
func Understood(ctx context.Context, e wire.Endpoint, word *journal.Feeding, part *journal.FedPart) (bool, error) {
	t, err := openEndpoint(ctx, e, RestoreOptions{})
	if err != nil {
		return false, err
	}
	defer func() { t.conn.Close() }()
	now, err := t.look(ctx)
	return err == nil && now.runID == word.RunID && now.rejected == part.Rejected, err
}

// PromotedAt is the offset at which a server that was fed a part became a primary again; -1: it does not say,
// because it was started since, or its history has changed its id once more.
func PromotedAt(ctx context.Context, e wire.Endpoint, part *journal.FedPart) (int64, error) {
	t, err := openEndpoint(ctx, e, RestoreOptions{})
	if err != nil {
		return -1, err
	}
	defer func() { t.conn.Close() }()
	now, err := t.look(ctx)
	if at, ok := now.promotedFrom(part.ReplID); ok && err == nil {
		return at, nil
	}
	return -1, err
}

// restoreRole makes a server a primary again, if it still is a replica of ours. It retries for some
// time: clients cannot write meanwhile.
func (t *target) restoreRole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	for {
		err := t.promoteBack(ctx)
		if err == nil || errors.Is(err, ErrTaken) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("it is still a replica of %s, which is this repair: clients cannot write; "+
				"REPLICAOF NO ONE on it, or run the repair again: %w", t.advertised, err)
		}
		_ = ctxtime.Sleep(ctx, pollEvery) // its end shows above
		if derr := t.dial(ctx); derr != nil {
			t.opts.Logger.Warn("repair: the server's role is not restored yet", "error", derr)
		}
	}
}

func (t *target) promoteBack(ctx context.Context) error {
	now, err := t.look(ctx)
	if err != nil {
		return err
	}
	if !now.replica {
		return nil
	}
	if now.primary != t.advertised {
		return fmt.Errorf("%w: it was made a replica of %s", ErrTaken, now.primary)
	}
	if err := t.do(ctx, "REPLICAOF", "NO", "ONE"); err != nil {
		return err
	}
	now, err = t.look(ctx)
	if err == nil && now.replica {
		err = fmt.Errorf("%w: it is a replica after REPLICAOF NO ONE", ErrTarget)
	}
	return err
}

// RestoreRole makes a server a primary again that is a replica of a repair which has ended. False:
// it is no such replica.
func RestoreRole(ctx context.Context, e wire.Endpoint, word journal.Feeding) (bool, error) {
	t, err := openEndpoint(ctx, e, RestoreOptions{})
	if err != nil {
		return false, err
	}
	defer func() { t.conn.Close() }()
	t.advertised = word.Address
	now, err := t.look(ctx)
	if err != nil || !now.replica || now.primary != word.Address {
		return false, err
	}
	// A server that was started again with that address in its configuration is no other one, as long as
	// nothing else has taken the address.
	if now.runID != word.RunID && !t.deadEnd(ctx, word.Address) {
		return false, nil
	}
	return true, t.restoreRole(ctx)
}
