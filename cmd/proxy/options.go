package main

import (
	"log/slog"
	"math"
	"os"
	"time"

	"holdfast/configs"
	"holdfast/journal"
	"holdfast/journal/tap"
	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/admin"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// options is what the proxy is told about a configuration.
func (s *service) options(c *configs.Config) proxy.Options {
	build := thisBuild()
	// After a reload the listeners, the workers and the journal's folder are still those of the
	// start.
	inForce := *c
	inForce.Listeners, inForce.Workers = s.started.Listeners, s.started.Workers
	inForce.Journal.Dir = s.started.Journal.Dir
	return proxy.Options{
		Listeners:   listeners(c),
		Workers:     c.Workers,
		Upstream:    upstreamOptions(c, s.log),
		Guard:       c.Upstream.Guard == configs.GuardACL,
		Limits:      limits(&inForce),
		Rules:       ruleSpecs(c),
		Enforcement: c.Enforcement,
		Budgets:     budgets(c),
		Audit: proxy.AuditOptions{
			File: c.Audit.File, MaxSize: int64(c.Audit.MaxSize), Keep: c.Audit.Keep,
		},
		Journal: journalOptions(c),
		Trash:   trash(c),
		Routes:  routeSpecs(c),
		Drain:   max(c.Drain, time.Millisecond), // zero would be the default
		Admin: admin.Options{
			Address: c.Admin.Address, Password: string(c.Admin.Password),
			Version: build.Version, Logger: s.log,
		},
		HTTP:  c.Admin.HTTP,
		Pprof: c.Admin.Pprof,
		Telemetry: telemetry.Options{
			OTLP: c.Telemetry.OTLP, Sample: float64(c.Telemetry.Sample),
			ServiceName: c.Telemetry.ServiceName, Version: build.Version, Logger: s.log,
		},
		Logger:   s.log,
		Version:  build.Version,
		Settings: settings(&inForce),
	}
}

// trash is where a configuration has the trash.
func trash(c *configs.Config) proxy.Trash {
	return proxy.Trash{
		Databases: c.Trash.Databases,
		Memory:    int(math.Round(float64(c.Trash.Memory) * 100)),
	}
}

func listeners(c *configs.Config) []proxy.Listener {
	out := make([]proxy.Listener, len(c.Listeners))
	for i, l := range c.Listeners {
		out[i] = proxy.Listener{Address: l.Address, Name: l.Name, Mode: os.FileMode(l.Mode)}
	}
	return out
}

// upstreamOptions is what a configuration says about the server.
func upstreamOptions(c *configs.Config, log *slog.Logger) upstream.Options {
	u := c.Upstream
	keepAlive := u.TCPKeepalive
	if keepAlive == 0 {
		keepAlive = -1 // zero would be the default
	}
	return upstream.Options{
		Address:        u.Address,
		Username:       u.Username,
		Password:       string(u.Password),
		ConnectTimeout: u.ConnectTimeout,
		KeepAlive:      keepAlive,
		MaxBackoff:     u.MaxBackoff,
		Logger:         log,
	}
}

// journalOptions is what a configuration says about the journal.
func journalOptions(c *configs.Config) proxy.JournalOptions {
	j := c.Journal
	return proxy.JournalOptions{
		Dir:       j.Dir,
		Base:      tap.BasePolicy{Every: j.Base.Every, Bytes: int64(j.Base.Bytes)},
		Retention: journal.Retention{Age: j.Retention.Age, Bytes: int64(j.Retention.Bytes)},
		Disk:      journal.DiskLimits{Warn: j.Disk.Warn, Stop: j.Disk.Stop},
		FACK:      j.FACK,
		Backlog:   j.Backlog,
		Required:  j.Required,
	}
}

// limits is the limits of a configuration. The file counts pinned links in all, the proxy by
// worker.
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
		IdleTimeout:  l.IdleTimeout,
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
