package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

var controlCommands = []*command{
	{name: "RELOAD", acts: true, help: "read the configuration file again; a bad one changes nothing",
		run: reload},
	{name: "DRAIN", acts: true, run: drain,
		help: "end the process in good order: no new clients, finish what is in flight"},
	{name: "SNAPSHOT", acts: true, slow: true, run: snapshot,
		help: "take a fresh base of the journal now; answers when it is on disk"},
	{name: "ACKNOWLEDGE INCIDENTS", acts: true, run: acknowledge,
		help: "close the incidents so far: routes and readiness go on"},
	{name: "FAILOVER", acts: true, slow: true, run: failover,
		help: "have the sentinels promote a replica, without losing a write; answers when it is over"},
	{name: "KILL SESSION", acts: true, args: "id", help: "close a client connection", min: 1, max: 1,
		run: killSession},
}

func reload(ctx context.Context, c *client, _ []string) (reply, error) {
	warnings, err := c.server.backend.Reload(ctx)
	if err != nil {
		c.server.log.Warn("console: reload failed", "addr", c.addr, "err", err)
		return nil, err
	}
	c.server.log.Info("console: reloaded", "addr", c.addr, "warnings", len(warnings))
	if len(warnings) == 0 {
		return simple("OK"), nil
	}
	text := []string{"OK, but these need a restart:"}
	for _, w := range warnings {
		text = append(text, Clean(w))
	}
	c.result = strings.Join(text, " ")
	return lines(text), nil
}

func drain(ctx context.Context, c *client, _ []string) (reply, error) {
	c.server.log.Info("console: drain", "addr", c.addr)
	if err := c.server.backend.Drain(ctx); err != nil {
		return nil, err
	}
	return simple("OK"), nil
}

func failover(ctx context.Context, c *client, _ []string) (reply, error) {
	c.server.log.Info("console: failover", "addr", c.addr)
	f, err := c.server.backend.Failover(ctx)
	if err != nil {
		return nil, err
	}
	c.result = fmt.Sprintf("OK, from %s to %s, %s; writes waited for %s", f.From, f.To, f.How, Duration(f.Paused))
	old := "the sentinels demote it"
	if f.Old != "" {
		old = Clean(f.Old)
	}
	return lines([]string{c.result, "the old primary " + f.From + ": " + old}), nil
}

func killSession(ctx context.Context, c *client, args []string) (reply, error) {
	id, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil || id == 0 {
		return nil, errSessionID
	}
	found, err := c.server.backend.KillSession(ctx, id)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errNoSession(id)
	}
	c.server.log.Info("console: session killed", "addr", c.addr, "session", id)
	return simple("OK"), nil
}

func snapshot(ctx context.Context, c *client, _ []string) (reply, error) {
	b, err := c.server.backend.TakeBase(ctx)
	if err != nil {
		c.server.log.Warn("console: snapshot failed", "addr", c.addr, "err", err)
		return nil, err
	}
	c.result = fmt.Sprintf("%s, %s, timeline %d, offset %d", b.File, size(b.Size), b.Timeline,
		b.Offset)
	return simple(c.result), nil
}

func acknowledge(ctx context.Context, c *client, _ []string) (reply, error) {
	if err := c.server.backend.AcknowledgeIncidents(ctx); err != nil {
		return nil, err
	}
	c.server.log.Info("console: incidents acknowledged", "addr", c.addr)
	return simple("OK"), nil
}
