package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/policy"
	"holdfast/proxy/admin"
	"holdfast/proxy/telemetry"
)

// AuditOptions configure the audit log: one line with a JSON object for each command whose verdict
// is other than a plain allow.
type AuditOptions struct {
	File    string // relative to the working directory; empty: no audit log
	MaxSize int64  // size in bytes at which the file is rotated; 64 MiB
	Keep    int    // number of rotated files kept: FILE.1 is the newest; 8
}

func (o *AuditOptions) setDefaults() {
	if o.MaxSize == 0 {
		o.MaxSize = 64 << 20
	}
	if o.Keep == 0 {
		o.Keep = 8
	}
}

// An auditLog writes the audit log. Loops put entries into a batch and never wait: an entry that
// does not fit is counted and dropped. One goroutine takes the batch every few milliseconds and
// writes it, so a flood of refusals costs the loops one wake-up for hundreds of entries. Failed
// writes are counted, too, and the next batch is tried again.
//
// A crash of the process loses the waiting entries, as a crash of the machine loses the page cache.
// A channel was measured and rejected: it woke the goroutine for nearly every entry.
type auditLog struct {
	opts  AuditOptions
	log   *slog.Logger
	wake  chan struct{} // one token: the batch has its first entry, or is half full
	quit  chan struct{}
	done  chan struct{}
	count *auditCount // outlives reloads

	mu     sync.Mutex   // held for a few instructions
	batch  []auditEntry // guarded by mu
	closed bool         // guarded by mu: there is no further batch

	// Owned by the goroutine.
	spare []auditEntry
	file  *os.File  // nil: not open
	size  int64     // of the file
	buf   []byte    // unwritten lines
	lines uint64    // number of lines in buf
	told  time.Time // time of the last log line about a failure
}

// auditCount counts the entries by outcome.
type auditCount struct{ written, dropped, failed atomic.Uint64 }

const (
	// auditQueue is the maximum number of entries that wait for the disk: a tenth of a second of a
	// flood.
	auditQueue = 8192
	// auditBuffer is the size of one write in bytes.
	auditBuffer = 64 << 10
	// auditKeep is the capacity above which a batch is not reused.
	auditKeep = 1024
	// auditPause is how long a batch gathers entries before the write.
	auditPause = 5 * time.Millisecond
	// auditTell is the minimum time between two log lines about a failing disk.
	auditTell = time.Minute
)

