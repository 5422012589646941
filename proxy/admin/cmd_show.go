package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// defaultLimit of SHOW SESSIONS: a screen or two.
const defaultLimit = 100

var showCommands = []*command{
	{name: "SHOW", help: "list what can be shown, as HELP does", quiet: true, run: help},
	{name: "SHOW HELP", help: "the same as HELP, which redis-cli keeps for itself",
		max: 0, quiet: true, run: help},
	{name: "SHOW STATS", args: "[JSON]", help: "totals since the start, and the state now",
		max: 1, run: showStats},
	{name: "SHOW SESSIONS", args: "[LIMIT n] [MATCH pattern] [JSON]",
		help: "client connections", max: 5, run: showSessions},
	{name: "SHOW UPSTREAM", args: "[JSON]", max: 1, run: showUpstream,
		help: "the server, its replicas, the sentinels, and the failovers that were followed"},
	{name: "SHOW LINKS", args: "[JSON]", help: "upstream connections", max: 1, run: showLinks},
	{name: "SHOW RULES", args: "[JSON]", max: 1, run: showRules,
		help: "rules in force, with their hits (DONE: trashed, rewritten or held for approval)"},
	{name: "SHOW JOURNAL", args: "[JSON]", max: 1, run: showJournal,
		help: "what the journal holds, and how it follows the server"},
	{name: "SHOW TIMELINES", args: "[JSON]", help: "histories in the journal",
		max: 1, run: showTimelines},
	{name: "SHOW INCIDENTS", args: "[JSON]", help: "what the server lost, or may have lost, and the command to run",
		max: 1, run: showIncidents},
	{name: "SHOW EVENTS", args: "[JSON]", max: 1, run: showEvents,
		help: "flushes and the like, and the command that restores the moment before"},
	{name: "SHOW CONFIG", args: "[JSON]", help: "configuration in force, secrets redacted",
		max: 1, run: showConfig},
}

// cutJSON takes the word JSON, or --json as the command line has it, from the end of args.
func cutJSON(args []string) (rest []string, ok bool) {
	if n := len(args); n > 0 {
		if last := args[n-1]; strings.EqualFold(last, "JSON") || strings.EqualFold(last, "--json") {
			return args[:n-1], true
		}
	}
	return args, false
}

// show answers with v as JSON if args ask for it, else as text.
func show[T any](args []string, v T, text func(T) []string) (reply, error) {
	rest, asJSON := cutJSON(args)
	if len(rest) > 0 {
		return nil, errSyntax
	}
	if asJSON {
		return jsonReply(v)
	}
	return lines(text(v)), nil
}

func showSessions(ctx context.Context, c *client, args []string) (reply, error) {
	args, asJSON := cutJSON(args)
	q, err := parseQuery(args)
	if err != nil {
		return nil, err
	}
	list, total, err := c.server.backend.Sessions(ctx, q)
	if err != nil {
		return nil, err
	}
	if asJSON {
		return jsonReply(struct {
			Sessions []Session `json:"sessions"`
			Total    int       `json:"total"`
		}{notNil(list), total})
	}
	return lines(sessionLines(list, total)), nil
}

func parseQuery(args []string) (SessionQuery, error) {
	q := SessionQuery{Limit: defaultLimit}
	for len(args) > 0 {
		if len(args) < 2 {
			return q, errSyntax
		}
		switch strings.ToUpper(args[0]) {
		case "LIMIT":
			n, err := parseLimit(args[:2])
			if err != nil {
				return q, err
			}
			q.Limit = n
		case "MATCH":
			q.Match = args[1]
		default:
			return q, errSyntax
		}
		args = args[2:]
	}
	return q, nil
}

// parseLimit reads LIMIT n.
func parseLimit(args []string) (int, error) {
	if len(args) != 2 || !strings.EqualFold(args[0], "LIMIT") {
		return 0, errSyntax
	}
	n, err := strconv.Atoi(args[1])
	if err != nil || n < 0 {
		return 0, errLimit
	}
	return n, nil
}

