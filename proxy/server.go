package proxy

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/policy"
	"holdfast/proxy/accept"
	"holdfast/proxy/admin"
	"holdfast/proxy/approvals"
	"holdfast/proxy/audit"
	"holdfast/proxy/certs"
	"holdfast/proxy/durable"
	"holdfast/proxy/eventloop"
	"holdfast/proxy/guard"
	"holdfast/proxy/recorder"
	"holdfast/proxy/resp"
	"holdfast/proxy/takeover"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/trash"
	"holdfast/proxy/upstream"
)

// limitersPerRule bounds the users, addresses or sessions counted for one rule's limit.
const limitersPerRule = 10_000

// idBase is below every session id. The server counts its connections up from 1, so an id at or
// above idBase names a session; it fits into the 53 bits that JavaScript clients can hold.
const idBase = uint64(1) << 50

// Server is one proxy in front of one upstream. New makes it, Run serves.
//
// Workers and other goroutines share its fields: they are immutable after New (some after start),
// guard themselves, or are guarded by mu.
type Server struct {
	opts     Options // as passed to New; current has those in force
	log      *slog.Logger
	instance string // distinguishes this process from other proxies of the same server
	loops    *loops
	up       atomic.Pointer[upstream.Upstream]
	topology *topology
	recorder *recorder.Recorder // nil without a journal; set by start
	lifetime
	connNumbers
	shared

	reloading sync.Mutex // held during a reload, and by stop
	mu        sync.Mutex // guards the groups that follow
	configured
	entrances
	operatorSide
}

// connNumbers count connections, on all loops.
type connNumbers struct {
	nextID       atomic.Uint64
	sessionCount atomic.Int64
	linkCount    atomic.Int64
}

// shared is what all workers share, and what outlives reloads. Each part guards itself.
type shared struct {
	limits    *policy.Limits // of rules
	budgets   *budgetBook
	approvals *approvals.Book
	audit     *audit.Log
	hits      *audit.RuleLog
	scripts   *policy.Scripts
	libraries libraries
	guard     *guard.Keeper // from startWorkers on
	logs      *logKeeper
	proofs    *durable.Monitor
	trashRoom *trash.Room
}

// configured is the configuration in force, and what follows from it.
type configured struct {
	current   Options
	table     *policy.Table
	read      reading
	compiled  basis
	inForce   *rules // compiled from it
	routeLog  durable.TroubleLog
	trashNews trash.News
}

// entrances is the listeners for clients.
type entrances struct {
	listeners []*listener
	turns     chan struct{} // of TLS handshakes that compute; immutable
}

// operatorSide is the part of the server that the operator's programs talk to.
type operatorSide struct {
	status   *status  // immutable
	backend  *console // immutable; set by start
	reloads  telemetry.ReloadCount
	exporter *exporter
	http     *telemetry.Server // nil when there is none
	console  *admin.Server     // nil when there is none
	attempts admin.Attempts    // wrong passwords, on console and page; it guards itself
}

// listener is one address with its acceptor.
type listener struct {
	name     string
	secure   bool // it is TLS
	userFrom certs.UserFrom
	net      net.Listener
	greeting *accept.Listener // net, where there is TLS or the PROXY protocol; else nil
	acceptor *eventloop.Acceptor
}

