package proxy

import (
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

func TestProvable(t *testing.T) {
	t.Parallel()
	good := provable{replicas: 2, aofReplicas: 1}
	all := policy.Demand{Journal: true, Replicas: 2, AOFLocal: true, AOFReplicas: 1}
	for name, row := range map[string]struct {
		edit    func(*provable)
		missing policy.Demand
		why     string // part of it
	}{
		"all is well": {func(*provable) {}, policy.Demand{}, ""},
		"journal": {func(p *provable) { p.journal = lasting("it has failed") },
			policy.Demand{Journal: true}, "it has failed"},
		"one replica": {func(p *provable) { p.replicas = 1 },
			policy.Demand{Replicas: 2}, "1 of 2 replicas are online"},
		"aof": {func(p *provable) { p.aof = lasting("set it") }, policy.Demand{AOFLocal: true}, "set it"},
		"no aof there": {func(p *provable) { p.aofReplicas, p.aofDoubt = 0, "r1: off" },
			policy.Demand{AOFReplicas: 1}, "(r1: off)"},
		"a replica": {func(p *provable) { p.server = lasting("it is a replica") }, all, "it is a replica"},
		"no place for marks": {func(p *provable) { p.marks = lasting("C") },
			policy.Demand{Replicas: 2, AOFLocal: true, AOFReplicas: 1}, "C"},
		"nor a journal": {func(p *provable) { p.journal, p.marks = lasting("J"), lasting("C") }, all, "J; C"},
		"two reasons": {func(p *provable) { p.journal, p.aof = lasting("J"), lasting("A") },
			policy.Demand{Journal: true, AOFLocal: true}, "J; A"},
	} {
		p := good
		row.edit(&p)
		if got := p.lacks(all); got != row.missing {
			t.Errorf("%s: lacks %v, want %v", name, got, row.missing)
		}
		if why := p.why(all); !strings.Contains(why, row.why) || (why == "") != (row.why == "") {
			t.Errorf("%s: got %q", name, why)
		}
		if got := p.lacks(policy.Demand{}); !got.IsZero() {
			t.Errorf("%s: who asks for nothing lacks %v", name, got)
		}
	}
}

func TestNewProvable(t *testing.T) {
	t.Parallel()
	primary := upstream.Info{Up: true, Role: "master", Server: "valkey", Version: "8.0.1",
		VersionNum: 80001, AppendOnly: true, AppendFsync: "everysec", LastAOFWrite: "ok",
		Replicas: []upstream.Replica{{Port: 6380, State: "online"}, {State: "online"}}}
	p := newProvable(&primary, nil)
	if p.server.is() || p.replicas != 1 || !strings.Contains(p.journal.why, "journal.dir") ||
		!strings.Contains(p.aof.why, "appendfsync always") {
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
		if p := newProvable(&i, nil); !strings.Contains(p.server.why, want) {
			t.Errorf("%s: got %q", want, p.server.why)
		}
	}
}

// The seconds during which a proof could not be had are those during which somebody asked for it.
func TestProverCountsUnavailability(t *testing.T) {
	t.Parallel()
	p, at := newProver(), time.Unix(1000, 0)
	step := func(now *provable, after time.Duration) {
		at = at.Add(after)
		p.now.Store(now)
		p.account(at)
	}
	p.setRoutes([]*policy.Route{{Spec: policy.RouteSpec{Demand: policy.Demand{Replicas: 1}}}})
	p.kinds[0].since = at // the server was not asked yet
	step(&provable{replicas: 1}, 2*time.Second)
	step(&provable{}, 10*time.Second)
	step(&provable{}, time.Second)
	step(&provable{replicas: 3}, 2*time.Second)
	got := p.snapshot()
	if len(got) != 1 || got[0].Kind != "replicas 1" || !got[0].Available ||
		got[0].Unavailable != 5*time.Second {
		t.Errorf("got %+v, want replicas 1, available, 5s", got)
	}
	step(&provable{}, time.Second)
	if got := p.snapshot(); got[0].Available || got[0].Unavailable <= 5*time.Second {
		t.Errorf("while it is away: got %+v", got)
	}
	p.setRoutes(nil)
	if got := p.snapshot(); len(got) != 0 {
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
	p := newProver()
	route := func(name string, d policy.Demand, pass bool) *policy.Route {
		return &policy.Route{Spec: policy.RouteSpec{Name: name, Demand: d, PassUnavailable: pass}}
	}
	replica, journal := policy.Demand{Replicas: 1}, policy.Demand{Journal: true}
	routes := []*policy.Route{route("a", replica, false), route("ok", journal, false),
		route("b", replica, true)}
	for _, name := range []string{"c", "d", "e", "f", "g", "h"} {
		routes = append(routes, route(name, replica, false))
	}
	p.setRoutes(routes)
	p.now.Store(&provable{})
	want := "route a, c, d, e, f and 2 more: writes are refused: 0 of 1 replicas are online\n" +
		"route b: writes are not proven: 0 of 1 replicas are online"
	if got := strings.Join(p.troubles(), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	p.now.Store(&provable{replicas: 1})
	if got := p.troubles(); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}