// sessionLines shows the fields that fit a wide terminal; JSON has the rest.
func sessionLines(list []Session, total int) []string {
	t := table{head: []string{"ID", "ADDRESS", "USER", "NAME", "RESP", "DB", "AGE", "IDLE",
		"STATE", "LINK", "LAST", "COMMANDS", "WAITING", "IN", "OUT"}}
	for i := range list {
		s := &list[i]
		state := s.State
		if s.Paused {
			state = strings.TrimSpace(state + " paused")
		}
		t.row(s.ID, s.Addr, s.User, s.Name, s.Protocol, s.DB, s.Age, s.Idle, state, ref(s.Link),
			s.LastCommand, s.Commands, s.Outstanding, size(s.InputBuffer), size(s.OutputBuffer))
	}
	text := counted(total, "session")
	if len(list) < total {
		text = fmt.Sprintf("%d of %s; LIMIT 0 shows all", len(list),
			counted(total, "session"))
	}
	if len(list) == 0 {
		return []string{text}
	}
	return append(t.lines(), text)
}

func showLinks(ctx context.Context, c *client, args []string) (reply, error) {
	list, err := c.server.backend.Links(ctx)
	if err != nil {
		return nil, err
	}
	return show(args, notNil(list), linkLines)
}

func linkLines(list []Link) []string {
	t := table{head: []string{"ID", "KIND", "STATE", "USER", "RESP", "DB", "LOCAL", "SERVER-ID",
		"AGE", "IDLE", "SESSIONS", "SESSION", "COMMANDS", "WAITING", "QUEUED"}}
	for i := range list {
		l := &list[i]
		t.row(l.ID, l.Kind, l.State, l.User, l.Protocol, l.DB, l.LocalAddr,
			ref(max(l.ServerID, 0)), l.Age, l.Idle, l.Sessions, ref(l.Session), l.Commands,
			l.Outstanding, size(l.Queued))
	}
	text := counted(len(list), "link")
	if len(list) == 0 {
		return []string{text}
	}
	return append(t.lines(), text)
}

func showRules(ctx context.Context, c *client, args []string) (reply, error) {
	list, err := c.server.backend.Rules(ctx)
	if err != nil {
		return nil, err
	}
	return show(args, notNil(list), ruleLines)
}

func ruleLines(list []Rule) []string {
	if len(list) == 0 {
		return []string{"no rules: every command passes"}
	}
	t := table{head: []string{"RULE", "ACTION", "ENFORCEMENT", "DONE", "ALLOWED", "DENIED",
		"THROTTLED", "OBSERVED", "COMMANDS"}}
	for i := range list {
		r := &list[i]
		what := strings.Join(r.Commands, " ")
		if len(r.Except) > 0 {
			what += " except " + strings.Join(r.Except, " ")
		}
		t.row(r.Name, r.Action, r.Enforcement, r.Rewritten+r.Trashed+r.Held, r.Allowed+r.Approved,
			r.Denied, r.Throttled, r.Observed, what)
	}
	return t.lines()
}

func showConfig(ctx context.Context, c *client, args []string) (reply, error) {
	list, err := c.server.backend.Config(ctx)
	if err != nil {
		return nil, err
	}
	return show(args, notNil(list), configLines)
}

func configLines(list []Setting) []string {
	t := table{head: []string{"KEY", "VALUE", "FROM"}}
	for _, s := range list {
		from := "file"
		if s.Default {
			from = "default"
		}
		t.row(s.Key, s.Value, from)
	}
	return t.lines()
}

func showStats(ctx context.Context, c *client, args []string) (reply, error) {
	s, err := c.server.backend.Stats(ctx)
	if err != nil {
		return nil, err
	}
	s.NotReady, s.Latency = notNil(s.NotReady), notNil(s.Latency)
	s.Degraded = notNil(s.Degraded)
	s.Upstream.fill()
	return show(args, s, statsLines)
}

