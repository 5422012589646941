package durable

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// Trouble is one reason why a route's demand cannot be proven.
type Trouble struct {
	Route *policy.Route
	Part  policy.Demand // the part of its demand that cannot be met
	Why   string

	// Do lists remedies, as far as known: requests for the server, or for another one if the text
	// says so.
	Do []string

	// Never: waiting does not help, and an operator must change a setting or a version. Otherwise a
	// replica may come, or a disk be repaired, and the route goes on by itself.
	Never bool
}

// Troubles lists the parts of the routes' demands that cannot be proven with a server like
// info, and with or without a journal. It does not check the control user's permissions
// (Needs). address is the server's, for the texts of Do.
func Troubles(
	routes []*policy.Route, info *upstream.Info, journal bool, address string,
) (troubles []Trouble) {
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
) (troubles []Trouble) {
	if why := whyNotPrimary(info); why.Is() {
		return []Trouble{{Part: d, Why: why.Why, Never: info.Up && info.Role == ""}}
	}
	if d.Journal && !journal {
		troubles = append(troubles, Trouble{Part: policy.Demand{Journal: true}, Never: true,
			Why: "there is no journal: set journal.dir and restart the proxy"})
	}
	if info.Cluster && marks(d) {
		d.Journal = false
		return append(troubles, Trouble{Part: d, Why: errMarkCluster.Error(), Never: true})
	}
	if have := info.OnlineReplicas(); d.Replicas > have {
		troubles = append(troubles, Trouble{Part: policy.Demand{Replicas: d.Replicas},
			Why: fmt.Sprintf("%d of %d replicas are online", have, d.Replicas),
			Do:  startReplicas(d.Replicas-have, address)})
	}
	if ok, why := info.AOFProof(); d.AOFLocal && !ok {
		p := info.Persistence()
		remedies := aofRemedies(p)
		troubles = append(troubles, Trouble{Part: policy.Demand{AOFLocal: true}, Why: why,
			Do: remedies, Never: lacksWaitAOF(p) || len(remedies) > 0 || p.AppendFsync == ""})
	}
	if d.AOFReplicas > 0 {
		troubles = append(troubles, aofReplicaTroubles(d.AOFReplicas, info, address)...)
	}
	return troubles
}

// aofReplicaTroubles checks the append-only files of replicas. They acknowledge their fsyncs to the
// primary, which must support WAITAOF.
func aofReplicaTroubles(n int, info *upstream.Info, address string) []Trouble {
	t := Trouble{Part: policy.Demand{AOFReplicas: n}}
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
		wrong := 0 // by their settings: they need a change
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
	return []Trouble{t}
}

// replicaRemedies lists the requests to a replica that make its fsyncs trustworthy.
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

// lacksWaitAOF reports whether the server has no WAITAOF, or an unknown version.
func lacksWaitAOF(p upstream.Persistence) bool {
	// With all settings right, the only complaint left is the version.
	p.AppendOnly, p.AppendFsync, p.NoFsyncOnRewrite, p.LastAOFWrite = true, "always", false, "ok"
	ok, _ := p.Proof()
	return !ok
}

// aofRemedies lists the requests to the server that make its own WAITAOF trustworthy.
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

// Needs lists the requests of a demand's proofs, as arguments for ACL DRYRUN: the control user
// needs their permissions.
func Needs(d policy.Demand) (needs [][]string) {
	need := func(request string) { needs = append(needs, strings.Fields(request)) }
	need("INFO replication")
	if d.Journal {
		need("PSYNC ? -1")
		need("REPLCONF ACK 0")
	}
	if d.Replicas > 0 || d.AOFLocal || d.AOFReplicas > 0 {
		need("SELECT 1")
		need("SET " + Watermark + " 1")
		need("PEXPIREAT " + Watermark + " 1") // used when a full memory refuses SET
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
