package recorder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/journal"
	"holdfast/journal/place"
	"holdfast/journal/tap"
	"holdfast/journal/vfs"
	"holdfast/proxy/upstream"
)

// Options configure the proxy's journal. Without Dir there is none.
type Options struct {
	Dir       string
	Config    string // the configuration's file, for the commands that log and console name
	Base      tap.BasePolicy
	Retention journal.Retention
	Disk      journal.DiskLimits
	FACK      bool          // fsyncs count in the server's own WAITAOF
	Backlog   time.Duration // least time that the server's backlog should span; 0: the tap's default
	Scrub     ScrubOptions
	Largest   int64         // largest value that clients may send, in bytes; 0: unknown
	Required  bool          // trouble with the journal makes the proxy not ready
	Mark      time.Duration // interval of marks in a server with writes; 0: never
	Ledger    int           // database of the trash's ledger; 0: the highest
	GoOn      bool          // routes go on after a loss, before it is settled
	FS        vfs.FS        // the disk; nil: the machine's
	Retry     time.Duration // first pause before a failed journal is reopened; 0: a second
	Segment   int64         // size of a log file, in bytes; 0: the journal's default
}

// Recorder keeps the journal attached to the server, on its own goroutines: the data path never
// waits for it.
//
// The journal stays open for as long as the proxy runs. The tap, which attaches it, is replaced
// when a reload changes the server or the connection's options; the next tap continues at the
// position of the last one, without a gap.
//
// A failed journal is closed and reopened, until that succeeds (reopen.go). If its folder
// cannot be opened, the start fails: a proxy configured to keep a journal does not serve without
// one. A damaged folder is moved aside, unless the journal is required (aside.go).
type Recorder struct {
	log     *slog.Logger
	journal atomic.Pointer[journal.Journal]
	moved   atomic.Int64          // when the durable position last moved, nanoseconds since 1970
	reopens atomic.Int64          // reopenings after a failure
	closed  atomic.Pointer[error] // why the last reopening failed; nil: it succeeded
	addrs   upstream.AddrSet      // of the tap's connections, for CLIENT LIST
	name    string                // theirs there, by which they are known on a unix socket
	places  place.Book            // of the servers of feeds

	// Changed by Open, Change and Close only, of which one runs at a time.
	up   upstream.Options
	stop context.CancelFunc
	done chan struct{} // closed when run has returned

	tap      atomic.Pointer[tap.Tap]
	watchers atomic.Pointer[[]func()] // proof.go

	events *eventLog

	goOn atomic.Bool // Options.GoOn, for event loops

	scrub   scrubber
	repairs repairer
	aside   atomic.Pointer[journal.Asided] // a damaged folder moved aside; nil: none

	mu   sync.Mutex
	opts Options // in force
}

// Open opens the journal and attaches it; nil if none is configured.
func Open(o Options, up upstream.Options, log *slog.Logger) (*Recorder, error) {
	if o.Dir == "" {
		return nil, nil
	}
	r := &Recorder{log: log, name: up.ClientName, events: &eventLog{log: log, dir: o.Dir}}
	if err := r.openOrMove(o); errors.Is(err, journal.ErrLocked) {
		return nil, fmt.Errorf("journal: %w: a proxy records there already; stop that one, replace it by serve "+
			"--takeover, or give this one a journal.dir of its own", err)
	} else if err != nil {
		return nil, fmt.Errorf("journal in %s: %w", o.Dir, err)
	}
	if err := r.attach(o, up); err != nil {
		return nil, errors.Join(err, r.journal.Load().Close())
	}
	return r, nil
}

// Readable reports why this version could not open the folder, which another process may be writing. A folder that
// does not exist can be made.
func Readable(o Options) error {
	if o.Dir == "" {
		return nil
	}
	_, err := journal.OpenView(o.FS, o.Dir)
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, journal.ErrPruned) {
		return nil
	}
	return err
}

