package admin

import (
	"context"
	"fmt"
)

var routeCommands = []*command{
	{name: "SHOW ROUTES", args: "[JSON]", max: 1, run: showRoutes,
		help: "what is acknowledged only when it is proven, and whether it can be"},
	{name: "SHOW GATE", args: "[JSON]", help: "fences, by kind, and the replies that wait for them",
		max: 1, run: showGate},
}

func showRoutes(ctx context.Context, c *client, args []string) (reply, error) {
	list, err := c.server.backend.Routes(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		r := &list[i]
		r.Keys, r.Users = notNil(r.Keys), notNil(r.Users)
		r.Listeners, r.Databases = notNil(r.Listeners), notNil(r.Databases)
	}
	return show(args, notNil(list), routeLines)
}

func routeLines(list []Route) []string {
	if len(list) == 0 {
		return []string{"no routes: a write is acknowledged when the server has executed it"}
	}
	t := table{head: []string{"ROUTE", "DEMAND", "TIMEOUT", "ON-TIMEOUT", "IF-UNAVAILABLE", "HELD", "CONFIRMED",
		"UNCONFIRMED", "LATE", "PASSED", "REJECTED", "P50", "P99", "AVAILABLE"}}
	for i := range list {
		r := &list[i]
		t.row(r.Name, r.Demand, r.Timeout, r.OnTimeout, r.Unavailable, r.Held, r.Confirmed,
			r.Unconfirmed, r.Late, r.Passed, r.Rejected, r.HoldP50, r.HoldP99,
			available(r.Available, r.Why))
	}
	return t.lines()
}

func available(yes bool, why string) string {
	if yes {
		return "yes"
	}
	return "NO: " + why
}

func showGate(ctx context.Context, c *client, args []string) (reply, error) {
	list, err := c.server.backend.Fences(ctx)
	if err != nil {
		return nil, err
	}
	return show(args, notNil(list), fenceLines)
}

func fenceLines(list []Fences) []string {
	if len(list) == 0 {
		return []string{"no fences: no route asks for a proof"}
	}
	t := table{head: []string{"KIND", "IN-FLIGHT", "WAITING", "OLDEST", "FENCES", "FAILED", "PROVEN",
		"PER-FENCE", "P50", "P99", "UNAVAILABLE", "AVAILABLE"}}
	for i := range list {
		f := &list[i]
		state := available(f.Available, f.Why)
		if !f.Asked {
			state = "no route asks for just this now"
		}
		t.row(f.Kind, f.InFlight, f.Waiting, f.Oldest, f.Rounds, f.Rounds-f.Outcomes["proven"],
			f.Proven, fmt.Sprintf("%.1f", f.Share()), f.RoundP50, f.RoundP99, f.Unavailable, state)
	}
	return t.lines()
}
