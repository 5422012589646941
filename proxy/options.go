package proxy

import (
	"log/slog"
	"os"
	"reflect"
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
	Limits   Limits

	Rules       []policy.RuleSpec
	Enforcement string // "enforce" (the default) or "observe"

	Drain time.Duration // how long an orderly end waits for what is in flight; 10 s

	Admin     admin.Options // no Address: no console
	HTTP      string        // address of /metrics, /healthz and /readyz; "": none
	Telemetry telemetry.Options
	Logger    *slog.Logger // slog.Default()
	Version   string

	// Settings is what SHOW CONFIG prints: the configuration as its file would say it.
	Settings []admin.Setting

	// LoadOptions reads the configuration again, for Reload; nil: there is nothing to reload.
	LoadOptions func() (Options, error)
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
	for _, f := range []struct {
		name   string
		differ bool
	}{
		{"listeners", !reflect.DeepEqual(o.Listeners, n.Listeners)},
		{"workers", o.Workers != n.Workers},
		{"upstream", o.Upstream.Address != n.Upstream.Address ||
			o.Upstream.Username != n.Upstream.Username || o.Upstream.Password != n.Upstream.Password},
		{"admin", o.Admin.Address != n.Admin.Address || o.HTTP != n.HTTP},
		{"telemetry", o.Telemetry.OTLP != n.Telemetry.OTLP || o.Telemetry.Sample != n.Telemetry.Sample},
	} {
		if f.differ {
			out = append(out, f.name)
		}
	}
	return out
}

// take puts in force what can change while serving.
func (o *Options) take(n *Options) {
	o.Limits, o.Rules, o.Enforcement, o.Drain = n.Limits, n.Rules, n.Enforcement, n.Drain
	o.Settings = n.Settings
}
