package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/journal/ctxtime"
	"holdfast/proxy/admin"
	"holdfast/proxy/audit"
	"holdfast/proxy/certs"
	"holdfast/proxy/durable"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

var (
	errNoReload = errors.New("this proxy was started without a configuration file")
	errEnding   = errors.New("this proxy is shutting down")
)

// A reload replaces the configuration in force, all of it or nothing. It has three parts:
//
//  1. prepare: the steps that can fail. The new upstream is probed, the new addresses of the
//     operator's side are bound, the new exporter is made. None of them serves yet; if a step
//     fails, undo reverts the others.
//  2. commit: the rules are compiled for the present command table, the last step that can fail.
//     Then everything is in force, for each worker once its post has run. Reload waits for that: a
//     command sent after the reload was reported meets the new rules.
//  3. retire: goroutines in the background close the replaced parts, since that can take as long as
//     the slowest command (switch.go).
//
// An upstream that does not answer is refused here and not at the start: a start has no clients to
// lose, and here a wrong character in an address would take every client down.
type change struct {
	srv   *Server
	old   Options
	opts  Options
	info  *upstream.Info // of up
	next  inForce
	moved bool // up is at another address than the one before
	// failover: the server there has replaced the one before, which may still believe otherwise.
	failover bool
	oldRunID string        // of the server before, when it was replaced
	gone     chan struct{} // closed when no link leads there; nil: the server stays

	exporter *exporter         // nil: stays
	console  *admin.Server     // to take the place of the old one if reconsole
	http     *telemetry.Server // likewise with rehttp
	budgets  budgets
	audit    *audit.File // always reopened: the file may have been moved away

	reconsole, rehttp bool
}

// inForce holds the parts that a worker takes over from a reload.
type inForce struct {
	up         *upstream.Upstream // nil: stays
	moved      bool
	failover   bool
	maxBackoff time.Duration
	hold       time.Duration
	rules      *rules
	limits     Limits
	users      *certs.Users
	tel        *telemetry.Telemetry
}

// Reload reads the options again and puts them in force. After an error nothing has changed. The
// warnings name the options that need a restart. It waits until the server has started, and for a
// new upstream's answer, but not beyond the end of ctx.
func (srv *Server) Reload(ctx context.Context) (warnings []string, err error) {
	srv.reloading.Lock()
	defer srv.reloading.Unlock()
	warnings, err = srv.reload(ctx)
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if err != nil {
		srv.reloads.Failed++
		return nil, err
	}
	srv.reloads.OK++
	srv.reloads.Last = time.Now()
	return warnings, nil
}

