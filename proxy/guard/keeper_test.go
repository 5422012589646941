package guard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/policy"
	"holdfast/proxy/proxytest"
)

// refusal is an error reply of the server.
type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) RedisError()     {}

// fakeUser is a user of a fake server.
type fakeUser struct {
	on                       bool
	commands, keys, channels string
	passwords                []string
}

func (u *fakeUser) describe() any {
	flag := "off"
	if u.on {
		flag = "on"
	}
	return []any{"flags", []any{flag}, "passwords", []any{}, "commands", u.commands, "keys", u.keys,
		"channels", u.channels, "selectors", []any{}}
}

// set applies the words of ACL SETUSER.
func (u *fakeUser) set(words []string) {
	for _, w := range words {
		switch {
		case w == "reset":
			*u = fakeUser{commands: "-@all"}
		case w == "on":
			u.on = true
		case w == "+@all", w == "-@all":
			u.commands = w
		case w[0] == '+', w[0] == '-':
			u.commands += " " + w
		case w[0] == '~':
			u.keys = strings.TrimSpace(u.keys + " " + w)
		case w[0] == '&':
			u.channels = strings.TrimSpace(u.channels + " " + w)
		case w[0] == '#':
			u.passwords = append(u.passwords, w[1:])
		}
	}
}

// fakeServer is a server with users and control connections.
type fakeServer struct {
	mu      sync.Mutex
	users   map[string]*fakeUser
	changes int    // executions of commands that change users
	infos   int    // and of INFO
	clients string // CLIENT LIST
	err     error  // of every command
	lax     string // a word that an ACL SETUSER with on, or each one (always), gets in addition
	always  bool
}

func newFakeServer() *fakeServer {
	return &fakeServer{clients: " name=control-me ", users: map[string]*fakeUser{
		"default": {on: true, commands: "+@all", keys: "~*", channels: "&*"}}}
}

func (s *fakeServer) Address() string { return "fake" }

func (s *fakeServer) Do(_ context.Context, args ...any) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var words []string
	for _, a := range args {
		words = append(words, a.(string))
	}
	if s.err != nil {
		return nil, s.err
	}
	switch name := strings.Join(words[:2], " "); name {
	case "ACL USERS":
		var out []any
		for name := range s.users {
			out = append(out, name)
		}
		return out, nil
	case "ACL GETUSER":
		if u := s.users[words[2]]; u != nil {
			return u.describe(), nil
		}
		return nil, nil
	case "ACL SETUSER":
		s.changes++
		if s.users[words[2]] == nil {
			s.users[words[2]] = &fakeUser{commands: "-@all"}
		}
		if words = words[2:]; s.lax != "" && (s.always || slices.Contains(words, "on")) {
			words = append(words, s.lax)
		}
		s.users[words[0]].set(words[1:])
		return "OK", nil
	case "ACL DELUSER":
		s.changes++
		delete(s.users, words[2])
		return int64(1), nil
	case "ACL DRYRUN":
		return "OK", nil
	case "INFO commandstats":
		s.infos++
		return fmt.Sprintf("# Commandstats\r\ncmdstat_acl|setuser:calls=%d,usec=1\r\ncmdstat_info:calls=%d,usec=1\r\n",
			s.changes, s.infos), nil
	case "CLIENT LIST":
		return s.clients, nil
	default:
		return nil, refusal("ERR unknown command " + name)
	}
}

// names lists the guards' users.
func (s *fakeServer) names() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.users {
		if Is([]byte(name)) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func (s *fakeServer) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// fakeProxy is the proxy around a keeper.
type fakeProxy struct {
	*Keeper
	t      *testing.T
	log    proxytest.Log
	server *fakeServer

	mu   sync.Mutex
	want Wanted
	down bool
	used *User
	uses int
}

func (p *fakeProxy) Wanted(context.Context) (Wanted, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.want, nil
}

func (p *fakeProxy) Server() Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server
}

func (p *fakeProxy) Up() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.down
}

func (p *fakeProxy) Use(_ context.Context, u *User) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used, p.uses = u, p.uses+1
}

// change changes the environment, and returns after the next check.
func (p *fakeProxy) change(f func()) {
	p.mu.Lock()
	f()
	p.mu.Unlock()
	p.Await(p.t.Context())
}

