package proxy

import (
	"errors"
	"fmt"
	"slices"

	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/upstream"
)

// Fences of replicas and of append-only files write a key, the watermark. It is in the ledger of the
// trash or, where there is no trash, in the server's highest database, which is hidden from clients
// for it. What somebody keeps there is out of his reach then, so it is looked for and reported. In
// cluster mode there is one database, and the key would belong to some node or other.

var errMarkCluster = errors.New("the server is in cluster mode, where proofs of replicas and of " +
	"append-only files cannot write their mark")

// MarkDatabase is the database that the routes would hide from clients on a server like info,
// without a trash; ok is false where they hide none.
func MarkDatabase(routes []policy.RouteSpec, info *upstream.Info) (db int, ok bool) {
	last := info.Databases - 1
	return last, last > 0 && !info.Cluster && routesMark(routes)
}

// HiddenKeys says what to do about keys in the database that MarkDatabase is.
func HiddenKeys(db int, keys int64) string {
	return fmt.Sprintf("database %d is hidden from clients for the mark that proofs of replicas and "+
		"append-only files write, and there are keys in it (%d): on the server itself, MOVE them to "+
		"another database, or give it one more (databases %d)", db, keys, db+2)
}

// MarkLua counts the keys in database ARGV[1] but for the mark, KEYS[1].
const MarkLua = "redis.call('SELECT', ARGV[1]) " +
	"return redis.call('DBSIZE') - redis.call('EXISTS', KEYS[1])"

// MarkKey is the mark.
const MarkKey = watermark

// routesMark reports whether a route needs fences that write.
func routesMark(routes []policy.RouteSpec) bool {
	return slices.ContainsFunc(routes, func(r policy.RouteSpec) bool { return marks(r.Demand) })
}

// marks reports whether a demand needs fences that write.
func marks(d policy.Demand) bool { return d.Replicas > 0 || d.AOFLocal || d.AOFReplicas > 0 }

// refuseMarks says why the routes cannot be in force on a server like info; nil if they can.
func refuseMarks(routes []*policy.Route, info *upstream.Info) error {
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
	frameExists = resp.AppendCommandStrings(nil, "eXiStS", watermark)
)

// hiddenCount is what a side link has found in the database of the watermark.
type hiddenCount struct {
	runID string // of the process that was asked last
	keys  int64
}

// countHidden asks on a new side link whether somebody has keys in the database of the watermark:
// once for each process of the server, for one worker.
func (sl *sideLink) countHidden() {
	d := sl.d
	t := d.w.trash
	if d.w.id != 0 || t.reserved != nil || !t.hides(int(d.db)) || d.hidden.runID == d.runID {
		return
	}
	d.hidden.runID = d.runID
	sl.send(stepSize, frameSize)
	sl.send(stepExists, frameExists)
}

// counts takes the replies. An error says that the control user may not ask.
func (sl *sideLink) counts(st step, reply []byte) {
	n, rest, ok := cutInteger(reply)
	if !ok || len(rest) > 0 {
		n = 0
	}
	d := sl.d
	if st == stepSize {
		d.hidden.keys = n
		return
	}
	if keys := d.hidden.keys - n; keys > 0 {
		d.w.log.Warn(HiddenKeys(int(d.db), keys))
	}
}
