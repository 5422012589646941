package recorder

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"holdfast/journal"
	"holdfast/proxy/admin"
)

// Consequences of a verdict of the journal's (journal/tap/verdict.go). An incident is open until
// the server's history contains its writes again, or a person acknowledges it. The journal records
// both, so that a restart of the proxy changes nothing. While an incident with Hold is open, routes
// that demand the journal have no proof: they would promise that nothing is lost, on top of a loss.

// incidentShown is how long readiness reports an incident for which no route waits.
const incidentShown = 24 * time.Hour

// Reasons for refusing routes that demand the journal after an incident; part of a -NODURABLE.
const (
	heldLost = "the server lost writes that the journal holds; SHOW INCIDENTS on the console says " +
		"what to do"
	heldQuestion = "whether the server lost writes that the journal holds is in question; SHOW " +
		"INCIDENTS on the console says what to do"
)

// heldBack says why an incident denies routes their proof; "": none does. It takes no lock.
func (r *Recorder) heldBack() string {
	i := r.journal.Load().Held()
	switch {
	case i == nil || r.goOn.Load():
		return ""
	case i.IsLoss():
		return heldLost
	}
	return heldQuestion
}

// incidents describes the open incidents for readiness: those that concern the whole deployment
// (grave), or the others.
func (r *Recorder) incidents(grave bool) (out []string) {
	for _, i := range r.journal.Load().Incidents() {
		shown := i.Hold || time.Since(i.Time) < incidentShown
		judged := i.Verdict != "" || !i.Replaced
		if i.Open() && judged && shown && grave == (i.Hold || i.IsLoss()) {
			out = append(out, "journal: "+incidentText(&i)+"; see SHOW INCIDENTS")
		}
	}
	return out
}

func incidentText(i *journal.Incident) string {
	where := fmt.Sprintf("timeline %d, offsets %d to %d", i.Timeline, i.From, i.To)
	switch {
	case !i.IsLoss():
		return fmt.Sprintf("whether the server lost writes is in question (%s): %s", where, i.Why)
	case i.Commands < 0:
		return fmt.Sprintf("the server lost writes that the journal holds (%s)", where)
	}
	return fmt.Sprintf("the server lost %d commands that the journal holds (%s)", i.Commands, where)
}

// acknowledge closes the open incidents.
func (r *Recorder) acknowledge(ctx context.Context) error {
	j := r.journal.Load()
	for _, i := range j.Incidents() {
		if i.Open() {
			if err := j.CloseIncident(ctx, i, "acknowledged"); err != nil {
				return err
			}
		}
	}
	r.notify()
	return nil
}

// remedy is the command that settles an incident or brings the data back.
func (r *Recorder) remedy(i *journal.Incident) string {
	if !i.Open() {
		return ""
	}
	return fmt.Sprintf("proxy repair --config %s --incident %d", cmp.Or(r.options().Config, "FILE"), i.N)
}

// Incidents implements admin.JournalBackend.
func (c Console) Incidents(context.Context) ([]admin.Incident, error) {
	if c.recorder == nil {
		return nil, admin.ErrNoJournal
	}
	var out []admin.Incident
	for _, i := range c.recorder.journal.Load().Incidents() {
		run := c.recorder.remedy(&i)
		i.Hold = i.Hold && !c.recorder.goOn.Load()
		out = append(out, admin.Incident{N: i.N,
			Timeline: uint32(i.Timeline), From: i.From, To: i.To, Commands: i.Commands,
			First: i.FirstTime, Last: i.LastTime, Noticed: i.Time, Why: i.Why,
			Replaced: i.Replaced, Verdict: string(i.Verdict), Least: max(i.From, i.Least),
			Most: i.Most, Keys: i.Keys, Hold: i.Hold, Closed: i.Closed, How: i.How, State: i.State(),
			Run: run,
		})
	}
	return out, nil
}

// AcknowledgeIncidents implements admin.JournalBackend.
func (c Console) AcknowledgeIncidents(ctx context.Context) error {
	if c.recorder == nil {
		return admin.ErrNoJournal
	}
	return c.recorder.acknowledge(ctx)
}
