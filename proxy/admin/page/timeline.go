package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/proxy/admin"
)

// The numbers of moments shown of each kind: the newest.
const (
	maxEvents    = 40
	maxIncidents = 20
	maxGaps      = 20
	maxBases     = 40
)

// A moment is a mark on the timeline.
type moment struct {
	ID    string // in the page
	Kind  string // "base", "event", "incident", "gap", "now", "chosen"
	At    time.Time
	X     string // place on the axis in percent
	Title string
	Notes []string
	Runs  []run
	Spot  string // the query that asks for its preview; "": there is none
	Facts []fact // the preview of the chosen one

	Repairable bool // an incident that REPAIR can settle
}

// A run is a command to copy, and what it does.
type run struct{ What, Command string }

// line is the timeline of the journal.
type line struct {
	None     string    // why there is none
	From, To time.Time // the ends of the axis
	Moments  []moment  // newest first
	Omitted  []string  // older ones of each kind, and where they are listed
	Problems []string
}

func lineOf(st *state) (l line) {
	if st.Journal.V == nil {
		return line{None: st.Journal.Err}
	}
	l.To = st.At
	dir := admin.ShellWord(st.Journal.V.Dir)
	l.add(momentsOf(&st.Events, &l, maxEvents, "event", "SHOW EVENTS", func(e *admin.Event) moment {
		return eventMoment(e, dir, st.Stats.V)
	}))
	l.add(momentsOf(&st.Incidents, &l, maxIncidents, "incident", "SHOW INCIDENTS", incidentMoment))
	if h := st.History.V; h != nil {
		gaps, bases := part[[]Gap]{V: h.Gaps}, part[[]admin.Base]{V: h.Bases}
		l.add(momentsOf(&gaps, &l, maxGaps, "gap", "proxy journal ls --dir "+dir, func(g *Gap) moment {
			return gapMoment(g, dir)
		}))
		l.add(momentsOf(&bases, &l, maxBases, "snapshot", "proxy journal ls --dir "+dir, func(b *admin.Base) moment {
			return baseMoment(b, dir)
		}))
	} else {
		l.Problems = append(l.Problems, st.History.Err)
	}
	l.add([]moment{nowMoment(st, dir)})
	slices.SortStableFunc(l.Moments, func(a, b moment) int { return b.At.Compare(a.At) })
	l.place(st.Journal.V.Oldest)
	return l
}

func (l *line) add(list []moment) { l.Moments = append(l.Moments, list...) }

// momentsOf describes the newest entries of a list that is oldest first.
func momentsOf[T any](p *part[[]T], l *line, most int, noun, where string, describe func(*T) moment) (out []moment) {
	if p.Err != "" {
		l.Problems = append(l.Problems, p.Err)
	}
	list := p.V
	if n := len(list) - most; n > 0 {
		l.Omitted = append(l.Omitted, fmt.Sprintf("%s: %s", counted(int64(n), "older "+noun), where))
		list = list[n:]
	}
	for i := range list {
		out = append(out, describe(&list[i]))
	}
	return out
}

// place puts the moments on the axis, which begins with the oldest one or with what can be restored.
func (l *line) place(oldest time.Time) {
	l.From = l.To
	for i := range l.Moments {
		if at := l.Moments[i].At; at.Before(l.From) && !at.IsZero() {
			l.From = at
		}
	}
	if !oldest.IsZero() && oldest.Before(l.From) {
		l.From = oldest
	}
	span := max(l.To.Sub(l.From), time.Second)
	for i := range l.Moments {
		m := &l.Moments[i]
		m.X = fmt.Sprintf("%.2f%%", 1+98*min(1, max(0, float64(m.At.Sub(l.From))/float64(span))))
	}
}

