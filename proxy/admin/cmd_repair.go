package admin

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// RepairRequest asks for a repair.
type RepairRequest struct {
	Incident  int
	Conflicts string // "skip", "replace", "list"; "": list
	DryRun    bool
	Operator  string // address
}

// Repair is the current or the last repair.
type Repair struct {
	Incident int           `json:"incident"`
	DryRun   bool          `json:"dry_run,omitempty"`
	Running  bool          `json:"running"`
	Done     bool          `json:"done"` // the repair is complete, and the incident is closed
	Phase    string        `json:"phase"`
	Keys     int64         `json:"keys"` // of the phase, so far
	Since    time.Time     `json:"since"`
	Took     time.Duration `json:"took_ns"`
	Paused   time.Duration `json:"paused_ns"` // pauses to spare the server's latency
	Items    []string      `json:"items,omitempty"`
	More     int64         `json:"items_left_out,omitempty"`
	Lines    []string      `json:"report,omitempty"`
	Error    string        `json:"error,omitempty"`
}

var repairCommands = []*command{
	{name: "REPAIR", acts: true, args: "incident [DRYRUN] [CONFLICTS skip|replace|list]", min: 1, max: 4,
		help: "put back what the server lost, in the background; SHOW REPAIR says how far it is",
		run:  repairIncident},
	{name: "SHOW REPAIR", args: "[JSON]", max: 1, help: "the repair that runs, or ran last",
		run: showRepair},
}

func repairIncident(ctx context.Context, c *client, args []string) (reply, error) {
	q := RepairRequest{Operator: c.addr}
	var err error
	if q.Incident, err = strconv.Atoi(args[0]); err != nil || q.Incident <= 0 {
		return nil, errSyntax
	}
	for rest := args[1:]; len(rest) > 0; {
		switch {
		case strings.EqualFold(rest[0], "DRYRUN"):
			q.DryRun, rest = true, rest[1:]
		case strings.EqualFold(rest[0], "CONFLICTS") && len(rest) > 1:
			q.Conflicts, rest = strings.ToLower(rest[1]), rest[2:]
		default:
			return nil, errSyntax
		}
	}
	if err := c.server.backend.Repair(ctx, q); err != nil {
		return nil, err
	}
	return simple("OK, it runs: SHOW REPAIR"), nil
}

func showRepair(ctx context.Context, c *client, args []string) (reply, error) {
	r, err := c.server.backend.RepairState(ctx)
	if err != nil {
		return nil, err
	}
	return show(args, r, repairLines)
}

func repairLines(r *Repair) []string {
	if r == nil {
		return []string{"no repair since the start: SHOW INCIDENTS has what there is to repair"}
	}
	var p pairs
	p.add("incident", "%d", r.Incident)
	switch {
	case r.Running:
		p.add("state", "%s, %d keys, for %s", r.Phase, r.Keys, Duration(r.Took))
	case r.Error != "":
		p.add("state", "failed after %s: %s", Duration(r.Took), Clean(r.Error))
	case r.DryRun && !r.Done:
		p.add("state", "a dry run, after %s", Duration(r.Took))
	case r.Done:
		p.add("state", "done after %s; the incident is closed", Duration(r.Took))
	default:
		p.add("state", "ended after %s; the incident stays open", Duration(r.Took))
	}
	if r.Paused > 0 {
		p.add("paused", "%s, while the server was slow", Duration(r.Paused))
	}
	for _, line := range r.Items {
		p.add("key", "%s", Clean(line))
	}
	if r.More > 0 {
		p.add("key", "and %d more", r.More)
	}
	for _, line := range r.Lines {
		p.add("report", "%s", Clean(line))
	}
	return p.lines()
}
