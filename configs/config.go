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
	Users       []User        `yaml:"users,omitempty"` // for whom client certificates may stand
	Admin       Admin         `yaml:"admin"`
	Journal     Journal       `yaml:"journal"`
	Failover    Failover      `yaml:"failover"`
	Enforcement string        `yaml:"enforcement"`     // enforce | observe
	Rules       []Rule        `yaml:"rules,omitempty"` // nil: the built-in rules; empty: none
	Budgets     []Budget      `yaml:"budgets,omitempty"`
	Routes      []Route       `yaml:"routes,omitempty"`
	Audit       Audit         `yaml:"audit"`
	Trash       Trash         `yaml:"trash"`
	Limits      Limits        `yaml:"limits"`
	Telemetry   Telemetry     `yaml:"telemetry"`
	Log         Log           `yaml:"log"`
	Drain       time.Duration `yaml:"drain"` // how long SIGTERM waits for commands in flight

	origin origin // the place of each value in the file; empty without a file
}

// Listener is one address that clients connect to.
type Listener struct {
	Address string   `yaml:"address"`
	Name    string   `yaml:"name"`           // in logs, metrics and the console; empty: the address
	Mode    FileMode `yaml:"mode,omitempty"` // of a unix socket; 0 for TCP

	TLS      *ServerTLS `yaml:"tls,omitempty"`       // nil: plain
	UserFrom string     `yaml:"user_from,omitempty"` // cn | uri: the user in a client certificate

	ProxyProtocol     string   `yaml:"proxy_protocol"` // off | v1v2
	ProxyProtocolFrom []string `yaml:"proxy_protocol_from,omitempty"`
}

// ProxyProtocolOn is the value of Listener.ProxyProtocol with which peers speak either version of it;
// off is the other.
const ProxyProtocolOn = "v1v2"

// ServerTLS is the TLS of an accepting side. Files are PEM.
type ServerTLS struct {
	Cert       string `yaml:"cert"`      // with its chain
	Key        string `yaml:"key"`       // of cert
	ClientCA   string `yaml:"client_ca"` // the authorities of client certificates
	ClientAuth string `yaml:"client_auth"`
}

// The values of ServerTLS.ClientAuth.
const (
	ClientAuthNone    = "none"    // clients are not asked for certificates
	ClientAuthRequest = "request" // a client may show one
	ClientAuthRequire = "require" // a client must show one
)

// The values of Listener.UserFrom; empty: client certificates stand for no user.
const (
	UserFromCN  = "cn"
	UserFromURI = "uri"
)

// User is a user of the server for whom client certificates may stand. The proxy becomes it there by
// a password, or by a certificate. The files are read again when they change.
type User struct {
	Name         string `yaml:"name"`
	PasswordFile string `yaml:"password_file,omitempty"`
	Cert         string `yaml:"cert,omitempty"` // instead: the server takes it for the user
	Key          string `yaml:"key,omitempty"`  // of Cert
}

// Upstream is the server behind the proxy: at an address, the primary of several, or the one that
// sentinels name.
type Upstream struct {
	Address Addresses `yaml:"address"` // empty with Sentinels

	Sentinels            []string   `yaml:"sentinels,omitempty"` // their addresses
	SentinelName         string     `yaml:"sentinel_name"`       // of the primary at the sentinels
	SentinelUsername     string     `yaml:"sentinel_username"`   // the login at the sentinels
	SentinelPassword     Secret     `yaml:"sentinel_password"`
	SentinelPasswordFile string     `yaml:"sentinel_password_file"` // read by Load into SentinelPassword
	SentinelTLS          *ClientTLS `yaml:"sentinel_tls,omitempty"` // nil: plain

	Username       string        `yaml:"username"` // of the proxy's own control connection
	Password       Secret        `yaml:"password"`
	PasswordFile   string        `yaml:"password_file"` // read by Load into Password
	Guard          string        `yaml:"guard"`         // acl | off
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	TCPKeepalive   time.Duration `yaml:"tcp_keepalive"` // 0: no keepalive probes
	MaxBackoff     time.Duration `yaml:"max_backoff"`   // longest pause between connection attempts
	Hold           time.Duration `yaml:"hold"`          // how long unsent commands wait; 0: not at all

	TLS *ClientTLS `yaml:"tls,omitempty"` // nil: plain
}

