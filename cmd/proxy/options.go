package main

import (
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"holdfast/configs"
	"holdfast/journal"
	"holdfast/journal/tap"
	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/admin"
	"holdfast/proxy/audit"
	"holdfast/proxy/candidates"
	"holdfast/proxy/certs"
	"holdfast/proxy/recorder"
	"holdfast/proxy/sentinel"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/trash"
	"holdfast/proxy/upstream"
)

// options translates a configuration for the proxy. The error is about certificate files, with the
// place in c.
func (s *service) options(c *configs.Config) (proxy.Options, error) {
	build := thisBuild()
	secured, err := secure(c, s.certs, s.listening, s.log)
	if err != nil {
		return proxy.Options{}, err
	}
	// After a reload the listeners, the workers and the journal's folder are still those of the
	// start.
	inForce := *c
	inForce.Listeners, inForce.Workers = s.started.Listeners, s.started.Workers
	inForce.Journal.Dir = s.started.Journal.Dir
	return proxy.Options{
		Certificates: secured.set,
		Users:        secured.set.Users(),
		Listeners:    secured.listeners(c),
		Workers:      c.Workers,
		Upstream:     upstreamOptions(c, secured.upstream, s.log),
		Sentinels:    sentinelOptions(c, secured.sentinel),
		Candidates:   candidateOptions(c),
		Hold:         c.Upstream.Hold,
		Fence:        c.Failover.Fence == configs.Auto,
		Feed:         c.Failover.Feed != configs.Off,
		FeedPromoted: c.Failover.Feed == configs.Always,
		Guard:        c.Upstream.Guard == configs.GuardACL,
		Limits:       limits(&inForce),
		Rules:        ruleSpecs(c),
		Enforcement:  c.Enforcement,
		Budgets:      budgets(c),
		Audit: audit.Options{
			File: c.Audit.File, MaxSize: int64(c.Audit.MaxSize), Keep: c.Audit.Keep,
		},
		Journal: s.journalOptions(c),
		Trash:   trashSettings(c),
		Routes:  routeSpecs(c),
		Drain:   max(c.Drain, time.Millisecond), // zero would be the default
		Admin: admin.Options{
			Address: c.Admin.Address, Password: string(c.Admin.Password),
			Version: build.Version, Logger: s.log,
		},
		HTTP:      c.Admin.HTTP,
		HTTPHosts: c.Admin.HTTPHosts,
		Pprof:     c.Admin.Pprof,
		AdminTLS:  secured.admin,
		Telemetry: telemetry.Options{
			OTLP: c.Telemetry.OTLP, Sample: float64(c.Telemetry.Sample),
			ServiceName: c.Telemetry.ServiceName, Version: build.Version, Logger: s.log,
		},
		Logger:   s.log,
		Version:  build.Version,
		Settings: settings(&inForce),
	}, nil
}

// trash is the place of the trash in a configuration.
func trashSettings(c *configs.Config) trash.Settings {
	return trash.Settings{
		Databases: c.Trash.Databases,
		Memory:    int(math.Round(float64(c.Trash.Memory) * 100)),
	}
}

func (t *secured) listeners(c *configs.Config) []proxy.Listener {
	out := make([]proxy.Listener, len(c.Listeners))
	for i, l := range c.Listeners {
		out[i] = proxy.Listener{Address: l.Address, Name: l.Name, Mode: os.FileMode(l.Mode),
			TLS: t.accepting[i], UserFrom: certs.UserFrom(l.UserFrom)}
		for _, text := range l.ProxyProtocolFrom {
			if p, err := configs.ParsePrefix(text); err == nil { // as Validate made sure
				out[i].ProxyFrom = append(out[i].ProxyFrom, p)
			}
		}
	}
	return out
}

// upstreamOptions translates the server part of a configuration.
func upstreamOptions(c *configs.Config, secure *certs.Client, log *slog.Logger) upstream.Options {
	u := c.Upstream
	keepAlive := u.TCPKeepalive
	if keepAlive == 0 {
		keepAlive = -1 // zero would be the default
	}
	return upstream.Options{
		Address:        u.Address.One(),
		Username:       u.Username,
		Password:       string(u.Password),
		ConnectTimeout: u.ConnectTimeout,
		KeepAlive:      keepAlive,
		MaxBackoff:     u.MaxBackoff,
		TLS:            secure,
		Logger:         log,
	}
}

