package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/configs"
	"holdfast/policy"
	"holdfast/proxy/durable"
	"holdfast/proxy/upstream"
)

// checkRoutes compiles the routes; nil if they cannot be compiled or there are none.
func checkRoutes(r *report, c *configs.Config) []*policy.Route {
	routes, err := policy.NewRoutes(nil, routeSpecs(c))
	if err != nil {
		addErrors(r, located(c, err))
		return nil
	}
	return routes.All()
}

// checkRoutesFile reports the demands of the routes in the file, without asking the server.
func checkRoutesFile(r *report, c *configs.Config) {
	for _, route := range checkRoutes(r, c) {
		r.add(routeFinding(c, route, levelOK, fmt.Sprintf("demands %v", route.Spec.Demand)))
	}
}

// checkRoutesServer reports for each route whether the server can meet its demand now, and the
// settings to change if not. With trash, there is one.
func checkRoutesServer(
	ctx context.Context, r *report, c *configs.Config, u *upstream.Upstream, user string,
	info *upstream.Info, trash bool,
) {
	routes := checkRoutes(r, c)
	troubles := map[*policy.Route][]durable.Trouble{}
	all := durable.Troubles(routes, info, c.Journal.Dir != "", c.Upstream.Address.One())
	for _, t := range all {
		troubles[t.Route] = append(troubles[t.Route], t)
	}
	var demand policy.Demand
	for _, route := range routes {
		demand = demand.With(route.Spec.Demand)
		for _, t := range troubles[route] {
			r.add(troubleFinding(c, t))
		}
		if len(troubles[route]) == 0 {
			r.add(routeFinding(c, route, levelOK,
				fmt.Sprintf("demands %v, which can be proven now", route.Spec.Demand)))
		}
		checkRouteTimes(r, c, route, info)
		checkRouteDatabases(r, c, route, info)
	}
	if len(routes) == 0 {
		return
	}
	if sends(all, "CONFIG SET") {
		r.warn("routes", "CONFIG SET lasts until the server restarts: send CONFIG REWRITE after it, "+
			"or write the same into the server's configuration file")
	}
	checkFenceLogin(ctx, r, u, user, demand)
	if !trash { // the trash has a place of its own for the mark
		checkMark(ctx, r, c, u, info)
	}
}

// routeFinding is a finding about a route, with its place in the file.
func routeFinding(c *configs.Config, route *policy.Route, level, text string) finding {
	at := c.At(fmt.Sprintf("routes[%d]", route.Index), "")
	return finding{level, "routes", fmt.Sprintf("route %q %s", route.Spec.Name, text), at.File,
		at.Line, at.Column}
}

// troubleFinding fails a demand that the present setup can never meet, and warns of one that it may
// meet later.
func troubleFinding(c *configs.Config, t durable.Trouble) finding {
	level := levelWarn
	text := fmt.Sprintf("demands %v, which cannot be proven now: %s", t.Part, t.Why)
	if t.Never {
		level = levelFail
		text = fmt.Sprintf("demands %v, which can never be proven like this: %s", t.Part, t.Why)
	} else if t.Route.Spec.PassUnavailable {
		text += "; until then its writes are acknowledged without (when_unavailable: pass)"
	} else {
		text += "; until then its writes are refused"
	}
	if len(t.Do) > 0 {
		text += "; to change that: " + strings.Join(t.Do, "; ")
	}
	return routeFinding(c, t.Route, level, text)
}

// sends reports whether a remedy contains these words.
func sends(troubles []durable.Trouble, words string) bool {
	return slices.ContainsFunc(troubles, func(t durable.Trouble) bool {
		return slices.ContainsFunc(t.Do, func(do string) bool { return strings.Contains(do, words) })
	})
}

// everysec is how long the server's own fsync may take to come under appendfsync everysec, plus one
// that has just begun before it.
const everysec = 2 * time.Second

