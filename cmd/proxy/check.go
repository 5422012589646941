package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"holdfast/configs"
	"holdfast/journal/quantity"
	"holdfast/policy"
	"holdfast/proxy/upstream"
)

const aboutCheck = `Reads the configuration file, then looks at the server that it names: whether it
can be reached, its version, role and persistence, what the proxy's own user may do there, which of
the rules would not hold, and which routes' proofs cannot be had, with what to set. Changes nothing.
Exits with 1 if anything is marked FAIL.`

// check is the subcommand check.
func check(ctx context.Context, c *command, args []string) error {
	f := c.flags("check", aboutCheck)
	path := f.String("config", "", "the configuration `file`; without one, the defaults")
	offline := f.Bool("offline", false, "look at the file only")
	ready := f.Bool("ready", false, "ask the proxy that serves this file whether it is ready, and nothing else: "+
		"a health check")
	asJSON := f.Bool("json", false, "print JSON")
	if err := c.parse(f, args); err != nil {
		return err
	}
	if *ready && *offline {
		return usagef("--ready asks a proxy, and --offline asks none")
	}
	r := &report{OK: true}
	if *ready {
		checkReady(ctx, r, *path)
	} else if config := checkFile(r, *path); config != nil {
		if *offline {
			checkRules(r, config, policy.Builtin(), true)
			checkRoutesFile(r, config)
		} else {
			checkServer(ctx, r, config)
		}
	}
	if err := r.print(c.stdout, *asJSON); err != nil {
		return err
	}
	if !r.OK {
		return errReported
	}
	return nil
}

// checkFile loads the file; nil if it cannot be used.
func checkFile(r *report, path string) *configs.Config {
	c, err := inspect(path)
	var all configs.Errors
	switch {
	case errors.As(err, &all):
		addErrors(r, all)
		return nil
	case err != nil:
		r.fail("config", "%v", err)
		return nil
	}
	name := path
	if name == "" {
		name = "the defaults"
	}
	r.ok("config", "%s: %s, upstream %s", name, quantity.Of(len(c.Listeners), "listener"), upstreamName(c))
	checkSecrecy(r, c, path)
	checkMachine(r, c)
	checkFolder(r, c)
	checkAudit(r, c)
	checkCertificates(r, c)
	checkPlain(r, c)
	return c
}

func addErrors(r *report, all configs.Errors) {
	for _, e := range all {
		subject, text := "config", e.Text
		for _, section := range []string{"rules", "routes"} {
			if strings.HasPrefix(e.Path, section+"[") {
				subject = section
			}
		}
		if e.Path != "" {
			text = e.Path + ": " + text
		}
		r.add(finding{levelFail, subject, text, e.File, e.Line, e.Column})
	}
}

// checkSecrecy warns of a password in a file that every user of the machine can read.
func checkSecrecy(r *report, c *configs.Config, path string) {
	info, err := os.Stat(path)
	if err == nil && c.HoldsPassword() && info.Mode().Perm()&0o004 != 0 {
		r.warn("config", "%s holds a password and everyone can read it (mode %04o)",
			path, info.Mode().Perm())
	}
}

// checkMachine warns of configured limits that this process cannot meet.
func checkMachine(r *report, c *configs.Config) {
	// A client has a descriptor, and so has a pinned link; the rest is listeners, shared links,
	// the console and the HTTP server.
	wanted := uint64(c.Limits.MaxClients) + uint64(c.Limits.PinnedLinks) + spareFiles
	if have := openFiles(); have > 0 && wanted > have {
		r.warn("limits", "max_clients and pinned_links together need %d open files, and this "+
			"process may have %d: raise that (ulimit -n, LimitNOFILE) or lower these", wanted, have)
	}
	have := configs.Bytes(machineMemory()) / configs.MiB * configs.MiB
	if have > 0 && c.Limits.Memory > have {
		r.warn("limits", "memory is %v, and the machine has %v", c.Limits.Memory, have)
	}
}

// checkAudit checks the folder of the audit log, which the proxy does not create.
func checkAudit(r *report, c *configs.Config) {
	if c.Audit.File == "" {
		return
	}
	switch info, err := os.Stat(filepath.Dir(c.Audit.File)); {
	case err != nil:
		r.fail("audit", "%v", err)
	case !info.IsDir():
		r.fail("audit", "%s is not a folder", filepath.Dir(c.Audit.File))
	default:
		r.ok("audit", "%s", c.Audit.File)
	}
}

