package proxy

import (
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"time"

	"holdfast/policy"
	"holdfast/proxy/admin"
	"holdfast/proxy/audit"
	"holdfast/proxy/candidates"
	"holdfast/proxy/certs"
	"holdfast/proxy/recorder"
	"holdfast/proxy/sentinel"
	"holdfast/proxy/takeover"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/trash"
	"holdfast/proxy/upstream"
)

// Options configure a Server. The zero value of a field means the default that its comment names.
type Options struct {
	Listeners []Listener // none: nothing is served
	Workers   int        // event loops; 1
	Driver    string     // of the event loops: "epoll", "portable"; "": the best available

	Upstream upstream.Options
	// Sentinels name the primary; then Upstream has no Address. nil: Upstream has one.
	Sentinels *sentinel.Options
	// Candidates are servers of which one is the primary; likewise, and instead. Without an Open they are
	// reached as Upstream says.
	Candidates *candidates.Options
	// Hold is how long unsent commands wait while the server is unreachable; 0: they fail at once.
	Hold  time.Duration
	Fence bool // with Sentinels: the old primary of a failover is demoted at once
	Feed  bool // with Sentinels and a journal: replicas are fed the writes that only the journal has
	// FeedPromoted: also a server that is promoted already.
	FeedPromoted bool
	Guard        bool // keep a restricted user on the server for scripts of the user default
	Limits       Limits

	Rules       []policy.RuleSpec
	Enforcement string // "enforce" (the default) or "observe"
	Trash       trash.Settings
	Routes      []policy.RouteSpec // writes acknowledged only when durable

	Journal recorder.Options // no Dir: no journal

	// Certificates has the TLS of everything below; changes of their files are picked up while the
	// server runs.
	Certificates *certs.Set
	// Users are those for whom client certificates may stand; see Listener.UserFrom.
	Users *certs.Users

	Budgets []policy.BudgetSpec
	Audit   audit.Options

	Drain time.Duration // how long an orderly end waits for commands in flight; 10 s

	Admin     admin.Options // no Address: no console
	HTTP      string        // address of /metrics, /healthz and /readyz; "": none
	HTTPHosts []string      // more names of this proxy in Host headers; some are always safe
	Pprof     bool          // Go's profiler at /debug/pprof of HTTP
	AdminTLS  *certs.Server // of console and HTTP; nil: plain
	Telemetry telemetry.Options
	Logger    *slog.Logger // slog.Default()
	Version   string

	// Settings is the output of SHOW CONFIG: the configuration in the form of its file.
	Settings []admin.Setting

	// Sockets has the listening sockets that another process handed over; nil: there are none, and none can be handed
	// over. Claim takes over from a process that serves, and Offer hands over to one that comes; nil: neither. See
	// package takeover. Those of New count.
	Sockets *takeover.Sockets
	Claim   *takeover.Claim
	Offer   *takeover.Offer
	// Takeovers has the outcomes of both, for the metrics and the audit log; nil: neither is kept.
	Takeovers *takeover.Record

	// LoadOptions reads the configuration again, for Reload; nil: there is nothing to reload. Of
	// its result, Listeners, Workers, Driver, Logger, Version and LoadOptions are not put in force;
	// Settings must be the settings in force after the reload.
	LoadOptions func() (Options, error)
	// ConfigFile is the file that LoadOptions reads, for SHOW STATS; "": none.
	ConfigFile string

	// Serving, if set, is called once every listener accepts, and Draining when a drain begins that is no handover.
	// Those of New count; a reload does not change them.
	Serving, Draining func()

	// Explain, if set, gets the error that prevents a reload to these options, such as a rule that
	// the server's own command table refuses, and returns it with the place in the file.
	Explain func(error) error

	// InForce, if set, is called after a reload has put these options in force, and not after a
	// failed one. Use it for settings outside the Server, such as the level of the log. It must not
	// call Reload.
	InForce func()
}

// Listener is one address for clients.
type Listener struct {
	Address string        // host:port or unix:/path
	Name    string        // in logs, rules and on the console; the address by default
	Mode    os.FileMode   // of a unix socket
	TLS     *certs.Server // nil: plain
	// UserFrom names the part of a client certificate that is the name of its user; "": none. The
	// proxy logs the client in as that user, with the password in Users.
	UserFrom certs.UserFrom
	// ProxyFrom are the peers that speak the PROXY protocol, and only they may connect; none: it is off.
	ProxyFrom []netip.Prefix
}

// same reports that l and m would be listened on in the same way.
func (l Listener) same(m Listener) bool {
	return l.Address == m.Address && l.Name == m.Name && l.Mode == m.Mode && l.TLS == m.TLS &&
		l.UserFrom == m.UserFrom && slices.Equal(l.ProxyFrom, m.ProxyFrom)
}