// sentinelOptions translates the sentinels of a configuration; nil: it has none.
func sentinelOptions(c *configs.Config, secure *certs.Client) *sentinel.Options {
	u := c.Upstream
	if len(u.Sentinels) == 0 {
		return nil
	}
	return &sentinel.Options{
		Addresses: u.Sentinels, Name: u.SentinelName, Username: u.SentinelUsername,
		Password: string(u.SentinelPassword), TLS: secure, MaxBackoff: u.MaxBackoff,
	}
}

// candidateOptions translates a list of addresses; nil: there is one address, or none.
func candidateOptions(c *configs.Config) *candidates.Options {
	if len(c.Upstream.Address) < 2 {
		return nil
	}
	return &candidates.Options{Addresses: c.Upstream.Address}
}

// journalOptions translates the journal part of a configuration.
func (s *service) journalOptions(c *configs.Config) recorder.Options {
	j := c.Journal
	config, err := filepath.Abs(s.path)
	if err != nil || s.path == "" {
		config = s.path
	}
	if dir, err := filepath.Abs(j.Dir); err == nil && j.Dir != "" {
		j.Dir = dir // commands in the log and on the console run in any folder
	}
	ledger := 0
	for _, db := range c.Trash.Databases {
		ledger = max(ledger, db)
	}
	return recorder.Options{
		Dir:       j.Dir,
		Config:    config,
		Base:      tap.BasePolicy{Every: j.Base.Every, Bytes: int64(j.Base.Bytes)},
		Retention: journal.Retention{Age: j.Retention.Age, Bytes: int64(j.Retention.Bytes)},
		Disk:      journal.DiskLimits{Warn: j.Disk.Warn, Stop: j.Disk.Stop},
		FACK:      j.FACK,
		Backlog:   j.Backlog,
		Largest:   int64(c.Limits.MaxBulk),
		Required:  j.Required,
		Mark:      j.Mark,
		Ledger:    ledger,
		GoOn:      j.OnLoss == configs.OnLossContinue,
		Scrub:     recorder.ScrubOptions{Every: j.Scrub.Every, Rate: int64(j.Scrub.Rate)},
		Segment:   segmentSize(),
	}
}

// segmentBytes is the size of a journal's segment, in bytes, in programs that tests run. The linker sets it:
// -X main.segmentBytes=1048576. Each journal begins with two segments full of zeros, and 128 MiB for each test are too
// much. Elsewhere it is empty, for the journal's default.
var segmentBytes string

// segmentSize is segmentBytes as a number; 0: the journal's default.
func segmentSize() int64 {
	n, err := strconv.ParseInt(segmentBytes, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// limits translates the limits of a configuration. The file counts pinned links in all, the proxy
// by worker.
func limits(c *configs.Config) proxy.Limits {
	l := c.Limits
	return proxy.Limits{
		MaxClients:   l.MaxClients,
		ClientInput:  uint64(l.ClientInput),
		ClientOutput: uint64(l.ClientOutput),
		LinkQueue:    uint64(l.LinkQueue),
		Memory:       uint64(memoryLimit(int64(l.Memory))),
		MaxArgs:      l.MaxArgs,
		MaxBulk:      int64(l.MaxBulk),
		MaxInline:    int(l.MaxInline),
		PinnedLinks:  max(1, l.PinnedLinks/c.Workers),
		PinnedWait:   l.PinnedWait,
		ReadyLinks:   l.ReadyLinks,
		IdleTimeout:  l.IdleTimeout,

		UpstreamLinks: l.UpstreamLinks,
		UserLinks:     l.UserLinks,
		ClientLinks:   l.ClientLinks,
		LinkWait:      l.LinkWait,
	}
}

func settings(c *configs.Config) []admin.Setting {
	list := c.Settings()
	out := make([]admin.Setting, len(list))
	for i, s := range list {
		out[i] = admin.Setting{Key: s.Key, Value: s.Value, Default: s.Default}
	}
	return out
}

func budgets(c *configs.Config) []policy.BudgetSpec {
	out := make([]policy.BudgetSpec, len(c.Budgets))
	for i, b := range c.Budgets {
		out[i] = policy.BudgetSpec{
			Name: b.Name, Keys: int64(b.Keys), Window: b.Window, Open: b.Open, Per: b.Per,
			Users: b.Users,
		}
	}
	return out
}