// theUser is the one user that the server has, which is in force.
func (p *fakeProxy) theUser() (u *fakeUser) {
	p.t.Helper()
	names := p.server.names()
	if len(names) != 1 || p.used == nil || p.used.Name != names[0] || !p.used.On(p.server) {
		p.t.Fatalf("users %q, in force %+v", names, p.used)
	}
	p.server.change(func() { copied := *p.server.users[names[0]]; u = &copied })
	return u
}

func denying(t *testing.T, commands ...string) *policy.Policy {
	t.Helper()
	o := policy.Options{}
	if len(commands) > 0 {
		o.Rules = []policy.RuleSpec{{Name: "no", Action: "deny", Commands: commands}}
	}
	p, err := policy.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// guarding runs a test with a keeper that has made its user, under a fake clock.
func guarding(t *testing.T, test func(p *fakeProxy)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &fakeProxy{t: t, server: newFakeServer(), want: Wanted{On: true, Policy: denying(t, "flushall"), Databases: 4}}
		p.Keeper = New(Options{Instance: "me", Control: func(instance string) string { return "control-" + instance },
			Logger: proxytest.Untimed(&p.log)}, p)
		go p.Run(t.Context())
		p.Await(t.Context())
		test(p)
		p.Stop()
	})
}

func TestKeeperMakesUser(t *testing.T) {
	guarding(t, func(p *fakeProxy) {
		u, sum := p.theUser(), sha256.Sum256([]byte(p.used.Password))
		if !u.on || u.keys != "~*" || u.channels != "&*" || !strings.Contains(u.commands, " -flushall") ||
			!slices.Equal(u.passwords, []string{hex.EncodeToString(sum[:])}) {
			t.Errorf("the user is %+v", u)
		}
		if !p.used.Policy.Refuses(p.want.Policy.Table().ByName("flushall")) {
			t.Error("it may run what the rules refuse")
		}
		uses, changes := p.uses, p.server.changes
		time.Sleep(10 * checkEvery)
		synctest.Wait()
		if p.uses != uses || p.server.changes != changes {
			t.Errorf("without a change: %d more uses, %d changes", p.uses-uses, p.server.changes-changes)
		}
	})
}

// Other rules make another user; without rules, or without a guard, there is none in force.
func TestKeeperFollowsTheRules(t *testing.T) {
	guarding(t, func(p *fakeProxy) {
		first := p.used
		p.change(func() { p.want.Policy = denying(t, "flushall") }) // of a new command table
		if !Same(first, p.used) || !p.used.Policy.Of(p.want.Policy) {
			t.Error("the same rights, and the user is another one or of the old policy")
		}
		p.change(func() { p.want.Policy = denying(t, "flushall", "keys") })
		if second := p.used; second == nil || Same(first, second) {
			t.Errorf("%v became %v", first, second)
		}
		p.change(func() { p.want.Policy = denying(t) })
		if p.used != nil {
			t.Error("nothing is refused, and there is a guard")
		}
		p.change(func() { p.want.Trash, p.want.Hidden = true, []int{2, 3} })
		if p.used == nil {
			t.Fatal("there is a trash, and no guard")
		}
		var commands string
		p.server.change(func() { commands = p.server.users[p.used.Name].commands })
		for _, word := range []string{" -select", " +select|0", " +select|1"} {
			if !strings.Contains(commands, word) {
				t.Errorf("%q is not in %q", word, commands)
			}
		}
		if strings.Contains(commands, "+select|2") {
			t.Errorf("a hidden database is open: %q", commands)
		}
		p.change(func() { p.want.On = false })
		if p.used != nil {
			t.Error("the guard is off, and in force")
		}
	})
}

// A user that is changed or deleted from outside is made again, at the latest at the next check.
func TestKeeperMendsUser(t *testing.T) {
	guarding(t, func(p *fakeProxy) {
		for what, change := range map[string]func(name string){
			"more rights": func(name string) { p.server.users[name].commands = "+@all" },
			"deleted":     func(name string) { delete(p.server.users, name) },
		} {
			p.server.change(func() { change(p.used.Name); p.server.changes++ })
			time.Sleep(2 * checkEvery)
			synctest.Wait()
			if u := p.theUser(); !u.on || !strings.Contains(u.commands, "-flushall") {
				t.Errorf("%s: %+v", what, u)
			}
		}
	})
}