// open opens the journal and puts it in the place of the last one.
func (r *Recorder) open(o Options) error {
	j, err := journal.Open(journal.Options{Dir: o.Dir, FS: o.FS, SegmentBytes: o.Segment,
		Retention: o.Retention, Disk: o.Disk, Logger: r.log, OnState: r.notify, OnEvent: r.events.tell})
	if err != nil {
		return err
	}
	j.Subscribe(func(journal.Position) {
		r.notify() // first of all: there may be a waiter
		r.moved.Store(time.Now().UnixNano())
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.journal.Store(j)
	if r.opts.Dir == "" {
		return nil // the first one
	}
	return j.SetLimits(r.opts.Retention, r.opts.Disk) // a reload may just have changed them
}

// attach starts a new tap.
func (r *Recorder) attach(o Options, up upstream.Options) error {
	t, err := r.newTap(o, up)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop, r.done, r.up = cancel, make(chan struct{}), up
	r.mu.Lock()
	r.opts = o
	r.mu.Unlock()
	r.goOn.Store(o.GoOn)
	go r.run(ctx, t, up, r.done)
	return nil
}

// newTap makes the tap of the present journal and puts it in the place of the last one.
func (r *Recorder) newTap(o Options, up upstream.Options) (*tap.Tap, error) {
	t, err := tap.New(tap.Options{
		Journal: r.journal.Load(), Address: up.Address, Username: up.Username,
		Password: up.Password, FACK: o.FACK, Base: o.Base, BacklogTime: o.Backlog, Logger: r.log,
		OnChange: r.notify, Name: r.name, Dial: r.dialer(up), Serve: up.TLS.Serve(),
		Sample: cmp.Or(o.Mark, time.Second), Mark: o.Mark > 0, Ledger: o.Ledger,
	})
	if err == nil {
		r.tap.Store(t)
	}
	return t, err
}

// dialer opens the tap's connections, and those of feeds to other servers.
func (r *Recorder) dialer(up upstream.Options) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		dial := (&net.Dialer{}).DialContext
		if up.Dialer != nil && address == up.Address {
			dial = up.Dialer.DialContext // it knows no other server
		}
		conn, err := up.TLS.Dial(ctx, dial, network, address)
		if err != nil {
			return nil, err
		}
		return r.addrs.Add(conn), nil
	}
}

// detach ends the tap.
func (r *Recorder) detach() {
	r.stop()
	<-r.done
}

// Change puts a reload's options in force, except the folder. They have been validated. Reloads take turns.
func (r *Recorder) Change(o Options, up upstream.Options) {
	old, o := r.changeOptions(o)
	sameServer := up.Address == r.up.Address && up.Username == r.up.Username &&
		up.Password == r.up.Password && up.TLS == r.up.TLS
	if sameServer && o.Base == old.Base && o.FACK == old.FACK && o.Backlog == old.Backlog &&
		o.Mark == old.Mark && o.Ledger == old.Ledger {
		return
	}
	r.detach()
	if err := r.attach(o, up); err != nil {
		r.log.Error("journal: not attached any more", "error", err)
	}
}

// changeOptions puts the journal's own options in force.
func (r *Recorder) changeOptions(o Options) (old, now Options) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old = r.opts
	o.Dir, o.FS, o.Retry = old.Dir, old.FS, old.Retry
	if err := r.journal.Load().SetLimits(o.Retention, o.Disk); err != nil {
		r.log.Error("journal: the limits stay as they were", "error", err)
		o.Retention, o.Disk = old.Retention, old.Disk
	}
	r.opts = o
	r.goOn.Store(o.GoOn)
	return old, o
}

// Close ends the recording and makes all received data durable.
func (r *Recorder) Close() {
	r.repairs.close()
	r.detach()
	if err := r.journal.Load().Close(); err != nil && !errors.Is(err, journal.ErrClosed) {
		r.log.Error("journal: not closed in good order", "error", err)
	}
}

// options returns the options in force.
func (r *Recorder) options() Options {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opts
}

// Addrs are the addresses of its connections to the server.
func (r *Recorder) Addrs() []string { return r.addrs.List() }

// Required reports whether Troubles make the proxy not ready.
func (r *Recorder) Required() bool { return r.options().Required }

// Degraded lists the faults that never make the proxy not ready, for readiness.
func (r *Recorder) Degraded() []string {
	return append(append(r.incidents(false), r.baseTroubles()...), r.roomTroubles()...)
}

// Troubles lists the journal's other faults, for readiness.
func (r *Recorder) Troubles() []string {
	var out []string
	j := r.journal.Load()
	if err := r.failure(); err != nil {
		out = append(out, "journal: "+err.Error())
	}
	st := r.tap.Load().Stats()
	switch {
	case st.State != tap.Streaming:
		text := "journal: does not follow the server"
		if st.State == tap.Syncing {
			text += " yet: it receives a snapshot"
		} else if st.LastErr != nil {
			text += ": " + st.LastErr.Error()
		}
		out = append(out, text)
	case !st.Covered:
		out = append(out, "journal: no snapshot leads to the present yet")
	}
	if j.State() == journal.StateFull {
		out = append(out, "journal: the disk is full; nothing more is confirmed")
	}
	out = append(append(out, r.movedAside()...), r.scrub.troubles()...)
	return append(out, r.incidents(true)...)
}