// checkRules compiles the rules against a command table. With guess, the table is not the server's
// own, which may know more. It returns nil if the rules do not compile.
func checkRules(r *report, c *configs.Config, table *policy.Table, guess bool) *policy.Policy {
	p, err := policy.New(policy.Options{
		Table: table, Rules: ruleSpecs(c), Enforcement: c.Enforcement, AllowUnknown: guess,
	})
	if err != nil {
		addErrors(r, located(c, err))
		return nil
	}
	switch {
	case len(p.Rules()) == 0:
		r.warn("rules", "none: every command is allowed")
	case c.Rules == nil:
		r.ok("rules", "the built-in ones")
	default:
		r.ok("rules", "%d", len(p.Rules()))
	}
	whose := "the server has"
	if guess {
		whose = "the built-in command table has (the server may know more)"
	}
	if names := p.Unresolved(); len(names) > 0 && c.Rules != nil {
		r.warn("rules", "no command that %s is called %s", whose, strings.Join(names, ", "))
	}
	for _, rule := range p.Idle() {
		r.add(ruleFinding(c, rule, "decides nothing: earlier rules take what it names, or "+
			"there is nothing of it"))
	}
	for _, rule := range p.Rules() {
		if rule.Observe && rule.Action != policy.Allow {
			r.add(ruleFinding(c, rule, "is only observed: it refuses nothing"))
		}
	}
	return p
}

// ruleFinding is a warning about one rule, with its place in the file if it is there.
func ruleFinding(c *configs.Config, rule *policy.Rule, text string) finding {
	f := finding{Level: levelWarn, Subject: "rules",
		Text: fmt.Sprintf("rule %q %s", rule.Name, text)}
	if c.Rules != nil {
		at := c.At(fmt.Sprintf("rules[%d]", rule.Index), "")
		f.File, f.Line, f.Column = at.File, at.Line, at.Column
	}
	return f
}

// checkServer checks the server, once.
func checkServer(ctx context.Context, r *report, c *configs.Config) {
	// A probe is a handful of questions; each has ConnectTimeout.
	ctx, cancel := context.WithTimeout(ctx, 4*c.Upstream.ConnectTimeout)
	defer cancel()
	secured, err := securedOnce(c)
	if err != nil {
		return // reported with the file
	}
	checkServing(ctx, r, c, secured)
	primary := c.Upstream.Address.One()
	switch {
	case len(c.Upstream.Sentinels) > 0:
		primary = checkSentinels(ctx, r, c, secured)
	case len(c.Upstream.Address) > 1:
		primary = checkCandidates(ctx, r, c, secured)
	}
	if primary == "" {
		checkRules(r, c, policy.Builtin(), true)
		checkRoutesFile(r, c)
		return
	}
	candidates := len(c.Upstream.Address) > 1
	found := *c
	found.Upstream.Address = configs.Addresses{primary}
	c = &found
	u := upstream.New(upstreamOptions(c, secured.upstream, slog.New(slog.DiscardHandler)))
	defer u.Stop()
	u.WatchReplicas(slices.ContainsFunc(c.Routes, func(route configs.Route) bool {
		return route.Ack.AOF.Replicas > 0
	}))
	info, err := u.Probe(ctx)
	if err != nil {
		r.fail("upstream", "%v%s", err, behind(err))
		checkRules(r, c, policy.Builtin(), true)
		checkRoutesFile(r, c)
		return
	}
	control := controlUser(ctx, c, u)
	checkLogin(r, c, info, control)
	checkUsers(ctx, r, c, u, secured.set.Users())
	if info.Server != "" {
		checkVersion(r, info)
		checkRole(r, info)
		checkPersistence(r, info)
		checkMemory(r, info)
		checkLimits(r, c, info)
	}
	checkReplication(ctx, r, c, u, control)
	if len(c.Upstream.Sentinels) > 0 {
		checkDemotion(ctx, r, c, u, control)
	}
	if len(c.Upstream.Sentinels) > 0 || candidates {
		checkCutOff(ctx, r, c, u)
	}
	if p := checkTable(r, c, info); p != nil {
		checkNames(ctx, r, u, p)
		checkForgotten(r, p)
		checkUnforeseen(r, p.Table())
		checkRuleDatabases(r, c, p, info)
		checkGuard(ctx, r, c, u, control, p)
	}
	reserved := checkTrash(ctx, r, c, u, control, info)
	checkRoutesServer(ctx, r, c, u, control, info, reserved != nil)
}

// behind is the usual cause of an error of the first connection.
func behind(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return ": nothing listens there, or not on this address"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF),
		strings.Contains(err.Error(), "invalid reply"):
		return ": does a TLS port answer there (see upstream.tls), one that wants a client certificate " +
			"(upstream.tls.cert), or something other than a Redis server?"
	}
	return ""
}

// checkTable checks the rules against the server's own commands if it lists them.
func checkTable(r *report, c *configs.Config, info *upstream.Info) *policy.Policy {
	if info.CommandReply == nil {
		checkRules(r, c, policy.Builtin(), true)
		return nil
	}
	table, err := policy.NewTable(info.CommandReply)
	if err != nil {
		r.fail("rules", "the server's command table cannot be used: %v", err)
		return nil
	}
	r.ok("commands", "%d in the server's own table", table.Len()-1)
	return checkRules(r, c, table, false)
}
