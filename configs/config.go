package configs

import (
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Config is the whole configuration. The yaml tags are the keys of the file: the reader, the
// printer and the tests all take the names from them.
type Config struct {
	Listeners   []Listener    `yaml:"listeners"`
	Workers     int           `yaml:"workers"` // event loops
	Upstream    Upstream      `yaml:"upstream"`
	Admin       Admin         `yaml:"admin"`
	Journal     Journal       `yaml:"journal"`
	Enforcement string        `yaml:"enforcement"`     // enforce | observe
	Rules       []Rule        `yaml:"rules,omitempty"` // nil: the built-in rules; empty: none
	Budgets     []Budget      `yaml:"budgets,omitempty"`
	Routes      []Route       `yaml:"routes,omitempty"`
	Audit       Audit         `yaml:"audit"`
	Trash       Trash         `yaml:"trash"`
	Limits      Limits        `yaml:"limits"`
	Telemetry   Telemetry     `yaml:"telemetry"`
	Log         Log           `yaml:"log"`
	Drain       time.Duration `yaml:"drain"` // how long SIGTERM waits for what is in flight

	origin origin // where each value stands in the file; empty if there was none
}

// Listener is one address that clients connect to.
type Listener struct {
	Address string   `yaml:"address"`
	Name    string   `yaml:"name"`           // in logs, metrics and the console; empty: the address
	Mode    FileMode `yaml:"mode,omitempty"` // of a unix socket; 0 for TCP
}

// Upstream is the server behind the proxy.
type Upstream struct {
	Address        string        `yaml:"address"`
	Username       string        `yaml:"username"` // of the proxy's own control connection
	Password       Secret        `yaml:"password"`
	PasswordFile   string        `yaml:"password_file"` // read by Load into Password
	Guard          string        `yaml:"guard"`         // acl | off
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	TCPKeepalive   time.Duration `yaml:"tcp_keepalive"` // 0: no keepalive probes
	MaxBackoff     time.Duration `yaml:"max_backoff"`   // longest pause between connection attempts
}

// Admin is the operator's side: a console in the Redis protocol, and HTTP.
type Admin struct {
	Address      string `yaml:"address"` // of the console; empty (in the file: off) for none
	Password     Secret `yaml:"password"`
	PasswordFile string `yaml:"password_file"` // read by Load into Password
	HTTP         string `yaml:"http"`          // /metrics /healthz /readyz; empty (off) for none
	Pprof        bool   `yaml:"pprof"`         // /debug/pprof on HTTP
}

// Journal is the log of everything that the server executes, from which any moment can be rebuilt.
type Journal struct {
	Dir       string           `yaml:"dir"` // its folder; empty: no journal
	Base      JournalBase      `yaml:"base"`
	Retention JournalRetention `yaml:"retention"`
	Disk      JournalDisk      `yaml:"disk"`
	Backlog   time.Duration    `yaml:"backlog"`  // the server's must hold as much, or the log warns
	FACK      bool             `yaml:"fack"`     // fsyncs count in the server's own WAITAOF
	Required  bool             `yaml:"required"` // not ready while it does not follow the server
}

// JournalBase says when a fresh snapshot is taken, after which the stream before it is no longer
// needed for the present.
type JournalBase struct {
	Every time.Duration `yaml:"every"` // 0: age does not matter
	Bytes Bytes         `yaml:"bytes"` // of the stream since the last one; 0: length does not matter
}

// JournalRetention says what is kept. The first limit that is reached counts.
type JournalRetention struct {
	Age   time.Duration `yaml:"age"`   // 0: no limit
	Bytes Bytes         `yaml:"bytes"` // of the whole folder; 0: no limit
}

// JournalDisk is in percent of the file system; 0: no limit.
type JournalDisk struct {
	Warn int `yaml:"warn"`
	Stop int `yaml:"stop"` // nothing more is acknowledged
}

// Rule says what happens to the commands that it names. The first rule that matches decides.
type Rule struct {
	Name     string   `yaml:"name"`
	Commands []string `yaml:"commands"`         // names, "config|set" or "@category"
	Except   []string `yaml:"except,omitempty"` // the same forms

	Users       []string `yaml:"users,omitempty"`        // globs, as all of them in Redis's syntax
	Addresses   []string `yaml:"addresses,omitempty"`    // of clients: prefixes, or unix
	ClientNames []string `yaml:"client_names,omitempty"` // globs
	Listeners   []string `yaml:"listeners,omitempty"`    // names, or addresses of those without one
	Databases   []int    `yaml:"databases,omitempty"`
	Keys        []string `yaml:"keys,omitempty"`      // globs
	KeysOver    int      `yaml:"keys_over,omitempty"` // more keys than this; 0: no condition
	Arguments   []string `yaml:"arguments,omitempty"` // globs, in any case
	Scripts     string   `yaml:"scripts,omitempty"`   // opaque; empty: no condition

	Action      string        `yaml:"action"`         // allow | deny | confirm | trash | rewrite
	Keep        time.Duration `yaml:"keep,omitempty"` // of trash; 0: a day
	Limit       RuleLimit     `yaml:"limit,omitempty"`
	Enforcement string        `yaml:"enforcement"` // enforce | observe; empty: Config.Enforcement
}

// Trash is where on the server rules with the action trash move things.
type Trash struct {
	Databases []int `yaml:"databases,omitempty"` // nil: the upper half, while a rule needs it
	Memory    Share `yaml:"memory"`              // of maxmemory; beyond it the oldest goes; 0: never
}

// RuleLimit bounds how often a rule lets its action happen; an empty Rate is no limit.
type RuleLimit struct {
	Rate  string `yaml:"rate"`            // 1/m, 5/10s
	Burst int    `yaml:"burst,omitempty"` // how many at once; 0: one
	Per   string `yaml:"per,omitempty"`   // global | user | address | session; empty: global
}

// Budget bounds how many keys are deleted in a while.
type Budget struct {
	Name   string        `yaml:"name"`
	Keys   int           `yaml:"keys"`           // that may be deleted
	Window time.Duration `yaml:"window"`         // within this time
	Open   time.Duration `yaml:"open,omitempty"` // how long deletes are refused; 0: as the window
	Per    string        `yaml:"per,omitempty"`  // global | user | address | session; empty: global
	Users  []string      `yaml:"users,omitempty"`
}

// Audit is the log of what rules did: one JSON object a line.
type Audit struct {
	File    string `yaml:"file"` // beside the configuration file, if it is relative; empty: none
	MaxSize Bytes  `yaml:"max_size"`
	Keep    int    `yaml:"keep"` // rotated files
}

// Limits protect the proxy from its clients and its server.
type Limits struct {
	MaxClients   int           `yaml:"max_clients"`
	ClientInput  Bytes         `yaml:"client_input"`  // unanswered requests of one client
	ClientOutput Bytes         `yaml:"client_output"` // unread replies of one client
	LinkQueue    Bytes         `yaml:"link_queue"`    // unsent and unanswered on one shared link
	Memory       Bytes         `yaml:"memory"`        // all buffers; 0: half of the machine's memory
	MaxArgs      int           `yaml:"max_args"`      // of one command
	MaxBulk      Bytes         `yaml:"max_bulk"`      // one argument
	MaxInline    Bytes         `yaml:"max_inline"`    // one inline command
	PinnedLinks  int           `yaml:"pinned_links"`
	IdleTimeout  time.Duration `yaml:"idle_timeout"` // 0: clients may idle for ever
}

// Telemetry is the export of traces; metrics are on Admin.HTTP.
type Telemetry struct {
	OTLP        string `yaml:"otlp"`         // URL of an OTLP/HTTP collector; empty: no traces
	Sample      Share  `yaml:"sample"`       // of the commands that are traced
	ServiceName string `yaml:"service_name"` // service.name of the traces
}

// Log is how the proxy logs, to standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug | info | warn | error
	Format string `yaml:"format"` // text | json
}