func eventMoment(e *admin.Event, dir string, s *admin.Stats) moment {
	m := moment{ID: fmt.Sprintf("event-%d", e.N), Kind: "event", At: e.First, Spot: spotOf(e.Timeline, e.From, e.To),
		Title: fmt.Sprintf("Event %d: %s", e.N, name(e.What))}
	if e.Open {
		m.Title += " (so far)"
	}
	m.Notes = []string{
		"Keys before: " + cmp.Or(name(e.Before), "unknown") + ". After: " + cmp.Or(name(e.After), "unknown") + ".",
		"Last command: " + stamp(e.Last) + " UTC."}
	m.Runs = []run{{"Rebuild the moment before it in an empty server",
		fmt.Sprintf("proxy restore --dir %s --event %d --target ADDRESS", dir, e.N)}}
	switch {
	case e.Expired:
		m.Notes = append(m.Notes, "A restored key goes again if its deadline has passed. If the deadlines were a mistake, undo the "+
			"commands that set them (docs/journal.md#expired-keys).")
	case s != nil && s.Upstream.Address != "":
		m.Runs = append(m.Runs, run{"Bring the data back into this server, with every later write",
			fmt.Sprintf("proxy restore --dir %s --event %d --keep-later --force --target %s", dir, e.N,
				admin.ShellWord(s.Upstream.Address))})
	}
	return m
}

func incidentMoment(i *admin.Incident) moment {
	m := moment{ID: fmt.Sprintf("incident-%d", i.N), Kind: "incident", At: i.Noticed,
		Title: fmt.Sprintf("Incident %d: %s", i.N, name(i.State)), Repairable: repairable(i)}
	if i.Commands >= 0 {
		m.Spot = spotOf(i.Timeline, i.From, i.To)
		m.Notes = append(m.Notes, fmt.Sprintf("Writes from offset %d to %d of timeline %d: %s.", i.From, i.To,
			i.Timeline, counted(max(i.Commands, i.Most), "command")))
	}
	m.Notes = append(m.Notes, "Why: "+name(i.Why)+".")
	if i.Run != "" {
		m.Runs = []run{{"Settle it: compare key by key, and put back the lost writes", i.Run}}
	}
	return m
}

func gapMoment(g *Gap, dir string) moment {
	return moment{ID: fmt.Sprintf("gap-%d-%d", g.Timeline, g.From), Kind: "gap", At: g.Time, Title: "Gap: " + name(g.Why),
		Spot: spotOf(g.Timeline, g.From, 0),
		Notes: []string{fmt.Sprintf("The journal lacks the stream from offset %d to %d of timeline %d. No moment within "+
			"it can be rebuilt; the next snapshot ends it.", g.From, g.To, g.Timeline)},
		Runs: []run{{"Rebuild the last moment before it in an empty server", restoreTo(dir, g.Timeline, g.From, targetFlag)}}}
}

func baseMoment(b *admin.Base, dir string) moment {
	return moment{ID: fmt.Sprintf("base-%d-%d", b.Timeline, b.Offset), Kind: "base", At: b.Time,
		Title: "Snapshot of " + admin.Size(b.Size), Notes: []string{name(b.File)}, Spot: spotOf(b.Timeline, b.Offset, 0),
		Runs: []run{{"Rebuild this moment in an empty server", restoreTo(dir, b.Timeline, b.Offset, targetFlag)}}}
}

const targetFlag = "--target ADDRESS"

// restoreTo is the command for an offset.
func restoreTo(dir string, timeline uint32, offset int64, how string) string {
	return fmt.Sprintf("proxy restore --dir %s --timeline %d --to %d %s", dir, timeline, offset, how)
}

func nowMoment(st *state, dir string) moment {
	j := st.Journal.V
	m := moment{ID: "now", Kind: "now", At: st.At, Title: fmt.Sprintf("On disk up to offset %d of timeline %d", j.Durable,
		j.Timeline)}
	if n := j.Received - j.Durable; n > 0 {
		m.Title += fmt.Sprintf(", %s behind", counted(n, "byte"))
	}
	if !j.Restorable {
		m.Notes = append(m.Notes, "The present cannot be rebuilt yet: no snapshot leads to it.")
	}
	if h := st.History.V; h != nil {
		m.Notes = append(m.Notes, "Keys: "+h.Keys.words(st.Trash.V)+".")
	}
	m.Runs = []run{{"Rebuild the last byte on disk in an empty server",
		fmt.Sprintf("proxy restore --dir %s --end --target ADDRESS", dir)}}
	if s := st.Stats.V; s != nil && s.Config != "" {
		m.Runs = append(m.Runs, run{"The server is gone: continue on an empty one", fmt.Sprintf(
			"proxy recover --config %s --to redis://ADDRESS", admin.ShellWord(s.Config))})
	}
	return m
}

