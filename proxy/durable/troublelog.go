package durable

import (
	"fmt"
	"log/slog"
	"strings"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// TroubleLog logs which routes lack their proofs, once for as long as that lasts. One goroutine at a
// time may use it.
type TroubleLog struct {
	Log  *slog.Logger
	said map[string]bool // by routeGroup.key
}

// routeGroup is the routes that have the same trouble.
type routeGroup struct {
	Trouble
	names []string
}

func (g *routeGroup) key() string { return g.Part.String() + ": " + g.Why }

// Report checks the routes again. A server that is down or not seen yet is reported elsewhere, and
// its proofs are unknown.
func (l *TroubleLog) Report(routes []*policy.Route, info *upstream.Info, journal bool, at string) {
	if !info.Up || info.Generation == 0 {
		return
	}
	groups := groupTroubles(Troubles(routes, info, journal, at))
	said := map[string]bool{}
	for _, g := range groups {
		key := g.key()
		if said[key] = true; !l.said[key] {
			l.say(g)
		}
	}
	if len(l.said) > 0 && len(said) == 0 {
		l.Log.Info("everything that routes demand can be proven")
	}
	l.said = said
}

func (l *TroubleLog) say(g *routeGroup) {
	text, say := "what routes demand cannot be proven now", l.Log.Warn
	if g.Never {
		text, say = "what routes demand can never be proven like this", l.Log.Error
	}
	args := []any{"routes", nameRoutes(g.names), "demand", g.Part.String(), "why", g.Why}
	if len(g.Do) > 0 {
		args = append(args, "do", strings.Join(g.Do, "; "))
	}
	say(text, args...)
}

// groupTroubles merges the troubles that differ only in the route, in the order of the first.
func groupTroubles(troubles []Trouble) (groups []*routeGroup) {
	byKey := map[string]*routeGroup{}
	for _, t := range troubles {
		g := &routeGroup{Trouble: t}
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