// New prepares a server; nothing is opened before Run. The error is about the options.
func New(opts Options) (*Server, error) {
	opts.setDefaults()
	srv := &Server{opts: opts, log: opts.Logger, loops: newLoops(), instance: newInstance()}
	srv.begin()
	srv.current, srv.routeLog = opts, durable.TroubleLog{Log: srv.log}
	srv.trashNews.Log = srv.log
	srv.turns = handshakeTurns(opts.Workers)
	srv.status = &status{srv}
	srv.reloads.Last = srv.startedAt
	log := audit.New(srv.log)
	srv.shared = shared{
		limits: policy.NewLimits(limitersPerRule), budgets: &budgetBook{began: srv.startedAt},
		approvals: approvals.New(log), audit: log, hits: audit.NewRuleLog(srv.log),
		scripts: policy.NewScripts(0), logs: newLogKeeper(srv.ownEntry), proofs: durable.NewMonitor(),
		trashRoom: &trash.Room{Log: srv.log},
	}
	srv.topology = newTopology(srv)
	if opts.hasSource() {
		srv.current.Upstream = located(&opts, "")
	}
	srv.up.Store(srv.newUpstream(srv.current.Upstream))
	// Two proxies, or one before and after a restart, give out different ids.
	srv.nextID.Store(idBase + uint64(time.Now().Unix())%(1<<29)<<20)
	if _, err := srv.compile(opts, nil, srv.up.Load().Info()); err != nil {
		return nil, err
	}
	b, err := newBudgets(opts.Budgets, nil)
	if err != nil {
		return nil, err
	}
	srv.budgets.set(b)
	if srv.exporter, err = srv.newExporter(opts.Telemetry); err != nil {
		return nil, err
	}
	return srv, nil
}

// InForce returns the options of New, with what reloads have changed and, after the end, the primary among candidates.
func (srv *Server) InForce() Options { return srv.options() }

// options returns the options in force.
func (srv *Server) options() Options {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.current
}

// compile builds the rules for a command table; nil: the built-in one.
func (srv *Server) compile(o Options, t *policy.Table, info *upstream.Info) (*rules, error) {
	p, err := policy.New(policy.Options{
		Table: t, Rules: o.Rules, Enforcement: o.Enforcement, AllowUnknown: t == nil,
	})
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	routes, err := policy.NewRoutes(p.Table(), o.Routes)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	return newRules(p, routes, trash.NewPlan(o.Trash, o.Routes, p, info)), nil
}

// Run serves until ctx ends or DRAIN is requested, then lets commands in flight finish, for at most
// Options.Drain. It returns nil after an orderly end.
func (srv *Server) Run(ctx context.Context) error {
	defer srv.stopDial()
	if err := srv.start(ctx); err != nil {
		srv.opts.Claim.Abandon(err)
		srv.stop(ctx)
		return err
	}
	err := srv.wait(ctx, srv.opts.Offer.Asked())
	srv.drain()
	srv.stop(ctx)
	return err
}

// start starts all parts, in the order of their dependencies.
func (srv *Server) start(ctx context.Context) error {
	srv.topology.begin(ctx)
	up := srv.up.Load()
	probe, cancel := context.WithTimeout(ctx, srv.opts.Upstream.ConnectTimeout)
	info, err := up.Probe(probe)
	cancel()
	if err != nil {
		srv.log.Warn("the upstream does not answer; serving errors until it does",
			"upstream", up.Address(), "error", err)
	} else {
		up.Announce()
	}
	file, failed := srv.audit.Open(srv.opts.Audit)
	if failed != nil {
		return failed
	}
	srv.audit.Swap(file)
	srv.opts.Takeovers.Tell(srv.noteTakeover)
	if err := srv.startWorkers(info); err != nil {
		return err
	}
	if err := srv.takeOver(ctx, info, err); err != nil {
		return err
	}
	recorded := srv.current.Upstream
	recorded.ClientName = cmp.Or(recorded.ClientName, controlName(srv.instance))
	srv.recorder, err = recorder.Open(srv.opts.Journal, recorded, srv.log)
	if err != nil {
		return err
	}
	if srv.recorder != nil {
		srv.recorder.Watch(srv.journalMoved)
		for _, w := range srv.loops.workers {
			srv.recorder.Watch(w.durable.JournalMoved)
		}
		srv.loops.each(func(w *worker) { w.durable.SetJournal(srv.recorder) })
	}
	srv.lookAtProofs()
	srv.watch(up)
	srv.topology.start()
	srv.opts.Offer.Knows(srv.topology.forNext)
	srv.retired.Go(srv.watchCertificates)
	if info != nil {
		srv.guard.Await(ctx) // before clients come
	}
	srv.backend = newConsole(srv)
	srv.retired.Go(func() { srv.backend.hitHistory.run(srv.serving) })
	if err := srv.startAdmin(); err != nil {
		return err
	}
	if err := srv.openListeners(); err != nil {
		return err
	}
	if err := srv.opts.Claim.Confirm(ctx); err != nil {
		return err
	}
	srv.accept()
	close(srv.started)
	if srv.opts.Serving != nil {
		srv.opts.Serving()
	}
	return nil
}