// A server that does not answer changes nothing; one that refuses ends the guard, with one line.
func TestKeeperWithoutServer(t *testing.T) {
	guarding(t, func(p *fakeProxy) {
		before := p.used
		p.server.change(func() { p.server.err = errors.New("broken pipe") })
		p.change(func() {})
		if p.used != before {
			t.Error("an outage changed the guard")
		}
		p.server.change(func() { p.server.err = refusal("NOPERM no") })
		p.change(func() { p.down = true })
		if p.used != nil || p.log.String() != "" {
			t.Errorf("used %v, log %q", p.used, p.log.String())
		}
		p.change(func() { p.down = false })
		p.change(func() {})
		if n := p.log.Count("there is no guard on the server"); n != 1 {
			t.Errorf("%d lines: %s", n, p.log.String())
		}
		p.server.change(func() { p.server.err = nil })
		p.change(func() {})
		p.theUser()
	})
}

// A copy other than its original is deleted, and never in force. It is proven before it is on.
func TestKeeperRefusesLaxCopy(t *testing.T) {
	for name, row := range map[string]struct {
		word   string
		always bool
		want   string
	}{
		"more rights":           {"+config", false, "the copy has more rights"},
		"more rights from then": {"+config", true, "the server has made something else of it"},
		"on at once":            {"on", true, "the server has made something else of it"},
	} {
		t.Run(name, func(t *testing.T) {
			guarding(t, func(p *fakeProxy) {
				before := p.used.Name
				p.server.change(func() { p.server.lax, p.server.always = row.word, row.always })
				p.change(func() { p.want.Policy = denying(t, "flushall", "keys") })
				if p.used != nil || p.log.Count(row.want) != 1 {
					t.Errorf("used %+v, log %q", p.used, p.log.String())
				}
				if names := p.server.names(); !slices.Equal(names, []string{before}) {
					t.Errorf("users: %q", names)
				}
			})
		})
	}
}

// The user of a process without a connection goes after two looks, and that of a live one stays.
func TestKeeperClearsStaleUsers(t *testing.T) {
	guarding(t, func(p *fakeProxy) {
		dead, live := Prefix+"1-dead", Prefix+"2-live"
		p.server.change(func() {
			p.server.users[dead], p.server.users[live] = &fakeUser{on: true}, &fakeUser{on: true}
			p.server.clients = " name=control-live  name=control-me "
		})
		looks := func() (left []string) {
			time.Sleep(staleEvery + checkEvery)
			synctest.Wait()
			for _, name := range p.server.names() {
				if name != p.used.Name {
					left = append(left, name)
				}
			}
			return left
		}
		if left := looks(); !slices.Equal(left, []string{dead, live}) {
			t.Errorf("after one look: %q", left)
		}
		p.server.change(func() { p.server.clients = "" }) // an incomplete list proves nothing
		if left := looks(); !slices.Equal(left, []string{dead, live}) {
			t.Errorf("after a list without this process: %q", left)
		}
		p.server.change(func() { p.server.clients = " name=control-live  name=control-me " })
		if left := looks(); !slices.Equal(left, []string{live}) {
			t.Errorf("after two looks: %q", left)
		}
		if p.log.Count("the user of a proxy that is gone was deleted") != 1 {
			t.Error(p.log.String())
		}
	})
}

// Another server gets a user of its own. At its end the keeper deletes those on the server in force.
func TestKeeperMovesAndLeaves(t *testing.T) {
	var old, now *fakeServer
	guarding(t, func(p *fakeProxy) {
		old, now = p.server, newFakeServer()
		p.change(func() { p.server, p.want.Policy = now, denying(t, "keys") })
		p.theUser()
		if p.used.On(old) {
			t.Error("the user is on the old server")
		}
	})
	if len(old.names()) != 1 || len(now.names()) != 0 {
		t.Errorf("left: %q on the old server, %q on the new one", old.names(), now.names())
	}
}
