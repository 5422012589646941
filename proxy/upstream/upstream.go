package upstream

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/proxy/certs"
	"holdfast/proxy/resp"
)

// DefaultClientName is the name of the control connection in the server's CLIENT LIST.
const DefaultClientName = "holdfast-control"

// Options configure an Upstream. Address is required.
type Options struct {
	// Address is host:port, [v6]:port or unix:/path.
	Address string

	// Username and Password are the login of the control connection only. An empty Password sends
	// no login; an empty Username is the default user.
	Username, Password string

	// ConnectTimeout bounds a dial with its name look-up, and each answer on the control
	// connection. Zero is 5 s.
	ConnectTimeout time.Duration

	// KeepAlive is the idle time before TCP keepalive probes. Zero is 30 s, negative is none.
	KeepAlive time.Duration

	// MaxBackoff bounds the delay between attempts to reach a server that is down. Zero is 2 s.
	MaxBackoff time.Duration

	// Interval is the time between health checks of a server that is up and has not answered on a
	// data connection meanwhile. Zero is 1 s.
	Interval time.Duration

	// Refresh is the time between reads of the state that changes rarely: the configuration, the
	// command table, whether clients must log in. Zero is 10 s.
	Refresh time.Duration

	// ClientName is the control connection's name in CLIENT LIST; empty is DefaultClientName.
	ClientName string

	// Resolver looks names up; nil is the system's.
	Resolver *net.Resolver

	// Dialer replaces the network's, for tests with a server in the same process.
	Dialer Dialer

	// PrimaryOnly: the server must be a primary, and data connections check that by the reply to their
	// HELLO. An Upstream does not check it.
	PrimaryOnly bool

	// TLS secures every connection, to replicas as well; nil: plain.
	TLS *certs.Client

	// Logger logs changes of the server; nil is slog.Default.
	Logger *slog.Logger
}