// momentForms are the forms of a typed moment, in UTC. RFC 3339 comes first.
var momentForms = []string{"2006-01-02 15:04:05.999", "2006-01-02T15:04:05.999", "2006-01-02 15:04", "2006-01-02T15:04"}

func parseMoment(text string) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, true
	}
	text = strings.TrimSuffix(strings.TrimSuffix(text, "Z"), " UTC")
	for _, form := range momentForms {
		if t, err := time.Parse(form, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// at describes a place that the reader has typed or clicked.
func (l *line) at(text string, st *state) *moment {
	s, ok := parseSpot(text)
	switch {
	case !ok:
		return &moment{ID: "chosen", Kind: "chosen", Title: "This is no time: " + name(text),
			Notes: []string{"Write it as 2026-03-01 14:03:05, in UTC."}}
	case s.Time.IsZero():
		return l.atOffset(s, st)
	}
	return l.atTime(s.Time, st)
}

// atOffset describes a mark, or another place between two commands.
func (l *line) atOffset(s Spot, st *state) *moment {
	m := &moment{ID: "chosen", Kind: "chosen", Title: fmt.Sprintf("Offset %d of timeline %d", s.Offset, s.Timeline)}
	j := st.Journal.V
	if j == nil {
		m.Notes = []string{st.Journal.Err}
		return m
	}
	dir := admin.ShellWord(j.Dir)
	m.Runs = []run{{lookFirst, restoreTo(dir, s.Timeline, s.Offset, "--dry-run")}}
	own := spotOf(s.Timeline, s.Offset, s.To)
	for i := range l.Moments {
		if o := &l.Moments[i]; o.Spot == own {
			m.Title, m.Notes, m.Runs = o.Title, o.Notes, append(m.Runs, o.Runs...)
			return m
		}
	}
	m.Runs = append(m.Runs, run{rebuild, restoreTo(dir, s.Timeline, s.Offset, targetFlag)})
	return m
}

const (
	lookFirst = "Look at it: the commands on either side; nothing is touched"
	rebuild   = "Rebuild it in an empty server"
)

func (l *line) atTime(t time.Time, st *state) *moment {
	m := &moment{ID: "chosen", Kind: "chosen", At: t, Title: "The moment " + stamp(t) + " UTC"}
	j := st.Journal.V
	switch {
	case j == nil:
		m.Notes = []string{st.Journal.Err}
		return m
	case j.Oldest.IsZero() || t.Before(j.Oldest):
		m.Notes = []string{"The journal does not reach back to it."}
		if !j.Oldest.IsZero() {
			m.Notes[0] += " The oldest moment that can be rebuilt is " + stamp(j.Oldest) + " UTC."
		}
		return m
	case t.After(st.At):
		m.Notes = []string{"It has not come yet."}
		return m
	}
	dir, to := admin.ShellWord(j.Dir), t.UTC().Format("2006-01-02T15:04:05.999Z")
	m.Runs = []run{
		{lookFirst, fmt.Sprintf("proxy restore --dir %s --to %s --dry-run", dir, to)},
		{rebuild, fmt.Sprintf("proxy restore --dir %s --to %s --target ADDRESS", dir, to)}}
	if s := st.Stats.V; s != nil && s.Config != "" {
		m.Runs = append(m.Runs, run{"Put back single keys, while clients go on", fmt.Sprintf(
			"proxy restore --config %s --keys 'PATTERN' --to %s --into live", admin.ShellWord(s.Config), to)})
	}
	for i := range l.Moments {
		if o := &l.Moments[i]; o.Kind == "event" && !o.At.After(t) {
			m.Notes = append(m.Notes, "It is after "+o.Title+", of "+stamp(o.At)+" UTC.")
			break
		}
	}
	return m
}
