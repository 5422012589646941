package durable

import (
	"errors"
	"fmt"
	"slices"

	"holdfast/journal/tap"
	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/upstream"
)

// Fences of replicas and of append-only files write a key, the watermark. It is in the ledger of
// the trash or, without a trash, in the server's highest database, which is then hidden from
// clients. Clients can no longer reach their own keys there, so the proxy looks for such keys and
// reports them. In cluster mode there is only one database, and the key would belong to an
// arbitrary node.

var errMarkCluster = errors.New("the server is in cluster mode, where proofs of replicas and of " +
	"append-only files cannot write their mark")

// MarkDatabase returns the database that the routes would hide from clients on a server like info,
// without a trash; ok is false if they hide none.
func MarkDatabase(routes []policy.RouteSpec, info *upstream.Info) (db int, ok bool) {
	last := info.Databases - 1
	return last, last > 0 && !info.Cluster && routesMark(routes)
}

// HiddenKeys returns the advice about keys in MarkDatabase.
func HiddenKeys(db int, keys int64) string {
	return fmt.Sprintf("database %d is hidden from clients for the mark that proofs of replicas and "+
		"append-only files write, and there are keys in it (%d): on the server itself, MOVE them to "+
		"another database, or give it one more (databases %d)", db, keys, db+2)
}

// MarkLua counts the keys in database ARGV[1], except the marks, MarkKeys.
const MarkLua = "redis.call('SELECT', ARGV[1]) " +
	"return redis.call('DBSIZE') - redis.call('EXISTS', KEYS[1], KEYS[2])"

// MarkKeys are the proxy's own keys there: the fences' and the journal's.
var MarkKeys = [2]string{Watermark, tap.MarkKey}

// routesMark reports whether a route needs fences that write.
func routesMark(routes []policy.RouteSpec) bool {
	return slices.ContainsFunc(routes, func(r policy.RouteSpec) bool { return marks(r.Demand) })
}

// marks reports whether a demand needs fences that write.
func marks(d policy.Demand) bool { return d.Replicas > 0 || d.AOFLocal || d.AOFReplicas > 0 }

// RefuseMarks returns the reason why the routes cannot be in force on a server like info; nil if
// they can.
func RefuseMarks(routes []*policy.Route, info *upstream.Info) error {
	if !info.Cluster {
		return nil
	}
	for _, r := range routes {
		if marks(r.Spec.Demand) {
			return fmt.Errorf("route %q demands %v: %w", r.Spec.Name, r.Spec.Demand, errMarkCluster)
		}
	}
	return nil
}

var (
	frameSize   = resp.AppendCommandStrings(nil, "dBsIzE")
	frameExists = resp.AppendCommandStrings(nil, "eXiStS", Watermark, tap.MarkKey)
)

// hiddenCount is the count of keys in the watermark's database.
type hiddenCount struct {
	runID string // the server process asked last
	keys  int64
}

// countHidden asks on a new side link for clients' keys in the watermark's database: once for each
// server process.
func (side *sideLink) countHidden() {
	p := side.p
	if !p.mark.Count || p.sides.hidden.runID == p.runID {
		return
	}
	p.sides.hidden.runID = p.runID
	side.send(stepSize, frameSize)
	side.send(stepExists, frameExists)
}

// counts takes the replies. An error means that the control user may not ask.
func (side *sideLink) counts(st step, reply []byte) {
	n, rest, ok := cutInteger(reply)
	if !ok || len(rest) > 0 {
		n = 0
	}
	p := side.p
	if st == stepSize {
		p.sides.hidden.keys = n
		return
	}
	if keys := p.sides.hidden.keys - n; keys > 0 {
		p.log.Warn(HiddenKeys(int(p.mark.DB), keys))
	}
}
