package proxytest

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"holdfast/proxy/proxytest/local"
)

// TrioName is the name under which a Trio's sentinels watch its primary.
const TrioName = "mymaster"

// Trio is a primary with two replicas, watched by three sentinels with a quorum of two.
type Trio struct {
	Primary   *Server // at the start
	Replicas  []*Server
	Sentinels []*Server
}

// StartTrio starts a Trio of one kind of server and waits until all of it knows all of it. args are
// options of the three servers. The sentinels hold a server to be down after a second.
func StartTrio(t testing.TB, kind string, args ...string) *Trio {
	t.Helper()
	spec := Spec{Kind: kind, Args: args}
	return StartTrioOf(t, spec, spec)
}

// StartTrioOf is StartTrio with a place of its own for the primary. The sentinels are where the replicas are.
func StartTrioOf(t testing.TB, primary, others Spec) *Trio {
	t.Helper()
	trio := &Trio{Primary: primary.Start(t)}
	host, port, _ := net.SplitHostPort(trio.Primary.Addr)
	for range 2 {
		r := others.Start(t)
		r.MustDo("REPLICAOF", host, port)
		trio.Replicas = append(trio.Replicas, r)
	}
	Poll(t, "the replicas to follow", func() bool {
		return onlineReplicas(trio.Primary) == len(trio.Replicas)
	})
	for range 3 {
		trio.Sentinels = append(trio.Sentinels, startSentinel(t, others, trio.Primary))
	}
	for _, s := range trio.Sentinels {
		Poll(t, "the sentinels to know each other", func() bool {
			m := s.sentinelMaster()
			return m["num-other-sentinels"] == "2" && m["num-slaves"] == "2" && m["flags"] == "master"
		})
	}
	return trio
}

// Servers returns the three servers.
func (trio *Trio) Servers() []*Server {
	return append([]*Server{trio.Primary}, trio.Replicas...)
}

// SentinelAddrs returns the addresses of the sentinels.
func (trio *Trio) SentinelAddrs() (out []string) {
	for _, s := range trio.Sentinels {
		out = append(out, s.Addr)
	}
	return out
}

// Calm has the sentinels be patient, so that no other failover begins because the machine is busy.
func (trio *Trio) Calm() {
	for _, s := range trio.Sentinels {
		s.MustDo("SENTINEL", "SET", TrioName, "down-after-milliseconds", "60000")
	}
}

// Ready waits until the sentinels could fail over from the primary at addr: they agree on it, and
// one of them sees a replica of it that is fit.
func (trio *Trio) Ready(t testing.TB, addr string) {
	t.Helper()
	for _, s := range trio.Sentinels {
		Poll(t, "a sentinel to be ready", func() bool {
			m := s.sentinelMaster()
			return net.JoinHostPort(m["ip"], m["port"]) == addr && m["flags"] == "master" &&
				m["num-slaves"] != "0"
		})
	}
}

func onlineReplicas(s *Server) (n int) {
	for i := range 8 {
		if line := s.Info("replication")["slave"+strconv.Itoa(i)]; strings.Contains(line, "state=online") {
			n++
		}
	}
	return n
}

// sentinelMaster returns what a sentinel says of the primary; empty while it does not answer.
func (s *Server) sentinelMaster() map[string]string {
	out := map[string]string{}
	v, err := s.Do("SENTINEL", "MASTER", TrioName)
	if fields, ok := v.(map[any]any); ok && err == nil {
		for k, v := range fields {
			out[fmt.Sprint(k)] = fmt.Sprint(v)
		}
	}
	return out
}

// startSentinel starts a sentinel that watches primary.
func startSentinel(t testing.TB, spec Spec, primary *Server) *Server {
	t.Helper()
	port, err := local.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	own := cmp.Or(spec.Host, localhost)
	s := &Server{Binary: Find(t, spec.Kind), Dir: t.TempDir(), t: t, Port: port,
		Addr: net.JoinHostPort(own, strconv.Itoa(port))}
	host, at, _ := net.SplitHostPort(primary.Addr)
	conf := filepath.Join(s.Dir, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind %s\nprotected-mode no\ndir %s\n"+
		"sentinel monitor %[4]s %s %s 2\nsentinel down-after-milliseconds %[4]s 1000\n"+
		"sentinel failover-timeout %[4]s 10000\n", port, own, s.Dir, TrioName, host, at)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s.args = []string{conf, "--sentinel"}
	if err := s.launch(); err != nil {
		t.Fatalf("start a sentinel of %s: %v", s.Binary, err)
	}
	t.Cleanup(s.cleanup)
	return s
}