func (srv *Server) reload(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(srv.serving, cancel)()
	select {
	case <-srv.started:
	case <-ctx.Done():
	}
	if srv.serving.Err() != nil {
		return nil, errEnding
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if srv.opts.LoadOptions == nil {
		return nil, errNoReload
	}
	o, err := srv.opts.LoadOptions()
	if err != nil {
		return nil, err
	}
	o.setDefaults()
	next, started, err := srv.topology.resolve(ctx, &o)
	if err != nil {
		return nil, err
	}
	c := &change{srv: srv, opts: o}
	if err = c.carryOut(ctx); err != nil {
		if started {
			next.Stop()
		}
		if o.Explain != nil {
			err = o.Explain(err)
		}
		return nil, err
	}
	if old := srv.topology.adopt(next); old != nil {
		old.Stop()
	}
	return c.old.fixed(&o), nil
}

// carryOut prepares and commits the change, or leaves everything as it was.
func (c *change) carryOut(ctx context.Context) error {
	err := c.prepare(ctx)
	if err == nil {
		err = c.commit()
	}
	if err != nil {
		c.undo()
	}
	return err
}

// prepare takes the steps that can fail or take time.
func (c *change) prepare(ctx context.Context) error {
	c.old = c.srv.options()
	for _, step := range []func(context.Context) error{
		c.askUpstream, c.makeExporter, c.bindConsole, c.bindHTTP, c.makeBudgets, c.openAudit,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if c.srv.serving.Err() != nil {
		return errEnding
	}
	return nil
}

// askUpstream makes sure that a new upstream answers and accepts the proxy's login.
func (c *change) askUpstream(ctx context.Context) error {
	o := c.opts.Upstream
	if sameUpstream(o, c.old.Upstream) {
		return nil
	}
	up := c.srv.newUpstream(o)
	c.next.up, c.moved = up, o.Address != c.old.Upstream.Address
	ctx, cancel := context.WithTimeout(ctx, o.ConnectTimeout)
	defer cancel()
	info, err := up.Probe(ctx)
	if err == nil {
		err = info.Err
	}
	if err == nil && o.PrimaryOnly && info.Role != "" && info.Role != "master" {
		err = errNotPrimary
	}
	if err != nil {
		return fmt.Errorf("upstream %s: %w", o.Address, err)
	}
	c.info = info
	return nil
}

func (c *change) makeExporter(context.Context) (err error) {
	if !sameTelemetry(c.opts.Telemetry, c.old.Telemetry) {
		c.exporter, err = c.srv.newExporter(c.opts.Telemetry)
	}
	return err
}

// bindConsole opens the console at a new address. If only the password is new, it is checked here
// and given to the old console at commit.
func (c *change) bindConsole(context.Context) (err error) {
	if c.opts.Admin.Address != c.old.Admin.Address {
		c.console, err = c.srv.openConsole(c.opts.Admin)
		c.reconsole = true
	} else if c.opts.Admin.Address != "" {
		_, err = admin.New(c.opts.Admin, c.srv.backend)
	}
	return err
}

func (c *change) bindHTTP(context.Context) (err error) {
	if c.opts.HTTP != c.old.HTTP {
		c.http, err = c.srv.openHTTP(c.opts.HTTP)
		c.rehttp = true
	}
	return err
}

func (c *change) makeBudgets(context.Context) (err error) {
	c.budgets, err = newBudgets(c.opts.Budgets, c.srv.budgets.inForce())
	return err
}

func (c *change) openAudit(context.Context) (err error) {
	c.audit, err = c.srv.audit.Open(c.opts.Audit)
	return err
}

// undo reverts prepare.
func (c *change) undo() {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	c.srv.closeConsole(ctx, c.console)
	c.srv.closeHTTP(ctx, c.http)
	c.audit.Stop()
	if c.exporter != nil {
		c.srv.closeExporter(ctx, c.exporter)
	}
	if c.next.up != nil {
		c.next.up.Stop()
	}
}

// commit puts the change in force and returns once every worker has it.
func (c *change) commit() error {
	srv := c.srv
	srv.mu.Lock()
	was, err := c.swap()
	srv.mu.Unlock()
	if err != nil {
		return err
	}
	if c.next.up != nil {
		srv.watch(c.next.up)
		c.logUpstream()
	}
	// The posts are on their way; this follows them. The only error is that a loop has ended.
	_ = srv.loops.alive(srv.dialCtx)
	srv.limits.Retain(c.next.rules.policy)
	if srv.recorder != nil {
		srv.recorder.Change(c.opts.Journal, c.opts.Upstream)
	}
	srv.guard.Await(srv.serving)
	was.retire(c)
	if c.opts.InForce != nil {
		c.opts.InForce()
	}
	return nil
}

// swap is commit's part under the lock. It returns the replaced parts.
func (c *change) swap() (was replaced, err error) {
	srv, next := c.srv, &c.next
	table, info := srv.table, srv.up.Load().Info()
	if c.info != nil {
		info = c.info
		if t := srv.tableOf(c.info); t != nil || c.moved {
			table = t
		}
	}
	if next.rules, err = srv.compile(c.opts, table, info); err != nil {
		return was, err
	}
	if next.rules.trash.Definitive() {
		return was, fmt.Errorf("trash: %w", next.rules.trash.Off)
	}
	if err := durable.RefuseMarks(next.rules.routes.All(), info); err != nil {
		return was, err
	}
	if err := srv.refuseNewJournal(next.rules.routes.All()); err != nil {
		return was, err
	}
	srv.warnUnresolved(next.rules.policy, c.opts.Rules)
	srv.trashNews.Tell(next.rules.trash, next.rules.policy, info)
	srv.current.take(&c.opts)
	srv.table, srv.inForce, srv.compiled = table, next.rules, basisOf(table, info)
	was = c.swapParts()
	srv.askForProofs(next.rules.routes.All())
	srv.reportRoutes(next.rules, info)
	srv.lookAtProofs()
	next.moved, next.failover = c.moved, c.failover
	next.limits, next.maxBackoff = c.opts.Limits, c.opts.Upstream.MaxBackoff
	next.hold, next.users = c.opts.Hold, c.opts.Users
	next.tel = srv.exporter.tel
	srv.loops.each(func(w *worker) { w.takeOver(next) })
	return was, nil
}

// swapParts replaces the old parts by the prepared ones.
func (c *change) swapParts() (was replaced) {
	srv := c.srv
	if c.next.up != nil {
		was.up = srv.up.Swap(c.next.up)
	}
	if c.moved {
		srv.approvals.Forget()
	}
	if c.exporter != nil {
		was.exporter, srv.exporter = srv.exporter, c.exporter
	}
	srv.budgets.set(c.budgets)
	was.audit = srv.audit.Swap(c.audit)
	if c.rehttp {
		was.http, srv.http = srv.http, c.http
	}
	if c.reconsole {
		was.console, srv.console = srv.console, c.console
	} else if srv.console != nil {
		// bindConsole has checked it: no error is possible here.
		_ = srv.console.SetPassword(c.opts.Admin.Password)
	}
	return was
}

// logUpstream logs the new server.
func (c *change) logUpstream() {
	i := c.info
	c.srv.log.Info("another upstream is in force", "upstream", c.opts.Upstream.Address,
		"before", c.old.Upstream.Address, "server", i.Server, "version", i.Version, "role", i.Role)
	for _, trouble := range i.Troubles() {
		c.srv.log.Warn("trouble with the upstream", "trouble", trouble)
	}
}

// takeOver puts a reload in force for this worker.
func (w *worker) takeOver(n *inForce) {
	if n.up != nil {
		w.dialer.backoff.Max = n.maxBackoff
		w.switchTo(n.up, n.moved, n.failover)
	}
	w.outage.setHold(n.hold)
	w.setLimits(n.limits)
	w.setRules(n.rules)
	w.setVouched(n.users)
	w.setTelemetry(n.tel)
}

// setTelemetry sends this worker's spans to t.
func (w *worker) setTelemetry(t *telemetry.Telemetry) {
	if w.tel == t {
		return
	}
	w.tel, w.sampleEvery = t, t.SampleEvery()
	w.untilSample = w.sampleEvery
}

// replaced holds the parts that a reload has replaced; a nil part stayed.
type replaced struct {
	up       *upstream.Upstream
	exporter *exporter
	console  *admin.Server
	http     *telemetry.Server
	audit    *audit.File
}

// retire closes the replaced parts in the background. The server waits for that at its end.
func (r *replaced) retire(c *change) {
	srv := c.srv
	srv.retired.Go(r.audit.Stop)
	if r.up != nil {
		gone := make(chan struct{})
		c.oldRunID, c.gone = r.up.Info().RunID, gone
		srv.retired.Go(func() {
			defer close(gone)
			srv.retireUpstream(r.up, c.moved && c.failover)
		})
	}
	if r.exporter != nil {
		srv.retired.Go(func() { srv.retireExporter(r.exporter) })
	}
	if r.console != nil {
		srv.retired.Go(func() { srv.retireConsole(r.console) })
	}
	if r.http != nil {
		srv.retired.Go(func() { srv.retireHTTP(r.http) })
	}
}

// consoleGrace is how long a replaced console stays open: time for the answer to the RELOAD that
// replaced it.
const consoleGrace = time.Second

func (srv *Server) retireConsole(s *admin.Server) {
	_ = ctxtime.Sleep(srv.serving, consoleGrace)
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	srv.closeConsole(ctx, s)
}

// retireHTTP lets requests finish.
func (srv *Server) retireHTTP(s *telemetry.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	srv.closeHTTP(ctx, s)
}

// retireExporter lets scrapes finish, and exports the last spans.
func (srv *Server) retireExporter(e *exporter) {
	e.asked.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	srv.closeExporter(ctx, e)
}