// openAudit opens the file and starts the goroutine; nil: no audit log configured.
func (srv *Server) openAudit(o AuditOptions) (*auditLog, error) {
	if o.File == "" {
		return nil, nil
	}
	o.setDefaults()
	a := &auditLog{
		opts: o, log: srv.log, count: &srv.audited, wake: make(chan struct{}, 1),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	if err := a.open(); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	go a.run()
	return a, nil
}

// stop ends the goroutine after it has written the entries put before.
func (a *auditLog) stop() {
	if a != nil {
		close(a.quit)
		<-a.done
	}
}

// put adds an entry to the batch. Any goroutine may call it; it never waits for the disk.
func (a *auditLog) put(e auditEntry) {
	a.mu.Lock()
	n := len(a.batch)
	if n == auditQueue || a.closed {
		a.mu.Unlock()
		a.count.dropped.Add(1)
		return
	}
	a.batch = append(a.batch, e)
	a.mu.Unlock()
	if n == 0 || n == auditQueue/2 {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// full reports whether put would drop an entry, so that the caller need not make one.
func (a *auditLog) full() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.batch) == auditQueue
}

// run is the goroutine. Started by openAudit, joined by stop.
func (a *auditLog) run() {
	defer close(a.done)
	defer a.close()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for quit := false; !quit; {
		select {
		case <-a.wake:
		case <-a.quit:
			quit = true
		}
		pause.Reset(auditPause)
		select {
		case <-pause.C:
		case <-a.wake: // half full
		case <-a.quit:
			quit = true
		}
		a.writeBatch(quit)
	}
}

// writeBatch writes the batch. With last, later entries are dropped.
func (a *auditLog) writeBatch(last bool) {
	a.mu.Lock()
	a.closed = last
	batch := a.batch
	a.batch, a.spare = a.spare[:0], nil
	a.mu.Unlock()
	for i := range batch {
		a.add(&batch[i])
	}
	a.flush()
	if cap(batch) <= auditKeep {
		clear(batch)
		a.spare = batch
	}
}

// add appends a line to buf. It first rotates a file that the line would make too large.
func (a *auditLog) add(e *auditEntry) {
	from := len(a.buf)
	a.buf = append(e.appendJSON(a.buf), '\n')
	a.lines++
	over := a.size+int64(len(a.buf)) > a.opts.MaxSize && a.size+int64(from) > 0
	if !over && len(a.buf) <= auditBuffer {
		return
	}
	line := a.buf[from:]
	a.buf, a.lines = a.buf[:from], a.lines-1
	a.flush()
	if over {
		a.close()
		a.check(a.rotate()) // after a failure the file grows, since lines matter more
	}
	a.buf, a.lines = append(a.buf, line...), 1
}

// flush writes the lines. Lines that fail are counted, and leave no half line.
func (a *auditLog) flush() {
	if a.lines == 0 {
		return
	}
	err := a.open()
	if err == nil {
		var n int
		if n, err = a.file.Write(a.buf); err == nil {
			a.size += int64(n)
		} else if n > 0 {
			err = errors.Join(err, a.file.Truncate(a.size))
		}
	}
	if a.check(err) {
		a.count.written.Add(a.lines)
	} else {
		a.count.failed.Add(a.lines)
	}
	a.buf, a.lines = a.buf[:0], 0
}

// check logs an error, at most once per auditTell, and closes the file; the next entry opens it
// again.
func (a *auditLog) check(err error) bool {
	if err == nil {
		return true
	}
	if time.Since(a.told) > auditTell {
		a.told = time.Now()
		a.log.Error("the audit log cannot be written", "file", a.opts.File, "error", err)
	}
	if a.file != nil {
		a.file.Close()
		a.file = nil
	}
	return false
}

// open opens the file if it is not open.
func (a *auditLog) open() error {
	if a.file != nil {
		return nil
	}
	f, err := os.OpenFile(a.opts.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	a.file, a.size = f, info.Size()
	return nil
}

func (a *auditLog) close() {
	if a.file == nil {
		return
	}
	a.check(a.file.Close())
	a.file, a.size = nil, 0
}

// rotate gives each file the next number and removes the last one.
func (a *auditLog) rotate() error {
	name := func(n int) string {
		if n == 0 {
			return a.opts.File
		}
		return fmt.Sprintf("%s.%d", a.opts.File, n)
	}
	for n := a.opts.Keep; n > 0; n-- {
		if err := os.Rename(name(n-1), name(n)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// rulingNames are the verdicts in the audit log.
var rulingNames = [...]string{
	allowed: "allowed", denied: "denied", observed: "observed", rewritten: "rewritten",
	held: "held", approved: "approved", trashed: "trashed", throttled: "throttled",
	passed: "passed",
}

// audit notes a verdict. ref is the token of a command held for approval, or the id of an entry in
// the trash.
func (f *frame) audit(r *policy.Rule, is ruling, ref string) {
	a := f.s.w.srv.audits.Load()
	if a == nil || is == allowed || is == observed && r.Action == policy.Allow {
		return
	}
	if a.full() {
		a.count.dropped.Add(1)
		return
	}
	e := f.auditEntry(r, is)
	if is == trashed {
		e.Trash = ref
	} else {
		e.Token = ref
	}
	a.put(e)
}

// auditEntry is the line about a command, without the reference.
func (f *frame) auditEntry(r *policy.Rule, is ruling) auditEntry {
	s, cmd := f.s, f.cmd
	return auditEntry{
		Time: time.UnixMilli(s.w.unixMilli()).UTC(), Verdict: rulingNames[is], Rule: r.Name,
		Command: describeCommand(cmd, f.Args), User: s.ident.userName(),
		Client: s.conn.RemoteAddr(), Name: s.name, Listener: s.listener.name, DB: int(s.db),
		Code: f.ruleReason(r),
	}
}

// auditDecision notes an operator's decision about a held command; p is nil if no command has that
// token.
func (srv *Server) auditDecision(p *admin.Pending, verdict, token, by string) {
	e := auditEntry{Verdict: verdict, Token: token, Operator: by, Result: "OK"}
	if p == nil {
		e.Result = "nothing waits under this token"
	} else {
		e.Rule, e.Command, e.User, e.Client = p.Rule, p.Command, p.User, p.Addr
		e.Name, e.DB, e.Token = p.Name, p.DB, p.Token
	}
	srv.putAudit(e)
}

// Audit implements admin.ProcessBackend.
func (c processConsole) Audit(a admin.Action) {
	c.srv.putAudit(auditEntry{
		Verdict: a.Name, Command: a.Command, Operator: a.Operator, Result: a.Result,
	})
}

// putAudit puts an entry from outside the event loops.
func (srv *Server) putAudit(e auditEntry) {
	if a := srv.audits.Load(); a != nil {
		e.Time = time.Now().UTC().Truncate(time.Millisecond)
		a.put(e)
	}
}

// snapshot returns the counts for the metrics.
func (c *auditCount) snapshot() telemetry.AuditCount {
	return telemetry.AuditCount{
		Written: c.written.Load(), Dropped: c.dropped.Load(), Failed: c.failed.Load(),
	}
}