// watch begins to follow the changes of up's server.
func (srv *Server) watch(up *upstream.Upstream) {
	up.OnChange(func(info *upstream.Info) { srv.upstreamChanged(up, info) })
	up.Start(srv.dialCtx)
}

func (srv *Server) startWorkers(info *upstream.Info) error {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.table = srv.tableOf(info)
	now := srv.up.Load().Info() // it is not nil where info, of a failed probe, is
	r, err := srv.compile(srv.current, srv.table, now)
	if err != nil {
		return err
	}
	if r.trash.Definitive() {
		return fmt.Errorf("trash: %w", r.trash.Off)
	}
	if err := durable.RefuseMarks(r.routes.All(), now); err != nil {
		return err
	}
	srv.inForce, srv.compiled = r, basisOf(srv.table, now)
	srv.warnUnresolved(r.policy, srv.opts.Rules)
	srv.trashNews.Tell(r.trash, r.policy, now)
	srv.askForProofs(r.routes.All())
	srv.reportRoutes(r, now)
	for i := range srv.opts.Workers {
		w, err := newWorker(srv, i, r)
		if err != nil {
			return err
		}
		srv.loops.add(w)
	}
	srv.loops.begin()
	srv.hits.Start()
	srv.guard = newGuard(srv)
	go srv.guard.Run(srv.dialCtx)
	return nil
}

// reading is a reply to COMMAND and the table parsed from it; nil: it cannot be parsed.
type reading struct {
	reply any
	table *policy.Table
}

// basis holds the inputs of a compilation beyond the options.
type basis struct {
	table      *policy.Table
	generation uint64
	databases  int
	cluster    bool
}

func basisOf(t *policy.Table, info *upstream.Info) basis {
	return basis{t, info.Generation, info.Databases, info.Cluster}
}

// tableOf is the server's own command table; nil while it is unknown. With mu held.
func (srv *Server) tableOf(info *upstream.Info) *policy.Table {
	if info == nil || info.CommandReply == nil {
		return nil
	}
	if srv.read.reply != nil && upstream.SameReply(srv.read.reply, info.CommandReply) {
		return srv.read.table
	}
	t, err := policy.NewTable(info.CommandReply)
	if err != nil {
		srv.log.Error("the server's COMMAND reply cannot be read; using the built-in table",
			"error", err)
		t = nil
	}
	srv.read = reading{info.CommandReply, t}
	return t
}

// warnUnresolved warns of names in rules that the server lacks. The built-in rules name commands of
// every version.
func (srv *Server) warnUnresolved(p *policy.Policy, rules []policy.RuleSpec) {
	names := p.Unresolved()
	if len(names) > 0 && !reflect.DeepEqual(rules, policy.DefaultRules()) {
		srv.log.Warn("rules name commands that the server does not have", "commands", names)
	}
}

// openListeners opens all addresses.
func (srv *Server) openListeners() error {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for _, o := range srv.opts.Listeners {
		ln, err := openListener(srv.opts.Sockets, o)
		if err != nil {
			return err
		}
		srv.listeners = append(srv.listeners, ln)
	}
	return nil
}

