package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/journal"
	"holdfast/journal/tap"
	"holdfast/journal/vfs"
	"holdfast/proxy/upstream"
)

// JournalOptions say how the journal beside the proxy is kept. Without Dir there is none.
type JournalOptions struct {
	Dir       string
	Base      tap.BasePolicy
	Retention journal.Retention
	Disk      journal.DiskLimits
	FACK      bool          // fsyncs count in the server's own WAITAOF
	Backlog   time.Duration // that the server's backlog should hold; 0: the tap's default
	Required  bool          // what is wrong with the journal makes the proxy not ready
	FS        vfs.FS        // the disk; nil: the machine's
	Retry     time.Duration // first pause before a journal that failed is opened again; 0: a second
}

// incidentShown is how long a lost tail is shown as a reason for readiness, unless somebody says on
// the console that he knows.
const incidentShown = 24 * time.Hour

// recorder keeps the journal attached to the server, beside the loops: nothing of the data path
// waits for it.
//
// The journal stays open for as long as the proxy runs. What attaches it, the tap, is replaced when
// a reload changes whom it speaks to or how; the next one continues where the last one stopped, so
// that nothing is missing.
//
// A journal that has failed is closed and opened again, until that succeeds (journal_reopen.go). A
// folder that cannot be opened ends the start: a proxy that was told to keep a journal does not
// serve without one.
type recorder struct {
	log     *slog.Logger
	journal atomic.Pointer[journal.Journal]
	moved   atomic.Int64          // when the durable position last moved, nanoseconds since 1970
	reopens atomic.Int64          // times that the journal was opened again after it had failed
	closed  atomic.Pointer[error] // why it could not be; nil: it was

	// Changed under Server.reloading only, and read there.
	up   upstream.Options
	stop context.CancelFunc
	done chan struct{} // closed when run has returned

	tap      atomic.Pointer[tap.Tap]
	watchers atomic.Pointer[[]*watcher] // journal_proof.go

	mu    sync.Mutex
	opts  JournalOptions // in force
	known time.Time      // incidents up to here were acknowledged on the console
}

// openRecorder opens the journal and attaches it; nil where there is to be none.
func openRecorder(o JournalOptions, up upstream.Options, log *slog.Logger) (*recorder, error) {
	if o.Dir == "" {
		return nil, nil
	}
	r := &recorder{log: log}
	if err := r.open(o); err != nil {
		return nil, fmt.Errorf("journal in %s: %w", o.Dir, err)
	}
	if err := r.attach(o, up); err != nil {
		return nil, errors.Join(err, r.journal.Load().Close())
	}
	return r, nil
}

// open opens the journal and puts it in the place of the last one.
func (r *recorder) open(o JournalOptions) error {
	j, err := journal.Open(journal.Options{Dir: o.Dir, FS: o.FS, Retention: o.Retention,
		Disk: o.Disk, Logger: r.log, OnState: r.notify})
	if err != nil {
		return err
	}
	j.Subscribe(func(journal.Position) {
		r.notify() // before anything else: someone may wait for it
		r.moved.Store(time.Now().UnixNano())
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.journal.Store(j)
	if r.opts.Dir == "" {
		return nil // the first one
	}
	return j.SetLimits(r.opts.Retention, r.opts.Disk) // which a reload may just have changed
}

// attach begins with a new tap.
func (r *recorder) attach(o JournalOptions, up upstream.Options) error {
	t, err := r.newTap(o, up)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop, r.done, r.up = cancel, make(chan struct{}), up
	r.mu.Lock()
	r.opts = o
	r.mu.Unlock()
	go r.run(ctx, t, up, r.done)
	return nil
}

// newTap makes the tap of the present journal and puts it in the place of the last one.
func (r *recorder) newTap(o JournalOptions, up upstream.Options) (*tap.Tap, error) {
	t, err := tap.New(tap.Options{
		Journal: r.journal.Load(), Address: up.Address, Username: up.Username,
		Password: up.Password, FACK: o.FACK, Base: o.Base, BacklogTime: o.Backlog, Logger: r.log,
		OnChange: r.notify,
	})
	if err == nil {
		r.tap.Store(t)
	}
	return t, err
}

// detach ends the tap.
func (r *recorder) detach() {
	r.stop()
	<-r.done
}

// change puts what a reload brings in force, but for the folder. It was validated before.
func (r *recorder) change(o JournalOptions, up upstream.Options) {
	old, o := r.changeOptions(o)
	sameServer := up.Address == r.up.Address && up.Username == r.up.Username &&
		up.Password == r.up.Password
	if sameServer && o.Base == old.Base && o.FACK == old.FACK && o.Backlog == old.Backlog {
		return
	}
	r.detach()
	if err := r.attach(o, up); err != nil {
		r.log.Error("journal: not attached any more", "error", err)
	}
}

// changeOptions puts the options in force that the journal itself has.
func (r *recorder) changeOptions(o JournalOptions) (old, now JournalOptions) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old = r.opts
	o.Dir, o.FS, o.Retry = old.Dir, old.FS, old.Retry
	if err := r.journal.Load().SetLimits(o.Retention, o.Disk); err != nil {
		r.log.Error("journal: the limits stay as they were", "error", err)
		o.Retention, o.Disk = old.Retention, old.Disk
	}
	r.opts = o
	return old, o
}

// close ends the recording and makes everything durable that was received.
func (r *recorder) close() {
	r.detach()
	if err := r.journal.Load().Close(); err != nil && !errors.Is(err, journal.ErrClosed) {
		r.log.Error("journal: not closed in good order", "error", err)
	}
}

// parts gives what may change while serving.
func (r *recorder) parts() (t *tap.Tap, o JournalOptions, known time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tap.Load(), r.opts, r.known
}

// troubles lists what is wrong with the journal, for readiness.
func (r *recorder) troubles() []string {
	t, _, known := r.parts()
	var out []string
	j := r.journal.Load()
	if err := r.failure(); err != nil {
		out = append(out, "journal: "+err.Error())
	}
	st := t.Stats()
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
	return append(out, r.lostTailsSince(known)...)
}

// lostTailsSince describes the incidents that nobody has acknowledged.
func (r *recorder) lostTailsSince(known time.Time) []string {
	j := r.journal.Load()
	if j.Stats().Incidents == 0 {
		return nil
	}
	view, err := j.View()
	if err != nil {
		return []string{"journal: " + err.Error()}
	}
	var out []string
	for _, i := range view.Incidents() {
		if !i.Replaced && i.Time.After(known) && time.Since(i.Time) < incidentShown {
			out = append(out, fmt.Sprintf("journal: the server lost %d commands that the journal "+
				"holds (timeline %d, offsets %d to %d); see SHOW INCIDENTS", i.Commands, i.Timeline,
				i.From, i.To))
		}
	}
	return out
}

// acknowledge says that the incidents so far are known.
func (r *recorder) acknowledge() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = time.Now()
}