// ClientTLS is the TLS of a side that connects. Files are PEM.
type ClientTLS struct {
	CA         string `yaml:"ca"`          // the authorities of the server; empty: the system's
	ServerName string `yaml:"server_name"` // the name in its certificate; empty: the host of the address
	Cert       string `yaml:"cert"`        // to show; empty: none
	Key        string `yaml:"key"`         // of cert
}

// Failover is the proxy's own part in a failover. It needs sentinels.
type Failover struct {
	Feed  string `yaml:"feed"`  // auto | always | off: replicas are given the writes that only the journal has
	Fence string `yaml:"fence"` // auto | off: the old primary takes no more writes
}

// Auto is the value of a step that is taken where it can do no harm, Always that of one that is taken
// wherever it is possible, Off that of none.
const (
	Auto   = "auto"
	Always = "always"
	Off    = off
)

// Admin is the operator's interface: a console in the Redis protocol, and HTTP.
type Admin struct {
	Address      string `yaml:"address"` // of the console; empty (in the file: off) for none
	Password     Secret `yaml:"password"`
	PasswordFile string `yaml:"password_file"` // read by Load into Password
	HTTP         string `yaml:"http"`          // /metrics /healthz /readyz; empty (off) for none
	Pprof        bool   `yaml:"pprof"`         // /debug/pprof on HTTP

	TLS *ServerTLS `yaml:"tls,omitempty"` // of both; nil: plain

	// HTTPHosts are the names by which http is reached, in addition to addresses and local names.
	HTTPHosts []string `yaml:"http_hosts,omitempty"`
}

// Journal is the log of every executed write, from which any moment can be rebuilt.
type Journal struct {
	Dir       string           `yaml:"dir"` // its folder; empty: no journal
	Base      JournalBase      `yaml:"base"`
	Retention JournalRetention `yaml:"retention"`
	Disk      JournalDisk      `yaml:"disk"`
	Backlog   time.Duration    `yaml:"backlog"`  // the least that the server's should cover
	FACK      bool             `yaml:"fack"`     // fsyncs count in the server's own WAITAOF
	Required  bool             `yaml:"required"` // not ready while it does not follow the server
	Mark      time.Duration    `yaml:"mark"`     // interval of marks under writes; 0: never
	OnLoss    string           `yaml:"on_loss"`  // hold | continue: what routes do after a loss
	Scrub     JournalScrub     `yaml:"scrub"`
}

// The reaction of routes that demand the journal after the server has lost writes.
const (
	OnLossHold     = "hold"
	OnLossContinue = "continue"
)

// JournalScrub sets the interval and the speed at which bases and sealed segments are read again.
type JournalScrub struct {
	Every time.Duration `yaml:"every"` // 0: never
	Rate  Rate          `yaml:"rate"`  // 0: as fast as the disk
}

// JournalBase sets the interval of fresh snapshots. The present no longer needs the stream before
// the newest one.
type JournalBase struct {
	Every time.Duration `yaml:"every"` // 0: age does not matter
	Bytes Bytes         `yaml:"bytes"` // of the stream since the last one; 0: length does not matter
}

// JournalRetention bounds the stored data. The first limit that is reached counts.
type JournalRetention struct {
	Age   time.Duration `yaml:"age"`   // 0: no limit
	Bytes Bytes         `yaml:"bytes"` // of the whole folder; 0: no limit
}

// JournalDisk is in percent of the file system; 0: no limit.
type JournalDisk struct {
	Warn int `yaml:"warn"`
	Stop int `yaml:"stop"` // nothing more is acknowledged
}

// Rule sets the action for the commands that it names. The first rule that matches decides.
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

// Trash is the place on the server where rules with the action trash move data.
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

