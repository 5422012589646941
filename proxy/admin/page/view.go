package page

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/journal/quantity"
	"holdfast/proxy/admin"
	"holdfast/proxy/audit"
)

// query is a reader's choice of content.
type query struct {
	Who  string // text in the lines of the audit log
	From int    // first entry of single keys in the trash
	At   string // a moment, as typed
}

const maxQuery = 100 // bytes of a field

func queryOf(r *http.Request) (q query) {
	v := r.URL.Query()
	q.Who, q.At = limited(v.Get("who")), limited(v.Get("at"))
	if n, err := strconv.Atoi(v.Get("from")); err == nil && n > 0 && n < 1<<40 {
		q.From = n
	}
	return q
}

func limited(s string) string { return strings.TrimSpace(s[:min(len(s), maxQuery)]) }

// view is the templates' data.
type view struct {
	viewer
	*state
	Query  query
	Health health
	Line   line
	Moment *moment // that Query.At names
	Notice notice
	Stream string // the address of the updates
}

// view makes the page's content for one reader.
func (p *Page) view(ctx context.Context, who viewer, q query, maxAge time.Duration) (*view, error) {
	st, err := p.source.get(ctx, maxAge)
	if err != nil {
		return nil, err
	}
	v := &view{viewer: who, state: st, Query: q, Health: healthOf(st), Line: lineOf(st)}
	if own, special := p.ownState(ctx, st, who, q); special {
		v.state = own
	}
	if q.At != "" {
		v.Moment = v.Line.at(q.At, st)
	}
	v.Stream = streamAddress(q)
	return v, nil
}

// chosen adds the preview of the place that the reader has chosen.
func (v *view) chosen(s Spot, p part[*Preview]) {
	if m := v.Moment; m != nil && len(m.Runs) > 0 {
		m.Facts = factsOf(s, p, v.state)
	}
}

// ownState is a copy of a state with what this reader alone asks for.
func (p *Page) ownState(ctx context.Context, st *state, who viewer, q query) (*state, bool) {
	if !who.Names || q.Who == "" && q.From == 0 {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	own := *st
	if q.Who != "" {
		own.Audit = answer(p.source, ctx, func(ctx context.Context) (*audit.Tail, error) {
			return p.backend.AuditTail(ctx, audit.Query{Limit: auditRows, Text: q.Who})
		})
	}
	if q.From > 0 {
		own.Trash = answer(p.source, ctx, func(ctx context.Context) (*Trash, error) {
			return p.backend.TrashPage(ctx, q.From, trashRows)
		})
	}
	return &own, true
}

// health says whether all is well.
type health struct {
	Level string // "good", "warn", "bad"
	Title string
	Lines []string // the reasons
}

func healthOf(st *state) health {
	s := st.Stats.V
	switch {
	case s == nil:
		return health{"bad", "The proxy does not answer", []string{st.Stats.Err}}
	case s.Draining:
		return health{"bad", "Draining: no new clients, and this process ends", s.NotReady}
	case len(s.NotReady) > 0:
		return health{"bad", "Not ready: traffic should not come here", slices.Concat(s.NotReady, s.Degraded)}
	}
	refusing := 0
	for i := range st.Routes.V {
		if routeState(&st.Routes.V[i]).Level == "bad" {
			refusing++
		}
	}
	switch {
	case refusing > 0:
		return health{"bad", counted(int64(refusing), "route") + " refusing writes", s.Degraded}
	case len(s.Degraded) > 0:
		return health{"warn", "Degraded: traffic passes, and something needs attention", s.Degraded}
	}
	return health{Level: "good", Title: "All is well"}
}

// condition is the state of one thing in a word, with the reason.
type condition struct{ Level, Word, Why string }

func routeState(r *admin.Route) condition {
	switch {
	case r.Available:
		return condition{"good", "proven", ""}
	case r.Unavailable == "pass":
		return condition{"warn", "degraded: writes pass without the proof", r.Why}
	}
	return condition{"bad", "refusing writes", r.Why}
}

func upstreamState(u *admin.Upstream) condition {
	if u.Up {
		return condition{"good", "up for " + admin.Duration(u.Since), ""}
	}
	why := u.Error
	if u.Outage != nil {
		why = cmp.Or(u.Outage.Why, why)
	}
	return condition{"bad", "down for " + admin.Duration(u.Since), why}
}

// budgetRows is the number of users, addresses or sessions shown of a budget.
const budgetRows = 5

// fullest returns those with the most deletes, the closed ones first.
func fullest(list []admin.Breaker) []admin.Breaker {
	slices.SortStableFunc(list, func(x, y admin.Breaker) int {
		return cmp.Or(cmp.Compare(y.Open, x.Open), cmp.Compare(y.Deleted, x.Deleted))
	})
	return slices.Clone(list[:min(len(list), budgetRows)])
}

// acted is the number of commands on which a rule acted otherwise than by a refusal.
func acted(r *admin.Rule) uint64 { return r.Rewritten + r.Trashed + r.Held }

// nameBytes bounds the length of a name on the page.
const nameBytes = 300

// name makes a client's text fit to be shown.
func name(s string) string {
	if len(s) > nameBytes {
		s = s[:nameBytes] + "…"
	}
	return admin.Clean(s)
}

// counted is a number with its noun.
func counted(n int64, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "ry"): // entry
		return quantity.Grouped(n) + " " + strings.TrimSuffix(noun, "y") + "ies"
	}
	return quantity.Grouped(n) + " " + noun + "s"
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

func machineTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