// Limits protect the proxy and the server from their clients. Zero means the default.
type Limits struct {
	MaxClients   int    // sessions; 10,000
	ClientInput  uint64 // bytes of one session's pending input; 1 GiB
	ClientOutput uint64 // bytes of one client's unread replies; 1 GiB
	LinkQueue    uint64 // bytes unsent or unanswered on one shared link; 16 MiB
	Memory       uint64 // bytes of all buffers; 0: no limit
	MaxArgs      int    // of one command; 2,147,483,647
	MaxBulk      int64  // bytes of one argument; 512 MiB, or the server's proto-max-bulk-len
	MaxInline    int    // bytes of an inline command; 64 KiB
	PinnedLinks  int    // upstream connections lent to single sessions, per worker; 10,000
	// PinnedWait is how long a client waits for one of them when all are in use; 2 s.
	PinnedWait time.Duration
	// ReadyLinks is the number kept ready for each user, protocol version and database in use, per
	// worker, so that a SUBSCRIBE need not wait for a dial; 0: none.
	ReadyLinks  int
	IdleTimeout time.Duration

	// UpstreamLinks bounds the connections to the server, UserLinks the shared ones of one user
	// (256), and ClientLinks the part of these that one client may cause (16). Zero UpstreamLinks
	// means three quarters of the server's maxclients. LinkWait is how long commands wait at these
	// bounds; 5 s.
	UpstreamLinks, UserLinks, ClientLinks int
	LinkWait                              time.Duration
}

func (o *Options) setDefaults() {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def64 := func(p *uint64, v uint64) {
		if *p == 0 {
			*p = v
		}
	}
	def(&o.Workers, 1)
	def(&o.Limits.MaxClients, 10_000)
	def(&o.Limits.PinnedLinks, 10_000)
	def(&o.Limits.UserLinks, 256)
	def(&o.Limits.ClientLinks, 16)
	if o.Limits.LinkWait == 0 {
		o.Limits.LinkWait = 5 * time.Second
	}
	if o.Limits.PinnedWait == 0 {
		o.Limits.PinnedWait = 2 * time.Second
	}
	def64(&o.Limits.ClientInput, 1<<30)
	def64(&o.Limits.ClientOutput, 1<<30)
	def64(&o.Limits.LinkQueue, 16<<20)
	if o.Limits.MaxBulk == 0 {
		o.Limits.MaxBulk = 512 << 20
	}
	if o.Drain == 0 {
		o.Drain = 10 * time.Second
	}
	if o.Upstream.MaxBackoff == 0 {
		o.Upstream.MaxBackoff = 2 * time.Second
	}
	if o.Upstream.ConnectTimeout == 0 {
		o.Upstream.ConnectTimeout = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// fixed names the options that differ in n and need a restart to change.
func (o *Options) fixed(n *Options) []string {
	var out []string
	if !slices.EqualFunc(o.Listeners, n.Listeners, Listener.same) {
		out = append(out, "listeners")
	}
	if o.Workers != n.Workers {
		out = append(out, "workers")
	}
	if o.AdminTLS != n.AdminTLS {
		out = append(out, "admin.tls")
	}
	if o.Journal.Dir != n.Journal.Dir {
		out = append(out, "journal.dir")
	}
	return out
}

// take puts in force the options that can change while serving.
func (o *Options) take(n *Options) {
	o.Upstream, o.Hold, o.Limits = n.Upstream, n.Hold, n.Limits
	o.Sentinels, o.Candidates = n.Sentinels, n.Candidates
	o.Fence, o.Feed, o.FeedPromoted = n.Fence, n.Feed, n.FeedPromoted
	o.Rules, o.Enforcement, o.Trash = n.Rules, n.Enforcement, n.Trash
	o.Routes = n.Routes
	o.Admin, o.HTTP, o.Pprof, o.Telemetry = n.Admin, n.HTTP, n.Pprof, n.Telemetry
	o.HTTPHosts, o.Certificates, o.Users = n.HTTPHosts, n.Certificates, n.Users
	o.Drain, o.Settings = n.Drain, n.Settings
	o.Audit, o.Budgets, o.Guard = n.Audit, n.Budgets, n.Guard
	dir := o.Journal.Dir
	o.Journal = n.Journal
	o.Journal.Dir = dir
}

// sameUpstream reports whether Upstreams made by a and by b would be equivalent.
func sameUpstream(a, b upstream.Options) bool {
	a.Logger, b.Logger = nil, nil
	return a == b
}

// sameTelemetry is sameUpstream for Telemetry.
func sameTelemetry(a, b telemetry.Options) bool {
	a.Logger, b.Logger = nil, nil
	return a == b
}
