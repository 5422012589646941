package failover

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/loadtest/harness"
	"holdfast/proxy/proxytest"
)

// A stack is a trio with its sentinels, and proxies in front of it.
type stack struct {
	*testing.T
	*proxytest.Trio
	proxies []*front
}

// A front is one proxy.
type front struct {
	addr, console string
	dir           string
	proc          *harness.Process
}

// replicationUser is the login by which replicas follow their primary: without it there is no link.
const replicationUser = "repl"

// serverArgs let the link between a primary and its replicas be cut by the login of the replicas.
var serverArgs = []string{
	"--user", replicationUser, "on", ">secret", "~*", "&*", "+@all", "--masteruser", replicationUser, "--masterauth", "secret",
	"--repl-backlog-size", "64mb",
}

// config is a proxy's. %s: its address, the sentinels, its console.
const config = `listeners: [{address: %q}]
upstream: {sentinels: ["%s"], sentinel_name: mymaster, hold: %s, max_backoff: 200ms}
admin: {address: %q, http: off}
journal: {dir: journal, on_loss: continue}
routes:
  - {name: journal, keys: ["journal:*"], ack: {journal: true}, timeout: 5s}
  - {name: one, keys: ["one:*"], ack: {replicas: 1}, timeout: 5s}
  - {name: every, keys: ["every:*"], ack: {replicas: 2}, timeout: 5s}
drain: 1s
`

// newStack starts all of it, and waits until every kind of write is acknowledged.
func newStack(t *testing.T, server string, proxies int, v variant) *stack {
	t.Helper()
	s := &stack{T: t, Trio: proxytest.StartTrio(t, server, serverArgs...)}
	for i := range proxies {
		s.proxies = append(s.proxies, s.front(i, v))
	}
	for _, f := range s.proxies {
		for _, k := range shownKinds {
			proxytest.Poll(t, "a write of kind "+k.name+" to be acknowledged", func() bool {
				return f.sets(k.prefix + ":warm")
			})
		}
	}
	s.Ready(t, s.Primary.Addr)
	return s
}

// front starts a proxy.
func (s *stack) front(n int, v variant) *front {
	s.Helper()
	f := &front{dir: filepath.Join(s.TempDir(), fmt.Sprint("proxy", n))}
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		s.Fatal(err)
	}
	for _, a := range []*string{&f.addr, &f.console} {
		port, err := proxytest.FreePort()
		if err != nil {
			s.Fatal(err)
		}
		*a = fmt.Sprintf("127.0.0.1:%d", port)
	}
	text := fmt.Sprintf(config, f.addr, strings.Join(s.SentinelAddrs(), `", "`), v.hold, f.console) + v.settings
	file := filepath.Join(f.dir, "holdfast.yaml")
	s.Cleanup(func() {
		if f.proc != nil {
			f.proc.Kill()
		}
		if s.Failed() {
			text, _ := os.ReadFile(filepath.Join(f.dir, "proxy.log"))
			s.Logf("the log of proxy %d:\n%s", n, text)
		}
	})
	err := os.WriteFile(file, []byte(text), 0o600)
	if err == nil {
		f.proc, err = harness.Start(f.dir, "proxy", f.addr, program, "serve", "--config", file)
	}
	if err != nil {
		s.Fatal(err)
	}
	return f
}

// sets reports whether a write is acknowledged.
func (f *front) sets(key string) bool {
	c, err := harness.DialClient(f.addr, patience)
	if err != nil {
		return false
	}
	defer c.Close()
	v, err := c.Do("SET", key, "1")
	return err == nil && v == "OK"
}

// ask is one command to the console. Its lines are joined.
func (f *front) ask(args ...string) (string, error) {
	c, err := harness.DialClient(f.console, patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	v, err := c.Must(args...)
	lines, ok := v.([]any)
	if !ok {
		return fmt.Sprint(v), err
	}
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintln(&b, l)
	}
	return b.String(), err
}

// losses are the incidents with a verdict of loss.
func (f *front) losses() (n int) {
	var list []struct{ Verdict string }
	text, err := f.ask("SHOW", "INCIDENTS", "JSON")
	if err != nil || json.Unmarshal([]byte(text), &list) != nil {
		return 0
	}
	for _, i := range list {
		if i.Verdict == "lost" {
			n++
		}
	}
	return n
}

// at is the server at an address.
func (s *stack) at(addr string) *proxytest.Server {
	for _, srv := range s.Servers() {
		if srv.Addr == addr {
			return srv
		}
	}
	return nil
}

// named returns the server that most sentinels name and that says that it is a primary; nil: none.
func (s *stack) named() *proxytest.Server {
	votes := map[string]int{}
	for _, w := range s.Sentinels {
		addr := nameBy(w.Addr)
		votes[addr]++
		if srv := s.at(addr); srv != nil && votes[addr] >= 2 && role(srv) == "master" {
			return srv
		}
	}
	return nil
}

// nameBy is the address of the primary by one sentinel; "": it does not answer.
func nameBy(sentinel string) string {
	c, err := harness.DialClient(sentinel, patience)
	if err != nil {
		return ""
	}
	defer c.Close()
	v, err := c.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", proxytest.TrioName)
	if pair, ok := v.([]any); ok && err == nil && len(pair) == 2 {
		return net.JoinHostPort(fmt.Sprint(pair[0]), fmt.Sprint(pair[1]))
	}
	return ""
}

// role is a server's own word; "": it does not answer.
func role(srv *proxytest.Server) string {
	v, err := srv.Do("ROLE")
	if list, ok := v.([]any); ok && err == nil && len(list) > 0 {
		return fmt.Sprint(list[0])
	}
	return ""
}

// addresses are where a client connects.
func (s *stack) addresses(c *client) []string {
	if c.kind != direct {
		first := c.id % len(s.proxies)
		out := []string{s.proxies[first].addr}
		for i, f := range s.proxies {
			if i != first {
				out = append(out, f.addr)
			}
		}
		return out
	}
	for _, w := range s.Sentinels {
		if addr := nameBy(w.Addr); addr != "" {
			return []string{addr}
		}
	}
	return nil
}
