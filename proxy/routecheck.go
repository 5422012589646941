package proxy

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// RouteTrouble is one reason why what a route demands cannot be proven.
type RouteTrouble struct {
	Route *policy.Route
	Part  policy.Demand // the part of its demand that cannot be had
	Why   string

	// Do is what helps, as far as it can be said: requests for the server, or for another one
	// where the text says so.
	Do []string

	// Never says that waiting does not help: somebody has to change a setting or a version.
	// Otherwise a replica may come, or a disk be mended, and the route goes on by itself.
	Never bool
}

// RouteTroubles works out what of the routes' demands cannot be proven with a server like info, and
// with a journal or without one. What the control user may do is another question (FenceNeeds).
// address is where the server is, for what Do says.
func RouteTroubles(
	routes []*policy.Route, info *upstream.Info, journal bool, address string,
) (troubles []RouteTrouble) {
	for _, r := range routes {
		for _, t := range demandTroubles(r.Spec.Demand, info, journal, address) {
			t.Route = r
			troubles = append(troubles, t)
		}
	}
	return troubles
}

func demandTroubles(
	d policy.Demand, info *upstream.Info, journal bool, address string,
) (troubles []RouteTrouble) {
	if why := whyNotPrimary(info); why != "" {
		return []RouteTrouble{{Part: d, Why: why, Never: info.Up && info.Role == ""}}
	}
	if d.Journal && !journal {
		troubles = append(troubles, RouteTrouble{Part: policy.Demand{Journal: true}, Never: true,
			Why: "there is no journal: set journal.dir and start the proxy anew"})
	}
	if info.Cluster && marks(d) {
		d.Journal = false
		return append(troubles, RouteTrouble{Part: d, Why: errMarkCluster.Error(), Never: true})
	}
	if have := info.OnlineReplicas(); d.Replicas > have {
		troubles = append(troubles, RouteTrouble{Part: policy.Demand{Replicas: d.Replicas},
			Why: fmt.Sprintf("%d of %d replicas are online", have, d.Replicas),
			Do:  startReplicas(d.Replicas-have, address)})
	}
	if ok, why := info.AOFProof(); d.AOFLocal && !ok {
		p := info.Persistence()
		remedies := aofRemedies(p)
		troubles = append(troubles, RouteTrouble{Part: policy.Demand{AOFLocal: true}, Why: why,
			Do: remedies, Never: lacksWaitAOF(p) || len(remedies) > 0 || p.AppendFsync == ""})
	}
	if d.AOFReplicas > 0 {
		troubles = append(troubles, aofReplicaTroubles(d.AOFReplicas, info, address)...)
	}
	return troubles
}

// aofReplicaTroubles is about the append-only files of replicas, which acknowledge their fsyncs to
// the primary: that must know WAITAOF.
func aofReplicaTroubles(n int, info *upstream.Info, address string) []RouteTrouble {
	t := RouteTrouble{Part: policy.Demand{AOFReplicas: n}}
	have, doubt := info.AOFReplicas()
	switch online := info.OnlineReplicas(); {
	case lacksWaitAOF(info.Persistence()):
		_, t.Why = info.AOFProof()
		t.Never = true
	case have >= n:
		return nil
	default:
		t.Why = fmt.Sprintf("%d of %d replicas have an append-only file to believe", have, n)
		if doubt != "" {
			t.Why += " (" + doubt + ")"
		}
		wrong := 0 // by what they said: they will not do without a change
		for k := range info.Replicas {
			if r := &info.Replicas[k]; r.Online() && !r.Fsyncs && r.Said.VersionNum > 0 {
				wrong++
				t.Do = append(t.Do, replicaRemedies(r)...)
			}
		}
		t.Never = online >= n && online-wrong < n
		if online < n {
			t.Do = append(t.Do, startReplicas(n-online, address)...)
		}
	}
	return []RouteTrouble{t}
}

// replicaRemedies is what to send to a replica so that its fsyncs can be believed.
func replicaRemedies(r *upstream.Replica) (do []string) {
	at := net.JoinHostPort(r.Addr, strconv.Itoa(r.Port))
	for _, request := range aofRemedies(r.Said) {
		do = append(do, fmt.Sprintf("on %s: %s", at, request))
	}
	return do
}

// startReplicas says how to get n more replicas.
func startReplicas(n int, address string) []string {
	where := "of this server"
	if host, port, err := net.SplitHostPort(address); err == nil {
		where = fmt.Sprintf("with REPLICAOF %s %s", host, port)
	}
	if n == 1 {
		return []string{"start one more replica, " + where}
	}
	return []string{fmt.Sprintf("start %d more replicas, each %s", n, where)}
}

// lacksWaitAOF reports that the server has no WAITAOF, or that its version is not known.
func lacksWaitAOF(p upstream.Persistence) bool {
	// With nothing wrong but the version, what is left to complain about is that.
	p.AppendOnly, p.AppendFsync, p.NoFsyncOnRewrite, p.LastAOFWrite = true, "always", false, "ok"
	ok, _ := p.Proof()
	return !ok
}

// aofRemedies is what to send to the server so that its own WAITAOF can be believed.
func aofRemedies(p upstream.Persistence) (do []string) {
	if lacksWaitAOF(p) {
		return nil
	}
	p.LastAOFWrite = "ok" // it has no remedy here
	if !p.AppendOnly {
		p.AppendOnly = true
		do = append(do, "CONFIG SET appendonly yes")
	}
	if ok, _ := p.Proof(); !ok && p.AppendFsync != "" && p.AppendFsync != "always" {
		p.AppendFsync = "always"
		do = append(do, "CONFIG SET appendfsync always")
	}
	if p.NoFsyncOnRewrite {
		do = append(do, "CONFIG SET no-appendfsync-on-rewrite no")
	}
	return do
}

// FenceNeeds is the requests that the proofs of a demand are made of, as words that ACL DRYRUN
// takes: what the control user must be allowed.
func FenceNeeds(d policy.Demand) (needs [][]string) {
	need := func(request string) { needs = append(needs, strings.Fields(request)) }
	need("INFO replication")
	if d.Journal {
		need("PSYNC ? -1")
		need("REPLCONF ACK 0")
	}
	if d.Replicas > 0 || d.AOFLocal || d.AOFReplicas > 0 {
		need("SELECT 1")
		need("SET " + watermark + " 1")
		need("PEXPIREAT " + watermark + " 1") // where a full memory refuses SET
	}
	if d.Replicas > 0 {
		need("WAIT 1 1")
	}
	if d.AOFLocal || d.AOFReplicas > 0 {
		need("WAITAOF 1 0 1")
		need("CONFIG GET appendonly")
	}
	return needs
}