// accept begins to accept on all listeners.
func (srv *Server) accept() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for i, o := range srv.opts.Listeners {
		ln := srv.listeners[i]
		if o.TLS != nil || len(o.ProxyFrom) > 0 {
			ln.greet(o, srv.turns, srv.log)
		}
		add := func(l *eventloop.Loop, nc net.Conn) { srv.loops.of[l].accept(nc, ln) }
		ln.acceptor = eventloop.Accept(ln.net, srv.loops.all(), add, srv.log)
		srv.log.Info("listening", "address", ln.net.Addr().String(), "name", ln.name,
			"tls", ln.secure)
	}
	srv.listening.Store(true)
}

func openListener(sockets *takeover.Sockets, o Listener) (*listener, error) {
	ln, err := sockets.Listen(o.Address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", o.Address, err)
	}
	if network, addr := eventloop.SplitAddress(o.Address); network == "unix" && o.Mode != 0 && !takeover.Kept(ln) {
		if err := os.Chmod(addr, o.Mode); err != nil {
			ln.Close()
			return nil, fmt.Errorf("listen on %s: %w", o.Address, err)
		}
	}
	name := o.Name
	if name == "" {
		name = o.Address
	}
	return &listener{name: name, net: ln, userFrom: o.UserFrom}, nil
}

// Addrs returns the listeners' addresses, in the order of the options.
func (srv *Server) Addrs() []net.Addr {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	var out []net.Addr
	for _, ln := range srv.listeners {
		out = append(out, ln.net.Addr())
	}
	return out
}

// upstreamChanged takes over a change of the server. It runs on up's goroutine.
func (srv *Server) upstreamChanged(up *upstream.Upstream, info *upstream.Info) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.up.Load() != up {
		return // another server has taken its place
	}
	srv.lookAtProofs()
	if t := srv.tableOf(info); t != nil {
		srv.table = t
	}
	r := srv.recompile(info)
	srv.trashNews.Tell(srv.inForce.trash, srv.inForce.policy, info)
	srv.reportRoutes(srv.inForce, info)
	srv.loops.each(func(w *worker) {
		w.learn(info)
		if r != nil {
			w.setRules(r)
		}
	})
	srv.guard.Wake()
	srv.topology.serverChanged()
}

// recompile returns the rules for a changed server; nil: they stay. Most changes, such as those of
// replicas, do not affect them, and new rules are costly: every worker walks its outstanding
// requests, and resolves the rules again for each client.
func (srv *Server) recompile(info *upstream.Info) *rules {
	now := basisOf(srv.table, info)
	if now == srv.compiled {
		return nil
	}
	srv.compiled = now
	r, err := srv.compile(srv.current, srv.table, info)
	switch {
	case err != nil:
		srv.log.Error("the rules do not fit the server's commands; the old ones stay", "error", err)
		return nil
	case r.trash.Definitive():
		srv.log.Error("there can be no trash on this server: rules with this action deny",
			"error", r.trash.Off)
	}
	srv.inForce = r
	return r
}

// Alive returns nil once every event loop has turned, and else the error of ctx. Call it after the
// start (Options.Serving).
func (srv *Server) Alive(ctx context.Context) error { return srv.loops.alive(ctx) }

// Readiness gives the readiness, as /readyz shows it.
func (srv *Server) Readiness() telemetry.Readiness { return srv.status }

// driver names the event loops' driver.
func (srv *Server) driver() string {
	switch {
	case srv.opts.Driver != "":
		return srv.opts.Driver
	case runtime.GOOS == "linux":
		return "epoll"
	}
	return "portable"
}

// clientsPaused passes an accepted CLIENT PAUSE or UNPAUSE to all workers.
func (srv *Server) clientsPaused(args [][]byte) {
	on := len(args) > 1 && resp.EqualFold(args[1], "pause")
	var ms int64
	all := true
	if on && len(args) > 2 {
		ms, _ = strconv.ParseInt(string(args[2]), 10, 64)
		all = len(args) < 4 || !resp.EqualFold(args[3], "write")
	}
	srv.loops.each(func(w *worker) {
		w.pauseClients(w.loop.Now()+int64(time.Duration(ms)*time.Millisecond), all, on)
	})
}
