package proxy

import (
	"log/slog"
	"os"
	"slices"
	"time"

	"holdfast/policy"
	"holdfast/proxy/admin"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// Options configure a Server. The zero value of a field means the default that its comment names.
type Options struct {
	Listeners []Listener // none: nothing is served
	Workers   int        // event loops; 1
	Driver    string     // of the event loops: "epoll", "portable"; "" is the best there is

	Upstream upstream.Options
	Guard    bool // keep a restricted user on the server for scripts of the user default
	Limits   Limits

	Rules       []policy.RuleSpec
	Enforcement string // "enforce" (the default) or "observe"
	Trash       Trash
	Routes      []policy.RouteSpec // what is acknowledged only when it is durable

	Journal JournalOptions // no Dir: no journal

	Budgets []policy.BudgetSpec
	Audit   AuditOptions

	Drain time.Duration // how long an orderly end waits for what is in flight; 10 s

	Admin     admin.Options // no Address: no console
	HTTP      string        // address of /metrics, /healthz and /readyz; "": none
	Pprof     bool          // Go's profiler at /debug/pprof of HTTP
	Telemetry telemetry.Options
	Logger    *slog.Logger // slog.Default()
	Version   string

	// Settings is what SHOW CONFIG prints: the configuration as its file would say it.
	Settings []admin.Setting

	// LoadOptions reads the configuration again, for Reload; nil: there is nothing to reload.
	// Listeners, Workers and Driver of what it returns are not put in force, nor what a Logger,
	// a Version or another LoadOptions would be; Settings must be what is in force then.
	LoadOptions func() (Options, error)

	// Explain, if set, is given what keeps a reload to these options from being put in force, such
	// as a rule that the server's own command table refuses, and returns it with the place in the
	// file.
	Explain func(error) error

	// InForce, if set, is called after a reload has put these options in force; where a reload
	// fails, it is not called. It may be used for what the Server does not know, such as the
	// level of the log. It must not call Reload.
	InForce func()
}

// Listener is one address for clients.
type Listener struct {
	Address string      // host:port or unix:/path
	Name    string      // in logs, rules and on the console; the address by default
	Mode    os.FileMode // of a unix socket
}

// Limits protect the proxy and the server from what clients do. Zero means the default.
type Limits struct {
	MaxClients   int    // sessions; 10,000
	ClientInput  uint64 // bytes of input of one session that were not carried out yet; 1 GiB
	ClientOutput uint64 // bytes of replies that one client has not read; 1 GiB
	LinkQueue    uint64 // bytes unsent or unanswered on one shared link; 16 MiB
	Memory       uint64 // bytes of all buffers; 0: no limit
	MaxArgs      int    // of one command; 1,048,576
	MaxBulk      int64  // bytes of one argument; 512 MiB, or the server's proto-max-bulk-len
	MaxInline    int    // bytes of an inline command; 64 KiB
	PinnedLinks  int    // upstream connections lent to single sessions, per worker; 10,000
	IdleTimeout  time.Duration
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

// fixed names what differs in n and can only change with a restart.
func (o *Options) fixed(n *Options) []string {
	var out []string
	if !slices.Equal(o.Listeners, n.Listeners) {
		out = append(out, "listeners")
	}
	if o.Workers != n.Workers {
		out = append(out, "workers")
	}
	if o.Journal.Dir != n.Journal.Dir {
		out = append(out, "journal.dir")
	}
	return out
}

// take puts in force what can change while serving.
func (o *Options) take(n *Options) {
	o.Upstream, o.Limits = n.Upstream, n.Limits
	o.Rules, o.Enforcement, o.Trash = n.Rules, n.Enforcement, n.Trash
	o.Routes = n.Routes
	o.Admin, o.HTTP, o.Pprof, o.Telemetry = n.Admin, n.HTTP, n.Pprof, n.Telemetry
	o.Drain, o.Settings = n.Drain, n.Settings
	o.Audit, o.Budgets, o.Guard = n.Audit, n.Budgets, n.Guard
	dir := o.Journal.Dir
	o.Journal = n.Journal
	o.Journal.Dir = dir
}

// sameUpstream reports that an Upstream made by b would be as good as one made by a.
func sameUpstream(a, b upstream.Options) bool {
	a.Logger, b.Logger = nil, nil
	return a == b
}

// sameTelemetry reports the same of a Telemetry.
func sameTelemetry(a, b telemetry.Options) bool {
	a.Logger, b.Logger = nil, nil
	return a == b
}
