package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"holdfast/configs"
	"holdfast/journal/replay"
	"holdfast/proxy/upstream"
)

// examine makes every possible check before any change. The error joins the obstacles.
func (r *recovery) examine(ctx context.Context) error {
	r.checks.OK = true
	if err := r.file.check(); err != nil {
		r.checks.fail("file", "%v", err)
	}
	if err := r.examineTarget(ctx); err != nil {
		return err
	}
	r.checkNew(ctx)
	r.checkOld(ctx)
	if r.proxy != nil {
		r.checkPending()
		r.checkUsers(ctx)
	}
	return r.obstacles()
}

// examineTarget examines the new server as a restore does, and finds the steps that are done
// already.
func (r *recovery) examineTarget(ctx context.Context) error {
	pre, err := replay.Examine(ctx, r.options())
	var refused *replay.PreflightError
	if errors.As(err, &refused) {
		pre, err = refused.Preflight, nil
	}
	if err != nil {
		return fmt.Errorf("nothing was touched: %w", err)
	}
	r.pre = pre
	if r.restored = pre.Primary && (pre.AtPoint || r.continues(pre)); r.restored {
		r.checks.ok("target", "%s: it is a primary at the point already", pre.Target)
		return nil
	}
	r.checks.ok("target", "%s", pre.Target)
	for _, f := range pre.Findings {
		switch {
		case errors.Is(f.Err, replay.ErrRecorded):
			r.checks.fail(f.Subject, "%s is the server that the journal records, and it is not at that point; "+
				"proxy restore --force rebuilds it in its place", r.target.address)
		case f.Err != nil:
			r.checks.fail(f.Subject, "%v: %s", f.Err, f.Text)
		default:
			r.checks.warn(f.Subject, "%s", f.Text)
		}
	}
	return nil
}

// continues reports whether the journal records the target as the continuation of the point: the
// proxy was in front of it before this run began.
func (r *recovery) continues(pre *replay.Preflight) bool {
	cur, ok := r.view.Current()
	if !ok || cur.ReplID != pre.ReplID {
		return false
	}
	wanted := r.plan.Point.Timeline
	return wanted.ID == cur.ID || cur.Parent == wanted.ID && cur.Fork >= wanted.End
}

// checkNew makes the checks of proxy check on the new server: whether the proxy may log in there,
// and whether its rules and routes can be in force.
func (r *recovery) checkNew(ctx context.Context) {
	found := &report{OK: true}
	checkServer(ctx, found, r.next)
	for _, f := range found.Findings {
		switch {
		case f.Subject == "upstream" && f.Level == levelFail:
			r.addLogin(f)
		case f.Subject == "routes" && f.Level == levelFail: // routes wait; a RELOAD does not
			f.Level = levelWarn
			r.checks.add(f)
		case f.Level == levelFail || f.Level == levelWarn && f.Subject != "role":
			r.checks.add(f)
		}
	}
}

// addLogin names the setting in the file that decides how the proxy logs in.
func (r *recovery) addLogin(f finding) {
	where, c := "", r.config
	switch {
	case c.Upstream.PasswordFile != "":
		where = "upstream.password_file"
	case c.HoldsPassword():
		where = "upstream.password"
	}
	f.Text = fmt.Sprintf("the proxy cannot log in at %s as the file says: %s", r.target.address, f.Text)
	if where == "" {
		f.Text += fmt.Sprintf("; the file has no upstream.password: if the proxy has it from %s, set that here, "+
			"too; else write the new server's password there first", configs.UpstreamPasswordEnv)
		where = "upstream"
	} else {
		f.Text += "; if the new server has another password, write it there first"
	}
	at := c.At(where, "")
	f.File, f.Line, f.Column = at.File, at.Line, at.Column
	r.checks.add(f)
}

// checkOld makes sure that no client writes to the old server any more.
func (r *recovery) checkOld(ctx context.Context) {
	if r.previous == r.target.address {
		return
	}
	u := upstream.New(upstreamOptions(r.config, r.secured.upstream, slog.New(slog.DiscardHandler)))
	defer u.Stop()
	ctx, cancel := context.WithTimeout(ctx, r.config.Upstream.ConnectTimeout)
	defer cancel()
	info, err := u.Probe(ctx)
	switch {
	case err != nil || !info.Up:
		r.checks.ok("old server", "%s does not answer", r.previous)
	case info.RunID != "" && info.RunID == r.pre.RunID:
		r.checks.ok("old server", "%s is the same server under another address", r.previous)
	case info.Role == "slave":
		r.checks.warn("old server", "%s answers as a replica", r.previous)
	case *r.leaveOld:
		r.checks.warn("old server", "%s answers as a primary: what it takes from offset %d on stays behind",
			r.previous, r.plan.Point.Offset)
	default:
		r.checks.fail("old server", "%s answers as a primary: what clients write there from now on would not be "+
			"in the new one; stop it or make it a replica first (to rebuild it in its place: proxy restore "+
			"--force), or give --leave-old, which names what stays behind", r.previous)
	}
}

// checkPending reports the other changes that the RELOAD puts in force: the file may have been
// edited since the proxy read it.
func (r *recovery) checkPending() {
	for _, s := range r.config.Settings() {
		was, ok := r.proxy.settings[s.Key]
		if ok && was != s.Value && s.Key != "upstream.address" && s.Key != "journal.dir" &&
			s.Key != "audit.file" {
			r.checks.warn("file", "%s is %s in the file and %s in force: the RELOAD takes that over, too", s.Key,
				s.Value, was)
		}
	}
}

// checkUsers checks that the clients' users exist on the new server.
func (r *recovery) checkUsers(ctx context.Context) {
	there, err := dialCaller(ctx, r.target.dial(), r.target.address, r.target.username, r.target.password)
	if err != nil {
		return // reported with the target
	}
	defer there.close()
	text, err := there.do(ctx, "ACL", "USERS")
	if err != nil {
		r.checks.warn("users", "not checked: %v", err)
		return
	}
	for _, user := range r.proxy.users {
		if !slices.Contains(splitLines(text), user) {
			r.checks.warn("users", "clients are logged in as %s, which the new server does not have: ACL SETUSER "+
				"it there, or they are refused", user)
		}
	}
}
