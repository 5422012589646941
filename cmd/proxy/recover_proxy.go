package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"holdfast/configs"
	"holdfast/journal"
	"holdfast/proxy/admin"
	"holdfast/proxy/certs"
)

// A runningProxy is the proxy that serves by a configuration file, as its console describes it.
type runningProxy struct {
	console, password string
	dial              certs.DialFunc // to the console
	listeners         []string       // the addresses for clients
	user, secret      string         // the control user's
	settings          map[string]string
	users             []string // the clients' users
	unproven          string   // why no listener was asked; empty: one was
	degraded          []string // its own complaints at the end
}

// findProxy asks the console that the file names, by secure where that is not nil; nil if no proxy runs. A proxy that cannot RELOAD,
// or reads another file, is an error.
func findProxy(ctx context.Context, c *configs.Config, secure *certs.Server, path string) (*runningProxy, error) {
	inUse, err := journal.InUse(nil, c.Journal.Dir)
	if err != nil {
		return nil, err
	}
	if c.Admin.Address == "" {
		if inUse {
			return nil, fmt.Errorf("nothing was touched: a process has the journal in %s open, and admin.address is "+
				"off: the proxy cannot be told to RELOAD; stop it first", c.Journal.Dir)
		}
		return nil, nil
	}
	p := &runningProxy{console: dialable(c.Admin.Address), password: string(c.Admin.Password),
		user: c.Upstream.Username, secret: string(c.Upstream.Password)}
	p.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return secure.DialSelf(ctx, (&net.Dialer{}).DialContext, network, address)
	}
	for _, l := range c.Listeners {
		if l.TLS == nil { // one of TLS may ask for a certificate, and bear a name that is not this machine's
			p.listeners = append(p.listeners, dialable(l.Address))
		}
	}
	stats, err := p.stats(ctx)
	var reply replyError
	var refused *net.OpError
	switch {
	case errors.As(err, &reply):
		at := c.At("admin.password", "")
		return nil, fmt.Errorf("nothing was touched: the console at %s, %s:%d:%d: %w", p.console, at.File, at.Line,
			at.Column, err)
	case errors.As(err, &refused) && refused.Op == "dial" && !inUse:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("nothing was touched: a process has the journal in %s open, and the console at %s "+
			"does not answer (%w): the proxy cannot be told to RELOAD; stop it first", c.Journal.Dir, p.console, err)
	}
	if err := sameFile(stats.Config, path); err != nil {
		return nil, fmt.Errorf("nothing was touched: the proxy at the console %s: %w", p.console, err)
	}
	return p, p.readState(ctx)
}

// sameFile makes sure that the proxy reads the same file.
func sameFile(theirs, ours string) error {
	if theirs == "" {
		return errors.New("it was started without a configuration file, or is of an older version")
	}
	a, err := os.Stat(theirs)
	if err != nil {
		return fmt.Errorf("it reads another file: %w", err)
	}
	b, err := os.Stat(ours)
	if err == nil && !os.SameFile(a, b) {
		err = fmt.Errorf("it reads another file: %s; give that as --config", theirs)
	}
	return err
}

// ask sends one command to the console on a connection of its own.
func (p *runningProxy) ask(ctx context.Context, words ...string) (string, error) {
	c, err := dialCaller(ctx, p.dial, p.console, "", p.password)
	if err != nil {
		return "", err
	}
	defer c.close()
	return c.do(ctx, words...)
}

func (p *runningProxy) askJSON(ctx context.Context, into any, words ...string) error {
	text, err := p.ask(ctx, append(words, "JSON")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), into)
}

func (p *runningProxy) stats(ctx context.Context) (*admin.Stats, error) {
	var s admin.Stats
	return &s, p.askJSON(ctx, &s, "SHOW", "STATS")
}

// readState reads the configuration in force and the connected users.
func (p *runningProxy) readState(ctx context.Context) error {
	var settings []admin.Setting
	if err := p.askJSON(ctx, &settings, "SHOW", "CONFIG"); err != nil {
		return err
	}
	p.settings = make(map[string]string)
	for _, s := range settings {
		p.settings[s.Key] = s.Value
	}
	var sessions struct {
		Sessions []admin.Session `json:"sessions"`
	}
	if err := p.askJSON(ctx, &sessions, "SHOW", "SESSIONS", "LIMIT", "0"); err != nil {
		return err
	}
	for _, s := range sessions.Sessions {
		if s.User != "" && !slices.Contains(p.users, s.User) {
			p.users = append(p.users, s.User)
		}
	}
	return nil
}

// The time until the proxy must be ready after a RELOAD, and the polling interval.
const (
	readyTimeout = time.Minute
	readyPoll    = 50 * time.Millisecond
)

// switchTo has the proxy read the file again and waits until it is ready and answers from a process
// of the server at an address.
func (p *runningProxy) switchTo(ctx context.Context, address, runID string, shown *progress) error {
	if _, err := p.ask(ctx, "RELOAD"); err != nil {
		return fmt.Errorf("the proxy does not RELOAD: %w", err)
	}
	deadline := time.Now().Add(readyTimeout)
	for {
		why, err := p.unready(ctx, address, runID)
		if err != nil || why == "" {
			shown.done()
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w %v after its RELOAD: %s", errNotReady, readyTimeout, why)
		}
		shown.say("waiting for the proxy: %s", why)
		select {
		case <-ctx.Done():
			return fmt.Errorf("interrupted while the proxy was not ready: %s", why)
		case <-time.After(readyPoll):
		}
	}
}

var errNotReady = errors.New("the proxy is not ready")

// unready is the reason why the proxy does not answer from a server process yet; empty: it does.
func (p *runningProxy) unready(ctx context.Context, address, runID string) (string, error) {
	s, err := p.stats(ctx)
	if err != nil {
		return "", fmt.Errorf("the console does not answer any more: %w", err)
	}
	u := s.Upstream
	p.degraded = s.Degraded
	switch {
	case u.Address != address:
		return fmt.Sprintf("its upstream is %s", u.Address), nil
	case !u.Up || u.Outage != nil:
		return fmt.Sprintf("it has no connection to %s: %s", address, u.Error), nil
	case u.RunID != runID:
		return fmt.Sprintf("the server at %s is another process (run_id %s, want %s)", address, u.RunID, runID), nil
	case u.Role != "master":
		return fmt.Sprintf("%s is a %s", address, u.Role), nil
	case len(s.NotReady) > 0:
		return strings.Join(s.NotReady, "; "), nil
	}
	return p.unserved(ctx, runID), nil
}

// unserved asks as a client does, and notes where the control user may not.
func (p *runningProxy) unserved(ctx context.Context, runID string) string {
	p.unproven = "no listener without TLS"
	for _, address := range p.listeners {
		c, err := dialCaller(ctx, nil, address, p.user, p.secret)
		if err != nil {
			p.unproven = err.Error()
			continue
		}
		text, err := c.do(ctx, "INFO", "server")
		c.close()
		if err != nil {
			p.unproven = err.Error()
			continue
		}
		for _, line := range splitLines(text) {
			if id, ok := strings.CutPrefix(line, "run_id:"); ok && id != runID {
				return fmt.Sprintf("the listener %s answers from another server", address)
			}
		}
		p.unproven = ""
	}
	return ""
}

func splitLines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
}
