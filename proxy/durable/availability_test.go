package durable

import (
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

func TestAvailability(t *testing.T) {
	t.Parallel()
	good := Availability{Replicas: 2, AOFReplicas: 1}
	all := policy.Demand{Journal: true, Replicas: 2, AOFLocal: true, AOFReplicas: 1}
	for name, row := range map[string]struct {
		edit    func(*Availability)
		missing policy.Demand
		why     string // part of it
	}{
		"all is well": {func(*Availability) {}, policy.Demand{}, ""},
		"journal": {func(p *Availability) { p.Journal = Lasting("it has failed") },
			policy.Demand{Journal: true}, "it has failed"},
		"one replica": {func(p *Availability) { p.Replicas = 1 },
			policy.Demand{Replicas: 2}, "1 of 2 replicas are online"},
		"aof": {func(p *Availability) { p.AOF = Lasting("set it") }, policy.Demand{AOFLocal: true}, "set it"},
		"no aof there": {func(p *Availability) { p.AOFReplicas, p.AOFDoubt = 0, "r1: off" },
			policy.Demand{AOFReplicas: 1}, "(r1: off)"},
		"a replica": {func(p *Availability) { p.Server = Lasting("it is a replica") }, all, "it is a replica"},
		"no place for marks": {func(p *Availability) { p.Marks = Lasting("C") },
			policy.Demand{Replicas: 2, AOFLocal: true, AOFReplicas: 1}, "C"},
		"nor a journal": {func(p *Availability) { p.Journal, p.Marks = Lasting("J"), Lasting("C") }, all, "J; C"},
		"two reasons": {func(p *Availability) { p.Journal, p.AOF = Lasting("J"), Lasting("A") },
			policy.Demand{Journal: true, AOFLocal: true}, "J; A"},
	} {
		p := good
		row.edit(&p)
		if got := p.Lacks(all); got != row.missing {
			t.Errorf("%s: lacks %v, want %v", name, got, row.missing)
		}
		if why := p.Why(all); !strings.Contains(why, row.why) || (why == "") != (row.why == "") {
			t.Errorf("%s: got %q", name, why)
		}
		if got := p.Lacks(policy.Demand{}); !got.IsZero() {
			t.Errorf("%s: who asks for nothing lacks %v", name, got)
		}
	}
}

func TestAvailable(t *testing.T) {
	t.Parallel()
	primary := upstream.Info{Up: true, Role: "master", Server: "valkey", Version: "8.0.1",
		VersionNum: 80001, AppendOnly: true, AppendFsync: "everysec", LastAOFWrite: "ok",
		Replicas: []upstream.Replica{{Port: 6380, State: "online"}, {State: "online"}}}
	p := Available(&primary, NoJournal, "")
	if p.Server.Is() || p.Replicas != 1 || !strings.Contains(p.Journal.Why, "journal.dir") ||
		!strings.Contains(p.AOF.Why, "appendfsync always") {
		t.Errorf("got %+v", p)
	}
	for want, edit := range map[string]func(*upstream.Info){
		"not answer": func(i *upstream.Info) { i.Up = false },
		"log in":     func(i *upstream.Info) { i.Err = upstream.ErrLogin },
		"a replica":  func(i *upstream.Info) { i.Role = "slave" },
		"not known":  func(i *upstream.Info) { i.Role = "" },
		"loads":      func(i *upstream.Info) { i.Loading = true },
	} {
		i := primary
		edit(&i)
		if p := Available(&i, NoJournal, ""); !strings.Contains(p.Server.Why, want) {
			t.Errorf("%s: got %q", want, p.Server.Why)
		}
	}
}

// A server is cut off where neither a majority of the sentinels nor a replica is heard. A journal is no replica: it is on this side.
func TestCutOff(t *testing.T) {
	t.Parallel()
	online := func(port, lag int) upstream.Replica { return upstream.Replica{Port: port, State: "online", Lag: lag} }
	for name, row := range map[string]struct {
		deaf     string
		replicas []upstream.Replica
		cut      bool
	}{
		"sentinels and a replica":       {"", []upstream.Replica{online(1, 0)}, false},
		"sentinels, no replica":         {"", nil, false},
		"a replica, no sentinels":       {"1 of 3 sentinels answer", []upstream.Replica{online(1, 9), online(2, 1)}, false},
		"neither":                       {"1 of 3 sentinels answer", nil, true},
		"neither, and a journal":        {"1 of 3 sentinels answer", []upstream.Replica{online(0, 0)}, true},
		"neither, and a silent replica": {"1 of 3 sentinels answer", []upstream.Replica{online(1, 2)}, true},
		"neither, and one that loads":   {"1 of 3 sentinels answer", []upstream.Replica{{Port: 1, State: "send_bulk"}}, true},
	} {
		i := upstream.Info{Up: true, Role: "master", Replicas: row.replicas}
		p := Available(&i, Lack{}, row.deaf)
		if missing := !p.Lacks(policy.Demand{Journal: true}).IsZero(); p.Cut != row.cut || missing != row.cut {
			t.Errorf("%s: got %+v", name, p)
		}
		if row.cut && (!p.Server.Passing || !strings.Contains(p.Server.Why, "may be cut off: 1 of 3 sentinels answer")) {
			t.Errorf("%s: got %+v", name, p.Server)
		}
	}
}

// The seconds during which a proof could not be had are those during which somebody asked for it.
func TestMonitorCountsUnavailability(t *testing.T) {
	t.Parallel()
	p, at := NewMonitor(), time.Unix(1000, 0)
	step := func(now *Availability, after time.Duration) {
		at = at.Add(after)
		p.now.Store(now)
		p.account(at)
	}
	p.SetRoutes([]*policy.Route{{Spec: policy.RouteSpec{Demand: policy.Demand{Replicas: 1}}}})
	p.kinds[0].since = at // the server was not asked yet
	step(&Availability{Replicas: 1}, 2*time.Second)
	step(&Availability{}, 10*time.Second)
	step(&Availability{}, time.Second)
	step(&Availability{Replicas: 3}, 2*time.Second)
	got := p.Snapshot()
	if len(got) != 1 || got[0].Kind != "replicas 1" || !got[0].Available ||
		got[0].Unavailable != 5*time.Second {
		t.Errorf("got %+v, want replicas 1, available, 5s", got)
	}
	step(&Availability{}, time.Second)
	if got := p.Snapshot(); got[0].Available || got[0].Unavailable <= 5*time.Second {
		t.Errorf("while it is away: got %+v", got)
	}
	p.SetRoutes(nil)
	if got := p.Snapshot(); len(got) != 0 {
		t.Errorf("nobody asks: got %+v", got)
	}
}

func TestPartsOf(t *testing.T) {
	t.Parallel()
	var labels []string
	for _, part := range partsOf(policy.Demand{Journal: true, Replicas: 2, AOFLocal: true,
		AOFReplicas: 1}) {
		labels = append(labels, part.String())
	}
	if got := strings.Join(labels, "|"); got != "journal|replicas 2|aof local, aof replicas 1" {
		t.Errorf("got %s", got)
	}
}

func TestRoutesInTrouble(t *testing.T) {
	t.Parallel()
	p := NewMonitor()
	route := func(name string, d policy.Demand, pass bool) *policy.Route {
		return &policy.Route{Spec: policy.RouteSpec{Name: name, Demand: d, PassUnavailable: pass}}
	}
	replica, journal := policy.Demand{Replicas: 1}, policy.Demand{Journal: true}
	routes := []*policy.Route{route("a", replica, false), route("ok", journal, false),
		route("b", replica, true)}
	for _, name := range []string{"c", "d", "e", "f", "g", "h"} {
		routes = append(routes, route(name, replica, false))
	}
	p.SetRoutes(routes)
	p.now.Store(&Availability{})
	want := "route a, c, d, e, f and 2 more: writes are refused: 0 of 1 replicas are online\n" +
		"route b: writes are not proven: 0 of 1 replicas are online"
	if got := strings.Join(p.Troubles(), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	p.now.Store(&Availability{Replicas: 1})
	if got := p.Troubles(); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}