// Dialer opens connections, as net.Dialer does. It must be comparable.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// withDefaults fills in zero fields.
func (o Options) withDefaults() Options {
	defaultTo := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	defaultTo(&o.ConnectTimeout, 5*time.Second)
	defaultTo(&o.KeepAlive, 30*time.Second)
	defaultTo(&o.MaxBackoff, 2*time.Second)
	defaultTo(&o.Interval, time.Second)
	defaultTo(&o.Refresh, 10*time.Second)
	if o.ClientName == "" {
		o.ClientName = DefaultClientName
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Upstream watches one server.
//
// One goroutine (run) makes the checks: INFO each Interval (see Seen); and each Refresh, or when
// the server has changed, also CONFIG GET, COMMAND and an unauthenticated PING. With WatchClosely
// every check includes CONFIG GET. Each check ends in a new Info that replaces the last; if it
// differs in substance, the functions of OnChange are called. While the server is down a Backoff
// paces the checks.
//
// A failed check is repeated once on a new connection before the server counts as down: the loss of
// one control connection (CLIENT KILL, the server's timeout) proves nothing about the server. A
// timeout is not repeated, since a second try would only double the wait.
//
// A server that sends any reply is up. Missing permissions of the control user degrade the result:
// the fields keep their zero value and Info.Missing names the commands.
//
// Probe makes the same check on the caller's goroutine; probing serializes the two. The rejected
// design passes Probe's request to the goroutine, which would have to run before Start.
type Upstream struct {
	// Immutable after New.
	opts     Options
	dialer   Dialer
	log      *slog.Logger
	greeting time.Duration // greetingTimeout but in tests

	info         atomic.Pointer[Info] // never nil
	recheck      chan struct{}        // one token: check soon
	controlAddrs AddrSet              // has a mutex of its own
	seen         atomic.Bool          // a data connection had a reply since the last reset
	closely      atomic.Bool          // see WatchClosely
	doubt        atomic.Bool          // see DoubtLogin
	askReplicas  atomic.Bool          // see WatchReplicas
	replicas     replicaWatch         // has a mutex of its own

	probing   sync.Mutex // held during a check; guards the fields below it
	refreshed time.Time  // time of the last complete slow part of a check
	commands  int64      // COMMAND COUNT at the last COMMAND
	loginErr  error      // failure of a new login as the control user; wraps ErrLogin

	preceding Preceding // nil: none

	mu       sync.Mutex
	control  *redis.Client
	closing  sync.Once // of control
	closed   bool
	onChange []func(*Info)
	cancel   context.CancelFunc // nil before Start
	done     chan struct{}      // closed when run has ended; nil before Start
}

// New returns an Upstream without a check so far: Info is down with ErrUnknown. The address is not
// checked; a wrong one fails at every dial.
func New(opts Options) *Upstream {
	opts = opts.withDefaults()
	u := &Upstream{
		opts:     opts,
		dialer:   newDialer(opts),
		log:      opts.Logger.With("upstream", opts.Address),
		greeting: greetingTimeout,
		recheck:  make(chan struct{}, 1),
	}
	u.info.Store(&Info{Err: ErrUnknown, Since: time.Now()})
	logClient(u.log)
	u.control = u.newControl()
	return u
}

// Address returns the server's address, as in Options.
func (u *Upstream) Address() string { return u.opts.Address }

// PrimaryOnly reports whether data connections must check that the server is a primary.
func (u *Upstream) PrimaryOnly() bool { return u.opts.PrimaryOnly }

// Login returns the user and password of the control connection, as in Options.
func (u *Upstream) Login() (username, password string) {
	return u.opts.Username, u.opts.Password
}

// ShowsCertificate reports whether Dial shows a client certificate where the server asks for one.
func (u *Upstream) ShowsCertificate() bool { return u.opts.TLS.ShowsCertificate() }

// Start watches the server until ctx ends or Stop is called. It must be called at most once; after
// Stop it does nothing.
func (u *Upstream) Start(ctx context.Context) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.cancel != nil {
		panic("upstream: Start called twice")
	}
	if u.closed {
		return
	}
	ctx, u.cancel = context.WithCancel(ctx)
	u.done = make(chan struct{})
	go u.run(ctx)
}

// Stop ends the watching, closes the control connections and waits for both. Data connections
// belong to their users. Calling it again does nothing.
func (u *Upstream) Stop() {
	u.mu.Lock()
	cancel := u.cancel
	u.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	u.closeControl()
	u.Wait()
}

// Wait returns once the watching has ended; at once if it never began.
func (u *Upstream) Wait() {
	u.mu.Lock()
	done := u.done
	u.mu.Unlock()
	if done != nil {
		<-done
	}
}

// Info returns the result of the last check. It takes no lock. The result is never nil and must not
// be changed.
func (u *Upstream) Info() *Info { return u.info.Load() }

// OnChange adds a function that is called, on the watching goroutine, after each change of
// substance: up or down, another server behind the address, another configuration. Calls do not
// overlap, and the next check waits for them. Changes before Start are not reported.
func (u *Upstream) OnChange(fn func(*Info)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.onChange = append(u.onChange, fn)
}

// Preceding supplies commands that are sent right before the next command of the control
// connection, in the same write, and receives their replies: nil for a command without a reply or
// with an error reply. Both methods may be called from any goroutine.
type Preceding interface {
	Commands() [][]any
	Take(commands [][]any, replies []any)
}

// Precede sends p's commands before each further command. It must be called before Start.
func (u *Upstream) Precede(p Preceding) { u.preceding = p }

// Recheck asks for a health check now instead of at the next turn, for example after a data
// connection broke. It never blocks. While the server is down it has no effect: the backoff sets
// the pace.
func (u *Upstream) Recheck() {
	select {
	case u.recheck <- struct{}{}:
	default:
	}
}

// Do runs one command over the control connection, once: it is never retried. A null reply is nil
// without an error. Replies have the shapes of RESP2: string, int64, []any, nil.
//
// An error of the server's own satisfies redis.Error (errors.As); any other means that there is no
// reply and, if bytes were sent, that the command may have been executed. Each reply has
// ConnectTimeout, less if ctx ends before.
func (u *Upstream) Do(ctx context.Context, args ...any) (any, error) {
	if name, ok := args[0].(string); ok {
		args = append([]any{resp.Spell(name)}, args[1:]...) // MONITOR leaves it out
	}
	v, err := u.behind(ctx, args).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return v, err
}

// behind sends a command after the preceding ones.
func (u *Upstream) behind(ctx context.Context, args []any) *redis.Cmd {
	var before [][]any
	if u.preceding != nil {
		before = u.preceding.Commands()
	}
	if len(before) == 0 {
		return u.client().Do(ctx, args...)
	}
	return u.pipeBehind(ctx, before, args)
}

// precede sends the preceding commands of a command that uses another connection.
func (u *Upstream) precede(ctx context.Context) {
	if u.preceding == nil {
		return
	}
	if before := u.preceding.Commands(); len(before) > 0 {
		u.pipeBehind(ctx, before, nil)
	}
}

// pipeBehind sends the preceding commands and the command, if any, in one write.
func (u *Upstream) pipeBehind(ctx context.Context, before [][]any, args []any) (last *redis.Cmd) {
	pipe := u.client().Pipeline()
	cmds := make([]*redis.Cmd, len(before))
	for i, b := range before {
		cmds[i] = pipe.Do(ctx, b...)
	}
	if args != nil {
		last = pipe.Do(ctx, args...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	replies := make([]any, len(cmds))
	for i, c := range cmds {
		if v, err := c.Result(); err == nil {
			replies[i] = v
		}
	}
	u.preceding.Take(before, replies)
	return last
}

// run is the watching goroutine: started by Start, ended by its context, joined by Wait.
func (u *Upstream) run(ctx context.Context) {
	defer close(u.done)
	// During a command go-redis obeys a context's deadline, but not its cancellation.
	defer context.AfterFunc(ctx, u.closeControl)()
	defer u.closeControl()
	told := u.Info()
	backoff := Backoff{Max: u.opts.MaxBackoff}
	for {
		info, err := u.check(ctx, false)
		if err != nil {
			return // the only reason is that ctx ended
		}
		if !info.sameAs(told) {
			u.tell(told, info)
			told = info
		}
		if !u.pause(ctx, info, &backoff) {
			return
		}
	}
}

// Seen reports that the server has just answered on a data connection. Such answers replace health
// checks, which are then Refresh apart instead of Interval, so that a busy server spends little on
// the proxy itself. It never blocks and may be called from a loop.
func (u *Upstream) Seen() {
	if !u.seen.Load() {
		u.seen.Store(true)
	}
}

// WatchClosely makes checks run each Interval regardless of Seen, and read the replicas and the
// fsync settings every time: the worth of an acknowledgement depends on them. It never blocks.
func (u *Upstream) WatchClosely(on bool) {
	if u.closely.Swap(on) != on && on {
		u.Recheck()
	}
}

// idle reports whether a check of a server that may be up is due: no data connection had a reply
// since the last call, WatchClosely is on, the server refuses client commands, or the last check
// was Refresh ago.
func (u *Upstream) idle(info *Info) bool {
	return !u.seen.Swap(false) || u.closely.Load() || len(info.Refuses()) > 0 || time.Since(info.Checked) >= u.opts.Refresh
}

// pause waits until the next check is due; false: the context ended.
func (u *Upstream) pause(ctx context.Context, info *Info, backoff *Backoff) bool {
	delay, recheck := u.opts.Interval, u.recheck
	if info.Up {
		backoff.Reset()
	} else {
		delay, recheck = backoff.Next(), nil
	}
	for {
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
			if !info.Up || u.idle(info) {
				return true
			}
		case <-recheck:
			timer.Stop()
			return true
		}
	}
}

// tell logs a change and calls the functions of OnChange.
func (u *Upstream) tell(before, after *Info) {
	u.logChange(before, after)
	u.mu.Lock()
	listeners := slices.Clone(u.onChange)
	u.mu.Unlock()
	for _, fn := range listeners {
		fn(after)
	}
}

// Announce logs the result of the last Probe, for a caller whose first check that was: Start would
// log it only after a change.
func (u *Upstream) Announce() { u.logChange(&Info{Err: ErrUnknown}, u.Info()) }

// logChange logs a change in one line, for operators.
func (u *Upstream) logChange(before, after *Info) {
	switch {
	case !after.Up && (before.Up || errors.Is(before.Err, ErrUnknown)):
		u.log.Warn("upstream is down", "error", after.Err)
	case after.Up && (!before.Up || before.Generation != after.Generation):
		u.log.Info("upstream is up", "server", after.Server, "version", after.Version,
			"role", after.Role, "run_id", after.RunID, "loading", after.Loading)
		for _, trouble := range after.Troubles() {
			u.log.Warn("trouble with the upstream", "trouble", trouble)
		}
	case after.Up && after.Err != nil && before.Err == nil:
		u.log.Warn("trouble with the upstream", "trouble", after.Err)
	}
	if after.Up && len(after.Missing) > 0 && !slices.Equal(before.Missing, after.Missing) {
		u.log.Warn("the control user may not run all that it needs", "missing", after.Missing)
	}
}