func statsLines(s *Stats) []string {
	var p pairs
	p.add("holdfast", "version %s, pid %d, up %s", Clean(s.Version), s.PID, Duration(s.Uptime))
	p.add("workers", "%d, %s", s.Workers, s.Driver)
	p.add("state", "%s", stateText(s))
	for _, line := range s.Degraded {
		p.add("degraded", "%s", Clean(line))
	}
	p.add("upstream", "%s", upstreamText(&s.Upstream))
	if o := s.Upstream.Outage; o != nil {
		p.add("outage", "%s", outageText(o))
	}
	p.add("sessions", "%d now (%d paused), %d accepted", s.Sessions, s.SessionsPaused,
		s.SessionsAccepted)
	p.add("links", "%d shared, %d pinned (%d busy, %d idle), %d connecting, %d broken so far",
		s.LinksShared, s.LinksPinnedBusy+s.LinksPinnedIdle, s.LinksPinnedBusy, s.LinksPinnedIdle,
		s.LinksConnecting, s.LinksBroken)
	p.add("commands", "%d (%d errors, %d denied, %d answered here, %d -UPSTREAM), %d waiting",
		s.Commands, s.CommandsError, s.CommandsDenied, s.CommandsLocal, s.CommandsUpstream,
		s.Outstanding)
	p.add("observed", "%d would have been denied", s.CommandsObserved)
	p.add("protocol errors", "%d", s.ProtocolErrors)
	p.add("client bytes", "%s in, %s out, %s buffered", byteSize(s.ClientBytesIn),
		byteSize(s.ClientBytesOut), size(s.ClientBufferBytes))
	p.add("upstream bytes", "%s in, %s out, %s buffered", byteSize(s.UpstreamBytesIn),
		byteSize(s.UpstreamBytesOut), size(s.LinkBufferBytes))
	out := p.lines()
	if len(s.Latency) == 0 {
		return out
	}
	t := table{head: []string{"CLASS", "COMMANDS", "MEAN", "P50", "P99", "P99.9"}}
	for _, l := range s.Latency {
		t.row(l.Class, l.Count, l.Mean, l.P50, l.P99, l.P999)
	}
	return append(out, t.lines()...)
}

func stateText(s *Stats) string {
	switch {
	case s.Draining:
		return "draining"
	case len(s.NotReady) > 0:
		return "not ready: " + Clean(strings.Join(s.NotReady, "; "))
	default:
		return "ready"
	}
}

func upstreamText(u *Upstream) string {
	what := Clean(strings.TrimSpace(u.Server + " " + u.Version + " " + u.Role))
	if what == "" {
		what = "not seen yet"
	}
	if u.Up {
		return fmt.Sprintf("%s, %s, up for %s", u.Address, what, Duration(u.Since))
	}
	text := fmt.Sprintf("%s, %s, DOWN for %s", u.Address, what, Duration(u.Since))
	if u.Error != "" {
		text += ": " + Clean(u.Error)
	}
	return text
}

func outageText(o *Outage) string {
	text := fmt.Sprintf("no connection for %s: %s", Duration(o.For), Clean(o.Why))
	if o.Next > 0 {
		text += "; next attempt in " + Duration(o.Next)
	} else {
		text += "; next attempt with the next command"
	}
	if o.Left > 0 {
		text += fmt.Sprintf("; %d commands wait, for %s at most", o.Held, Duration(o.Left))
	}
	return text
}

// pairs are lines of a name and a text.
type pairs struct{ t table }

func (p *pairs) add(name, format string, args ...any) {
	p.t.rows = append(p.t.rows, []string{name, Clean(fmt.Sprintf(format, args...))})
}

func (p *pairs) lines() []string { return p.t.lines() }

func size(n int64) byteSize { return byteSize(max(n, 0)) }

// notNil keeps JSON from showing an empty list as null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func help(context.Context, *client, []string) (reply, error) {
	t := table{head: []string{"COMMAND", "WHAT IT DOES"}}
	for _, c := range commands {
		if !c.quiet {
			t.row(c.usage(), c.help)
		}
	}
	return lines(t.lines()), nil
}
