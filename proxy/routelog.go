package proxy

import (
	"fmt"
	"log/slog"
	"strings"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// routeLog logs which routes lack their proofs, once for as long as that lasts. Its owner makes
// sure that one goroutine uses it at a time.
type routeLog struct {
	log  *slog.Logger
	said map[string]bool // by routeGroup.key
}

// routeGroup is the routes that have the same trouble.
type routeGroup struct {
	RouteTrouble
	names []string
}

func (g *routeGroup) key() string { return g.Part.String() + ": " + g.Why }

// report checks the routes again. A server that is down or not seen yet is reported elsewhere, and
// its proofs are unknown.
func (l *routeLog) report(routes []*policy.Route, info *upstream.Info, journal bool, at string) {
	if !info.Up || info.Generation == 0 {
		return
	}
	groups := groupTroubles(RouteTroubles(routes, info, journal, at))
	said := map[string]bool{}
	for _, g := range groups {
		key := g.key()
		if said[key] = true; !l.said[key] {
			l.say(g)
		}
	}
	if len(l.said) > 0 && len(said) == 0 {
		l.log.Info("everything that routes demand can be proven")
	}
	l.said = said
}

func (l *routeLog) say(g *routeGroup) {
	text, say := "what routes demand cannot be proven now", l.log.Warn
	if g.Never {
		text, say = "what routes demand can never be proven like this", l.log.Error
	}
	args := []any{"routes", nameRoutes(g.names), "demand", g.Part.String(), "why", g.Why}
	if len(g.Do) > 0 {
		args = append(args, "do", strings.Join(g.Do, "; "))
	}
	say(text, args...)
}

// groupTroubles merges the troubles that differ only in the route, in the order of the first.
func groupTroubles(troubles []RouteTrouble) (groups []*routeGroup) {
	byKey := map[string]*routeGroup{}
	for _, t := range troubles {
		g := &routeGroup{RouteTrouble: t}
		if first := byKey[g.key()]; first != nil {
			g = first
		} else {
			byKey[g.key()] = g
			groups = append(groups, g)
		}
		g.names = append(g.names, t.Route.Spec.Name)
	}
	return groups
}

// routesShown is the number of routes named for one trouble.
const routesShown = 5

// nameRoutes lists names for a line of text.
func nameRoutes(names []string) string {
	text := strings.Join(names[:min(len(names), routesShown)], ", ")
	if more := len(names) - routesShown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// reportRoutes is routeLog.report for the routes in force. With mu held.
func (srv *Server) reportRoutes(r *rules, info *upstream.Info) {
	srv.routeLog.report(r.routes.All(), info, srv.current.Journal.Dir != "",
		srv.current.Upstream.Address)
}
