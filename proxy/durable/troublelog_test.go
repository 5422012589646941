package durable

import (
	"fmt"
	"testing"

	"holdfast/policy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/upstream"
)

func TestTroubleLog(t *testing.T) {
	t.Parallel()
	var lines proxytest.Log
	l := TroubleLog{Log: proxytest.Untimed(&lines)}
	routes := []*policy.Route{
		{Spec: policy.RouteSpec{Name: "a", Demand: policy.Demand{Replicas: 2, AOFLocal: true}}},
		{Spec: policy.RouteSpec{Name: "b", Demand: policy.Demand{AOFLocal: true}}},
	}
	up := func(edit func(*upstream.Info)) *upstream.Info {
		info := primaryOf(edit)
		info.Generation = 1
		return info
	}
	broken := func(i *upstream.Info) { i.AppendOnly, i.Replicas = false, nil }
	const replicas = `level=WARN msg="what routes demand cannot be proven now" routes=a ` +
		`demand="replicas 2" why="0 of 2 replicas are online" ` +
		`do="start 2 more replicas, each with REPLICAOF h 1"`
	const aof = `level=ERROR msg="what routes demand can never be proven like this" routes=%q ` +
		`demand="aof local" why="the append-only file is off: set appendonly yes" ` +
		`do="CONFIG SET appendonly yes"`
	step := func(when string, routes []*policy.Route, info *upstream.Info, want string) {
		t.Helper()
		l.Report(routes, info, true, "h:1")
		if got := lines.Take(); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", when, got, want)
		}
	}
	step("a server that was not seen", routes, &upstream.Info{}, "")
	step("at first", routes, up(broken), replicas+"\n"+fmt.Sprintf(aof, "a, b"))
	step("nothing new", routes, up(broken), "")
	step("it is down", routes, up(func(i *upstream.Info) { i.Up = false }), "")
	step("up again", routes, up(broken), "")
	step("replicas came", routes, up(func(i *upstream.Info) { i.AppendOnly = false }), "")
	step("and went", routes, up(broken), replicas)
	step("all is well", routes, up(nil), `level=INFO msg="everything that routes demand can be proven"`)
	step("still", routes, up(nil), "")
	step("no routes", nil, up(broken), "")
}

func TestNameRoutes(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]string{
		"a": {"a"}, "a, b": {"a", "b"}, "a, b, c, d, e and 2 more": {"a", "b", "c", "d", "e", "f", "g"},
	} {
		if got := nameRoutes(names); got != want {
			t.Errorf("%q: %q", names, got)
		}
	}
}