// The values of Enforcement.
const (
	Enforce = "enforce" // rules do what they say
	Observe = "observe" // rules are counted and logged, and do nothing
)

// GuardACL is the value of Upstream.Guard that keeps a restricted user on the server; off is the
// other.
const GuardACL = "acl"

// unixSocketMode is the mode of a unix listener that names none: the owner and the group of the
// proxy, and nobody else, may connect.
const unixSocketMode FileMode = 0o770

// Default is the configuration of an empty file: everything on loopback.
func Default() *Config {
	return &Config{
		Listeners: []Listener{{Address: "127.0.0.1:6380"}},
		Workers:   1,
		Upstream: Upstream{
			Address:        "127.0.0.1:6379",
			Guard:          GuardACL,
			ConnectTimeout: 5 * time.Second,
			TCPKeepalive:   time.Minute,
			MaxBackoff:     2 * time.Second,
		},
		Admin: Admin{Address: "127.0.0.1:6390", HTTP: "127.0.0.1:9390"},
		Journal: Journal{
			Base:      JournalBase{Every: 24 * time.Hour, Bytes: 4 * GiB},
			Retention: JournalRetention{Age: 7 * day, Bytes: 64 * GiB},
			Disk:      JournalDisk{Warn: 80, Stop: 95},
			Backlog:   time.Minute,
		},
		Enforcement: Enforce,
		Audit:       Audit{MaxSize: 64 * MiB, Keep: 8},
		Trash:       Trash{Memory: 0.8},
		Limits: Limits{
			MaxClients:   10_000,
			ClientInput:  GiB,
			ClientOutput: GiB,
			LinkQueue:    16 * MiB,
			MaxArgs:      1 << 20,
			MaxBulk:      512 * MiB,
			MaxInline:    64 * KiB,
			PinnedLinks:  10_000,
		},
		Telemetry: Telemetry{Sample: 0.001, ServiceName: "holdfast"},
		Log:       Log{Level: "info", Format: "text"},
		Drain:     10 * time.Second,
	}
}

// String is the configuration in force as a file that [Parse] reads back, with every default
// written out and every secret as "(redacted)".
func (c *Config) String() string {
	out := *c
	if out.Admin.Address == "" {
		out.Admin.Address = off
	}
	if out.Admin.HTTP == "" {
		out.Admin.HTTP = off
	}
	text, err := yaml.MarshalWithOptions(&out, yaml.IndentSequence(true))
	if err != nil { // a type of this package that cannot be printed: a defect, not an event
		return "# " + strings.ReplaceAll(err.Error(), "\n", " ") + "\n"
	}
	if c.Rules != nil && len(c.Rules) == 0 {
		text = append(text, "rules: []\n"...)
	}
	return string(text)
}