// checkRouteTimes warns of a timeout that is often too short for the proof.
func checkRouteTimes(r *report, c *configs.Config, route *policy.Route, info *upstream.Info) {
	s := &route.Spec
	ok, _ := info.AOFProof()
	if s.Demand.AOFLocal && ok && info.AppendFsync == "everysec" && s.Timeout < everysec {
		r.add(routeFinding(c, route, levelWarn, fmt.Sprintf("waits for at most %v, and under "+
			"appendfsync everysec an fsync comes within %v: set a longer timeout, or send "+
			"CONFIG SET appendfsync always", s.Timeout, everysec)))
	}
}

// checkRouteDatabases warns of databases that the server does not have.
func checkRouteDatabases(r *report, c *configs.Config, route *policy.Route, info *upstream.Info) {
	for _, db := range route.Spec.Databases {
		if info.Databases > 0 && db >= info.Databases {
			r.add(routeFinding(c, route, levelWarn, fmt.Sprintf("names database %d, and the server "+
				"has %d", db, info.Databases)))
		}
	}
}

// checkFenceLogin asks the server whether the control user may run the commands of the proofs, and
// shows how to grant them.
func checkFenceLogin(
	ctx context.Context, r *report, u *upstream.Upstream, user string, d policy.Demand,
) {
	var names, grants []string
	for _, words := range durable.Needs(d) {
		args := []any{"ACL", "DRYRUN", user}
		for _, word := range words {
			args = append(args, word)
		}
		reply, err := u.Do(ctx, args...)
		switch {
		case err != nil && strings.Contains(err.Error(), "not found"): // the server lacks it
		case err != nil:
			r.warn("routes", "whether the control user %s may do what proofs take is unknown: "+
				"ACL DRYRUN: %v", user, err)
			return
		case reply != "OK":
			names = append(names, words[0])
			grants = append(grants, grantsFor(ctx, u, user, words, fmt.Sprint(reply))...)
		}
	}
	if len(names) == 0 {
		r.ok("routes", "the control user %s may do what proofs take", user)
		return
	}
	r.fail("routes", "the control user %s may not run %s, without which nothing is proven: "+
		"ACL SETUSER %s %s", user, strings.Join(names, ", "), user, strings.Join(grants, " "))
}

// grantsFor lists the rights that an ACL lacks for a request that DRYRUN refuses in these words.
func grantsFor(
	ctx context.Context, u *upstream.Upstream, user string, words []string, refusal string,
) (grants []string) {
	if strings.Contains(refusal, "command") {
		name := strings.ToLower(words[0])
		if name == "config" {
			name += "|" + strings.ToLower(words[1])
		}
		grants = append(grants, "+"+name)
	}
	if words[0] == "SET" && (len(grants) == 0 || !reachesAllKeys(ctx, u, user)) {
		grants = append(grants, "~"+words[1])
	}
	return grants
}

// reachesAllKeys reports whether the user may use all keys: the server takes no pattern then. If
// its ACL cannot be read, the user is assumed to: missing rights show at the next run.
func reachesAllKeys(ctx context.Context, u *upstream.Upstream, user string) bool {
	reply, err := u.Do(ctx, "ACL", "GETUSER", user)
	fields, _ := reply.([]any)
	if err != nil {
		return true
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "keys" {
			text, _ := fields[i+1].(string)
			return slices.Contains(strings.Fields(text), "~*")
		}
	}
	return true
}

// checkMark warns of keys in the database that routes hide from clients, where there is no trash.
func checkMark(
	ctx context.Context, r *report, c *configs.Config, u *upstream.Upstream, info *upstream.Info,
) {
	db, ok := durable.MarkDatabase(routeSpecs(c), info)
	if !ok {
		return
	}
	reply, err := u.Do(ctx, "EVAL", durable.MarkLua, 2, durable.MarkKeys[0], durable.MarkKeys[1], db)
	keys, counted := reply.(int64)
	switch {
	case err != nil || !counted:
		r.warn("routes", "whether there are keys in database %d, which is hidden from clients for "+
			"the mark that proofs write, is unknown: %v", db, err)
	case keys > 0:
		r.warn("routes", "%s", durable.HiddenKeys(db, keys))
	}
}
