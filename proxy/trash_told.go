package proxy

import (
	"fmt"
	"slices"
	"strings"

	"holdfast/journal/seldom"
	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// trashTold paces the log lines about the trash; each is logged once until it changes.
type trashTold struct{ evicts, hides, unlimited seldom.Pace }

// tellTrash logs which databases the trash hides, and what can empty or fill it.
func (srv *Server) tellTrash(r *rules, info *upstream.Info) {
	t, told := r.trash, &srv.trashTold
	what, hides, unlimited := "", "", ""
	if t.reserved != nil && info != nil {
		what = Evicts(info)
	}
	if told.evicts.Changes(what) {
		srv.log.Warn("the server's eviction reaches what is in the trash", "evicts", what,
			"policy", info.MaxMemoryPolicy)
	}
	if t.hidden != nil {
		hides = strings.Trim(fmt.Sprint(t.hidden), "[]")
	}
	if told.hides.Changes(hides) {
		srv.log.Warn("databases are hidden from clients, to whom they are out of range now",
			"databases", hides, "for", t.purpose(), "instead", "trash.databases names others; "+
				"give the server more (databases) if applications or tests use these")
	}
	if t.reserved != nil {
		unlimited = strings.Join(UnlimitedFlushes(r.policy), " ")
	}
	if told.unlimited.Changes(unlimited) {
		srv.log.Warn("flushes go to the trash without a limit: when its databases are full, further "+
			"ones are denied until the oldest was kept long enough", "rules", unlimited,
			"databases", len(t.reserved)-1)
	}
}

// purpose names the use of hidden databases.
func (t *trashPlan) purpose() string {
	if t.reserved != nil {
		return "the trash"
	}
	return "the mark that proofs of replicas and append-only files write"
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

// outOfRange adds the reason to the server's error for the SELECT of a number that hideReserved has
// replaced.
func (t *trashPlan) outOfRange(args [][]byte, reply []byte) []byte {
	const words = "-ERR DB index is out of range"
	if len(args) != 2 || string(trimCRLF(reply)) != words {
		return reply
	}
	number, ok := strings.CutSuffix(string(args[1]), hiddenSuffix)
	if !ok || !slices.ContainsFunc(t.hidden, func(db int) bool { return fmt.Sprint(db) == number }) {
		return reply
	}
	return fmt.Appendf(nil, "%s: the proxy reserves database %s for %s\r\n", words, number, t.purpose())
}
