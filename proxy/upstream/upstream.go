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
)

// DefaultClientName is the name of the control connection in the server's CLIENT LIST.
const DefaultClientName = "holdfast-control"

// Options says where the server is and how to treat it.
type Options struct {
	// Address is host:port, [v6]:port or unix:/path.
	Address string

	// Username and Password are what the control connection logs in with, and nothing else.
	// An empty Password sends no login; an empty Username is the default user.
	Username, Password string

	// ConnectTimeout bounds a dial with its name look-up, and each answer on the control
	// connection. Zero is 5 s.
	ConnectTimeout time.Duration

	// KeepAlive is the idle time before TCP keepalive probes. Zero is 30 s, negative is none.
	KeepAlive time.Duration

	// MaxBackoff bounds the delay between attempts to reach a server that is down. Zero is 2 s.
	MaxBackoff time.Duration

	// Interval is the time between health checks of a server that is up and was not seen to
	// answer on a data connection meanwhile. Zero is 1 s.
	Interval time.Duration

	// Refresh is the time between looks at what changes rarely: the configuration, the command
	// table, whether clients must log in. Zero is 10 s.
	Refresh time.Duration

	// ClientName is what CLIENT LIST shows of the control connection; empty is
	// DefaultClientName.
	ClientName string

	// Resolver looks names up; nil is the system's.
	Resolver *net.Resolver

	// Dialer takes the place of the network's, for tests: a server that is part of the program.
	Dialer Dialer

	// Logger receives what changes; nil is slog.Default.
	Logger *slog.Logger
}

// Dialer opens connections, as net.Dialer does. It must be comparable.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// withDefaults fills in what is zero.
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
// One goroutine (run) checks the server in turn: INFO each Interval (see Seen), and with it, each
// Refresh or when the server is another one than before, CONFIG GET, COMMAND and an
// unauthenticated PING; of these CONFIG GET at every check with WatchClosely. Each check ends in a
// new Info that replaces the last; if it differs in substance, the functions of OnChange hear of
// it. While the server is down the checks go on at the pace of a Backoff.
//
// A check that fails is made once more on a new connection before the server counts as down: a
// control connection that died alone (CLIENT KILL, the server's timeout) says nothing about the
// server. Not so after a timeout, where a second try would only double the silence.
//
// A server that answers anything at all is up. What the control user may not do degrades: the
// fields stay at their zero value and Info.Missing names the commands.
//
// Probe makes the same check on the caller's goroutine; probing serializes the two. The rejected
// design hands Probe's request to the goroutine: it would need that goroutine before Start.
type Upstream struct {
	// Immutable after New.
	opts     Options
	dialer   Dialer
	log      *slog.Logger
	greeting time.Duration // greetingTimeout but in tests

	info         atomic.Pointer[Info] // never nil
	recheck      chan struct{}        // one token: check soon
	controlAddrs addrSet              // has a mutex of its own
	seen         atomic.Bool          // a data connection had an answer since this was last asked
	closely      atomic.Bool          // see WatchClosely
	askReplicas  atomic.Bool          // see WatchReplicas
	replicas     replicaWatch         // has a mutex of its own

	probing   sync.Mutex // held during a check; owns the fields below it
	refreshed time.Time  // when the slow part of a check was last complete
	commands  int64      // COMMAND COUNT at the last COMMAND

	mu       sync.Mutex
	control  *redis.Client
	closed   bool
	onChange []func(*Info)
	cancel   context.CancelFunc // nil before Start
	done     chan struct{}      // closed when run has ended; nil before Start
}

// New returns an Upstream that has not looked at its server yet: Info is down with ErrUnknown. The
// address is not checked; a wrong one fails at every dial.
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

// Address is where the server is, as Options has it.
func (u *Upstream) Address() string { return u.opts.Address }

// Login is the user and password of the control connection, as Options has them.
func (u *Upstream) Login() (username, password string) {
	return u.opts.Username, u.opts.Password
}

// Start begins to watch the server until ctx ends or Stop is called. It must be called at most
// once; after Stop it does nothing.
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

// Stop ends the watching, closes the control connections and waits until both are done. Data
// connections are their users'. Calling it again does nothing.
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

// Wait returns once the watching has ended, at once if it never began.
func (u *Upstream) Wait() {
	u.mu.Lock()
	done := u.done
	u.mu.Unlock()
	if done != nil {
		<-done
	}
}

// Info returns what was last known of the server. It is never nil, must not be changed, and takes
// no lock.
func (u *Upstream) Info() *Info { return u.info.Load() }

// OnChange adds a function that is called, on the watching goroutine, after each change of
// substance: up or down, another server behind the address, another configuration. Calls follow
// one another, and the next check waits for them. It does not report what was known before Start.
func (u *Upstream) OnChange(fn func(*Info)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.onChange = append(u.onChange, fn)
}

// Recheck asks for a health check now instead of at the next turn, for example after a data
// connection broke. It never blocks. While the server is down it changes nothing: the backoff
// decides then.
func (u *Upstream) Recheck() {
	select {
	case u.recheck <- struct{}{}:
	default:
	}
}

// Do runs one command over the control connection, once: it is never retried. A nil reply is a nil
// value without an error. Replies come in the shapes of RESP2: string, int64, []any, nil.
//
// An error of the server's own satisfies redis.Error (errors.As); any other means that there is no
// answer and, where bytes had left, that the command may have been executed. Each answer has
// ConnectTimeout, less if ctx ends before.
func (u *Upstream) Do(ctx context.Context, args ...any) (any, error) {
	v, err := u.client().Do(ctx, args...).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return v, err
}

// run is the watching goroutine. Started by Start, ended by its context, joined by Wait.
func (u *Upstream) run(ctx context.Context) {
	defer close(u.done)
	// go-redis heeds a context's deadline in the middle of a command, but not its end.
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

// Seen reports that the server has just answered on a data connection. While it does, it need not
// be asked whether it is there: checks are then Refresh apart instead of Interval, so that a busy
// server hears little of the proxy itself. It never blocks and may be called from a loop.
func (u *Upstream) Seen() {
	if !u.seen.Load() {
		u.seen.Store(true)
	}
}

// WatchClosely has every check, each Interval whatever Seen says, look at the replicas and at how
// the server fsyncs: what an acknowledgement is worth depends on them. It never blocks.
func (u *Upstream) WatchClosely(on bool) {
	if u.closely.Swap(on) != on && on {
		u.Recheck()
	}
}

// idle reports that a check is due although the server may be up: it was not seen since the last
// time of asking, or the last check was long ago.
func (u *Upstream) idle(info *Info) bool {
	return !u.seen.Swap(false) || u.closely.Load() || time.Since(info.Checked) >= u.opts.Refresh
}

// pause waits until the next check is due and reports whether there is to be one.
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

// tell logs a change and passes it on.
func (u *Upstream) tell(before, after *Info) {
	u.logChange(before, after)
	u.mu.Lock()
	listeners := slices.Clone(u.onChange)
	u.mu.Unlock()
	for _, fn := range listeners {
		fn(after)
	}
}

// Announce logs what the last Probe found, for a caller whose first look at the server that was:
// nothing has changed since when Start goes on from there.
func (u *Upstream) Announce() { u.logChange(&Info{Err: ErrUnknown}, u.Info()) }

// logChange says in one line what an operator should know of a change.
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
