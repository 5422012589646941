package page

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"holdfast/proxy/admin"
)

// repairs are the kinds of repair that the form offers; the first one is chosen.
var repairs = []struct {
	choice
	request admin.RepairRequest
	words   string // of the console's command
}{
	{choice{"look", "Look only", "Compares, and lists what it would put back. Nothing is changed.", true},
		admin.RepairRequest{DryRun: true}, "DRYRUN"},
	{choice{"list", "Put back, and list conflicts", "A key that was written since keeps its value, and is listed. The incident " +
		"stays open while there is one.", false}, admin.RepairRequest{Conflicts: "list"}, "CONFLICTS list"},
	{choice{"skip", "Put back; newer writes win", "A key that was written since keeps its value.", false},
		admin.RepairRequest{Conflicts: "skip"}, "CONFLICTS skip"},
	{choice{"replace", "Put back; lost writes win", "A key that was written since gets the value that the journal has; those " +
		"writes are lost.", false}, admin.RepairRequest{Conflicts: "replace"}, "CONFLICTS replace"},
}

// incident finds an incident that a repair may settle.
func (p *Page) incident(ctx context.Context, form url.Values) (*admin.Incident, error) {
	n, err := strconv.Atoi(form.Get("incident"))
	if err != nil || n <= 0 {
		return nil, errors.New("there is no such incident")
	}
	list, err := p.backend.Incidents(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].N == n && repairable(&list[i]) {
			return &list[i], nil
		}
	}
	return nil, fmt.Errorf("incident %d is not open: it was settled, or the journal does not hold it any more", n)
}

// repairable reports whether REPAIR can settle an incident.
func repairable(i *admin.Incident) bool { return i.Closed.IsZero() && i.Run != "" }

func (p *Page) planRepair(ctx context.Context, form url.Values) (*plan, error) {
	i, err := p.incident(ctx, form)
	if err != nil {
		return nil, err
	}
	lines := []string{fmt.Sprintf("Incident %d: %s, noticed at %s UTC. Why: %s.", i.N, name(i.State), stamp(i.Noticed), name(i.Why))}
	if i.Commands >= 0 {
		lines = append(lines, fmt.Sprintf("The server may lack %s, from offset %d to %d of timeline %d.",
			counted(max(i.Commands, i.Most), "command"), i.From, i.To, i.Timeline))
	}
	out := &plan{Title: fmt.Sprintf("Repair incident %d?", i.N), Button: "Begin", Danger: true, Legend: "What the repair may do",
		Fields: []field{{"incident", strconv.Itoa(i.N)}},
		Lines: append(lines, "The server's keys are compared with the journal, and what it lost is put back, while clients go on. "+
			"A server without a client's write since is fed its lost commands instead: for some milliseconds writes get -READONLY.",
			"It runs in the background. The page shows its progress, and the audit log has its beginning and its end.")}
	for _, r := range repairs {
		out.Choices = append(out.Choices, r.choice)
	}
	return out, nil
}

func (p *Page) repair(ctx context.Context, form url.Values, by string) (string, error) {
	i, err := p.incident(ctx, form)
	if err != nil {
		return "", err
	}
	for _, r := range repairs {
		if r.Value != form.Get("how") {
			continue
		}
		q := r.request
		q.Incident, q.Operator = i.N, by
		command := fmt.Sprintf("REPAIR %d %s", i.N, r.words)
		err := p.backend.Repair(ctx, q)
		p.note("repair", command, by, "OK, it runs", err)
		return fmt.Sprintf("%s: it runs; its progress is below the timeline.", command), err
	}
	return "", errors.New("this form names no kind of repair")
}

// repairState is the state of a repair in a word, with its progress.
func repairState(r *admin.Repair) condition {
	switch keys := counted(r.Keys, "key"); {
	case r.Running:
		return condition{"plain", "runs", fmt.Sprintf("%s: %s, for %s", cmp.Or(r.Phase, "begins"), keys, admin.Duration(r.Took))}
	case r.Error != "":
		return condition{"bad", "failed", "after " + admin.Duration(r.Took)}
	case r.Done:
		return condition{"good", "done", fmt.Sprintf("after %s; the incident is closed", admin.Duration(r.Took))}
	case r.DryRun:
		return condition{"plain", "a look, over", fmt.Sprintf("after %s; nothing was changed", admin.Duration(r.Took))}
	}
	return condition{"warn", "over", fmt.Sprintf("after %s; the incident stays open", admin.Duration(r.Took))}
}

// incidentNumber is the number in the id of an incident's moment.
func incidentNumber(m moment) string { return strings.TrimPrefix(m.ID, "incident-") }