// Budget bounds the number of keys deleted within a period.
type Budget struct {
	Name   string        `yaml:"name"`
	Keys   int           `yaml:"keys"`           // the most that may be deleted
	Window time.Duration `yaml:"window"`         // within this time
	Open   time.Duration `yaml:"open,omitempty"` // how long deletes are refused; 0: as the window
	Per    string        `yaml:"per,omitempty"`  // global | user | address | session; empty: global
	Users  []string      `yaml:"users,omitempty"`
}

// Audit is the log of rules' decisions: one JSON object a line.
type Audit struct {
	File    string `yaml:"file"` // relative to the configuration file; empty: none
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
	PinnedWait   time.Duration `yaml:"pinned_wait"` // for one of them when all are in use
	ReadyLinks   int           `yaml:"ready_links"` // of them, at rest for each user; 0: none

	UpstreamLinks int           `yaml:"upstream_links"` // 0: three quarters of the server's maxclients
	UserLinks     int           `yaml:"user_links"`     // shared ones of one user
	ClientLinks   int           `yaml:"client_links"`   // shared ones that one client causes
	LinkWait      time.Duration `yaml:"link_wait"`      // for a connection at one of these bounds

	IdleTimeout time.Duration `yaml:"idle_timeout"` // 0: clients may idle for ever
}

// Telemetry is the export of traces; metrics are on Admin.HTTP.
type Telemetry struct {
	OTLP        string `yaml:"otlp"`         // URL of an OTLP/HTTP collector; empty: no traces
	Sample      Share  `yaml:"sample"`       // of the commands that are traced
	ServiceName string `yaml:"service_name"` // service.name of the traces
}

// Log sets the format of the proxy's log on standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug | info | warn | error
	Format string `yaml:"format"` // text | json
}

// The values of Enforcement.
const (
	Enforce = "enforce" // rules act
	Observe = "observe" // rules are counted and logged, and do nothing
)

// GuardACL is the value of Upstream.Guard that keeps a restricted user on the server; off is the
// other.
const GuardACL = "acl"

// unixSocketMode is the mode of a unix listener without a mode: only the owner and the group of the
// proxy may connect.
const unixSocketMode FileMode = 0o770

// Default is the configuration of an empty file: everything on loopback.
func Default() *Config {
	return &Config{
		Listeners: []Listener{{Address: "127.0.0.1:6380", ProxyProtocol: off}},
		Workers:   1,
		Upstream: Upstream{
			Address:        Addresses{"127.0.0.1:6379"},
			Guard:          GuardACL,
			ConnectTimeout: 5 * time.Second,
			TCPKeepalive:   time.Minute,
			MaxBackoff:     2 * time.Second,
			Hold:           5 * time.Second,
		},
		Admin: Admin{Address: "127.0.0.1:6390", HTTP: "127.0.0.1:9390"},
		Journal: Journal{
			Base:      JournalBase{Every: 24 * time.Hour, Bytes: 4 * GiB},
			Retention: JournalRetention{Age: 7 * day, Bytes: 64 * GiB},
			Disk:      JournalDisk{Warn: 80, Stop: 95},
			Backlog:   time.Minute,
			Mark:      time.Second,
			OnLoss:    OnLossHold,
			Scrub:     JournalScrub{Every: day, Rate: Rate(20 * MiB)},
		},
		Failover:    Failover{Feed: Auto, Fence: Auto},
		Enforcement: Enforce,
		Audit:       Audit{MaxSize: 64 * MiB, Keep: 8},
		Trash:       Trash{Memory: 0.8},
		Limits: Limits{
			MaxClients:   10_000,
			ClientInput:  GiB,
			ClientOutput: GiB,
			LinkQueue:    16 * MiB,
			MaxArgs:      1<<31 - 1,
			MaxBulk:      512 * MiB,
			MaxInline:    64 * KiB,
			PinnedLinks:  10_000,
			PinnedWait:   2 * time.Second,
			ReadyLinks:   4,

			UserLinks: 256, ClientLinks: 16, LinkWait: 5 * time.Second,
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
