package proxy_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/audit"
	"holdfast/proxy/proxytest"
)

// severe has a rule, a budget, a route or the trash for whatever a client may send.
func severe(auditFile string) func(*proxy.Options) {
	return func(o *proxy.Options) {
		o.Rules = []policy.RuleSpec{
			{Name: "secret-deny", Commands: []string{"flushall", "config", "exec"}, Action: "deny"},
			{Name: "secret-confirm", Commands: []string{"flushdb", "del"}, Action: "confirm"},
			{Name: "secret-trash", Commands: []string{"unlink"}, Action: "trash"},
			{Name: "secret-rewrite", Commands: []string{"keys"}, Action: "rewrite"},
			{Name: "secret-limit", Commands: []string{"get", "hello", "ping"}, Action: "allow",
				Limit: &policy.LimitSpec{Rate: "1/h", Burst: 1, Per: "global"}},
		}
		o.Budgets = []policy.BudgetSpec{{Name: "secret-budget", Keys: 1, Window: time.Hour}}
		o.Routes = []policy.RouteSpec{{Name: "secret-route", Keys: []string{"*"},
			Demand: policy.Demand{Replicas: 3}}}
		o.Audit = audit.Options{File: auditFile}
	}
}

// Whom the server answers -NOAUTH is answered that, and nothing else happens: no limit, no approval, no
// line in the audit log, no link, and no name of a rule or a route.
func TestStrangerCausesNothing(t *testing.T) {
	for _, bin := range proxytest.Binaries(t) {
		t.Run(bin.String(), func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Kind: bin.Kind}.Start(t)
			file := filepath.Join(t.TempDir(), "audit.log")
			addr, p := serveServer(t, srv.Addr, asControl(srv), severe(file))
			srv.MustDo("CONFIG", "SET", "requirepass", "right")
			lines := []string{"GET k", "GET k", "PING", "FLUSHALL", "FLUSHDB", "DEL k", "UNLINK k", "KEYS *",
				"CONFIG GET x", "SET k v", "MULTI", "SET k v", "EXEC", "BLPOP k 0", "SUBSCRIBE c", "MONITOR",
				"EVAL 'return 1' 0", "WAIT 1 0", "CLIENT ID", "CLIENT LIST", "CLIENT KILL TYPE normal",
				"CLIENT REPLY OFF", "SELECT 1", "HELLO", "HELLO 3", "HELLO 9", "HELLO 3 SETNAME x",
				"WATCH k", "SYNC", "GET", "CONFIG", "SET k",
				"AUTH", "AUTH wrong", "AUTH a b c", "ACL WHOAMI", "RESET", "GET k", "RESET x", "INFO",
				"SHUTDOWN NOSAVE", "DEBUG SLEEP 1", "QUIT"}
			direct, through := dial(t, srv.Addr), dial(t, addr)
			compareSpeech(t, "a stranger", direct, through, lines)
			// All at once, too.
			piped := dial(t, addr)
			piped.send(strings.Repeat("GET k\r\nFLUSHALL\r\nMULTI\r\n", 100))
			piped.expect(strings.Repeat("-NOAUTH Authentication required.\r\n", 300))

			if list, err := p.Pending(t.Context()); err != nil || len(list) != 0 {
				t.Errorf("pending: %v, %v", list, err)
			}
			// One is that of the route's proofs.
			if st, err := p.Stats(t.Context()); err != nil || st.LinksPinnedBusy+st.LinksPinnedIdle > 1 {
				t.Errorf("there are pinned links: %+v (%v)", st, err)
			}
			if lines := auditLines(t, file); len(lines) != 0 {
				t.Errorf("the audit log has %v", lines)
			}
			in := dial(t, addr)
			if got := in.speak("AUTH right", "GET k", "GET k"); !strings.Contains(got, `GET k: "$-1\r\n"`) ||
				!strings.Contains(got, "-THROTTLED") {
				t.Errorf("a client that has logged in: %s", got)
			}
			if got := in.do("SET k v"); !strings.HasPrefix(got, "-NODURABLE 'set' is on route 'secret-route'") {
				t.Errorf("a write of a client that has logged in: %q", got)
			}
		})
	}
}

// The frames of strangers are bounded as the server bounds them, from the first byte on.
func TestStrangersFrames(t *testing.T) {
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, asControl(srv))
	big := proxytest.Command("SET", "k", strings.Repeat("v", 100_000))
	if c := dial(t, addr); true {
		c.send(big)
		c.expect("+OK\r\n")
	}
	srv.MustDo("CONFIG", "SET", "requirepass", "right")
	c := dial(t, addr)
	c.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n")
	c.expect("-ERR Protocol error: unauthenticated bulk length\r\n")
	c.expectEOF()
	c = dial(t, addr)
	c.send(proxytest.Command("AUTH", "right") + big)
	c.expect("+OK\r\n+OK\r\n")
}

// What strangers do all the time does not keep others from their work.
func TestStrangersBesideOthers(t *testing.T) {
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, asControl(srv), severe(filepath.Join(t.TempDir(), "audit.log")))
	srv.MustDo("ACL", "SETUSER", "app", "on", ">one", "~*", "&*", "+@all")
	srv.MustDo("CONFIG", "SET", "requirepass", "right")
	good := dial(t, addr)
	good.do("AUTH app one")
	before := tail(roundTrips(good, 1000))
	stop := make(chan struct{})
	defer close(stop)
	for range 20 {
		c := dial(t, addr)
		go func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := fmt.Fprintf(c, "GET k\r\nFLUSHALL\r\nAUTH default %d\r\n", n); err != nil {
					return
				}
				for range 3 {
					if _, err := readReply(c.r); err != nil {
						return
					}
				}
			}
		}()
	}
	beside := tail(roundTrips(good, 1000))
	t.Logf("p99 of another client's command: %v before, %v beside 20 strangers", before, beside)
}

// roundTrips sends n commands one by one and returns their times.
func roundTrips(c *conn, n int) (times []time.Duration) {
	for range n {
		start := time.Now()
		if got := c.do("EXISTS k"); got[0] != ':' {
			c.t.Fatalf("got %q", got)
		}
		times = append(times, time.Since(start))
	}
	return times
}

// tail is the 99th percentile.
func tail(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)*99/100]
}
