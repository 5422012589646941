package trash

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"holdfast/journal/seldom"
	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// News logs which databases the trash hides, and what can empty or fill it, each once until it
// changes.
type News struct {
	Log                      *slog.Logger
	evicts, hides, unlimited seldom.Pace
}

// Tell logs what has changed. info may be nil: the server is not known.
func (n *News) Tell(t *Plan, p *policy.Policy, info *upstream.Info) {
	what, hides, unlimited := "", "", ""
	if t.Reserved != nil && info != nil {
		what = Evicts(info)
	}
	if n.evicts.Changes(what) {
		n.Log.Warn("the server's eviction reaches the trash", "evicts", what,
			"policy", info.MaxMemoryPolicy)
	}
	if t.Hidden != nil {
		hides = strings.Trim(fmt.Sprint(t.Hidden), "[]")
	}
	if n.hides.Changes(hides) {
		n.Log.Warn("databases are hidden from clients, to whom they are out of range now",
			"databases", hides, "for", t.purpose(), "instead", "trash.databases names others; "+
				"give the server more (databases) if applications or tests use these")
	}
	if t.Reserved != nil {
		unlimited = strings.Join(UnlimitedFlushes(p), " ")
	}
	if n.unlimited.Changes(unlimited) {
		n.Log.Warn("flushes go to the trash without a limit: when its databases are full, further "+
			"ones are denied until the oldest was kept long enough", "rules", unlimited,
			"databases", len(t.Reserved)-1)
	}
}

// UnlimitedFlushes names the rules that send any number of flushes to the trash, which has room for
// a limited number of databases.
func UnlimitedFlushes(p *policy.Policy) (names []string) {
	for _, r := range p.Rules() {
		flushes := slices.ContainsFunc(r.Spec.Commands, func(name string) bool {
			return strings.EqualFold(name, "flushall") || strings.EqualFold(name, "flushdb")
		})
		if r.Action == policy.Trash && r.Limit == nil && !r.Observe && flushes {
			names = append(names, r.Name)
		}
	}
	return names
}
