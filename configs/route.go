package configs

import (
	"fmt"
	"slices"
	"time"
)

// Route selects the writes that are acknowledged only when they are proven durable. A write owes
// the combined demand of all its routes.
type Route struct {
	Name      string   `yaml:"name"`
	Keys      []string `yaml:"keys,omitempty"`      // globs in Redis's syntax, as all of them
	Users     []string `yaml:"users,omitempty"`     // globs
	Listeners []string `yaml:"listeners,omitempty"` // names, or addresses of those without one
	Databases []int    `yaml:"databases,omitempty"`
	Scripts   bool     `yaml:"scripts,omitempty"` // all of them, whatever keys they declare

	Ack             RouteAck      `yaml:"ack"`
	Timeout         time.Duration `yaml:"timeout"`          // from the server's reply on
	OnTimeout       string        `yaml:"on_timeout"`       // error | close
	WhenUnavailable string        `yaml:"when_unavailable"` // reject | pass
}

// RouteAck is the demanded proof. At least one field must be set.
type RouteAck struct {
	Journal  bool   `yaml:"journal"`  // in the journal, fsynced
	Replicas int    `yaml:"replicas"` // in memory of that many, the journal not counted
	AOF      AckAOF `yaml:"aof"`
}

// AckAOF demands fsynced append-only files.
type AckAOF struct {
	Local    bool `yaml:"local"`    // the primary's own
	Replicas int  `yaml:"replicas"` // those of that many replicas
}

// The values of Route.OnTimeout and Route.WhenUnavailable; the first of each is the default.
const (
	TimeoutError      = "error"  // answer -UNCONFIRMED
	TimeoutClose      = "close"  // close the client's connection
	UnavailableReject = "reject" // answer -NODURABLE, before anything is executed
	UnavailablePass   = "pass"   // acknowledge without the proof, counted and audited
)

// defaultRouteTimeout is how long a proof may take where the file does not say.
const defaultRouteTimeout = time.Second

// complete fills the defaults of keys that the file does not have at path.
func (r *Route) complete(at map[string]position, path string) {
	if _, written := at[path+".timeout"]; !written {
		r.Timeout = defaultRouteTimeout
	}
	if _, written := at[path+".on_timeout"]; !written {
		r.OnTimeout = TimeoutError
	}
	if _, written := at[path+".when_unavailable"]; !written {
		r.WhenUnavailable = UnavailableReject
	}
}

func (v *validator) routes() {
	names := map[string]bool{}
	for i, r := range v.c.Routes {
		path := fmt.Sprintf("routes[%d]", i)
		v.entryName(path, "route", r.Name, names)
		v.routeConditions(path, &r)
		v.ack(path+".ack", r.Ack)
		v.require(r.Timeout >= time.Millisecond, path+".timeout", "must be at least 1ms")
		v.oneOf(path+".on_timeout", r.OnTimeout, TimeoutError, TimeoutClose)
		v.oneOf(path+".when_unavailable", r.WhenUnavailable, UnavailableReject, UnavailablePass)
	}
}

func (v *validator) routeConditions(path string, r *Route) {
	for i, user := range r.Users {
		v.require(user != "", fmt.Sprintf("%s.users[%d]", path, i), "is empty")
	}
	v.knownListeners(path, r.Listeners)
	for i, db := range r.Databases {
		v.require(db >= 0, fmt.Sprintf("%s.databases[%d]", path, i), "must not be negative")
	}
	v.require(!r.Scripts || len(r.Keys) > 0, path+".scripts",
		"is about keys that scripts do not declare, and this route has no keys")
}

// knownListeners refuses names that no listener has: they would match nothing, and a rule or a
// route would silently protect nothing.
func (v *validator) knownListeners(path string, names []string) {
	for i, name := range names {
		v.require(slices.ContainsFunc(v.c.Listeners, func(l Listener) bool {
			return name == l.Name || l.Name == "" && name == l.Address
		}), fmt.Sprintf("%s.listeners[%d]", path, i),
			"no listener has the name %q, or that address and no name", name)
	}
}

func (v *validator) ack(path string, a RouteAck) {
	v.require(a != RouteAck{}, path, "asks for nothing: journal, replicas or aof")
	v.require(!a.Journal || v.c.Journal.Dir != "", path+".journal", "needs journal.dir")
	v.require(a.Replicas >= 0, path+".replicas", "must not be negative")
	v.require(a.AOF.Replicas >= 0, path+".aof.replicas", "must not be negative")
}
