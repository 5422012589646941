package failover

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"holdfast/loadtest/harness"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/proxytest/local"
)

// A stack is a trio with its sentinels, and proxies in front of it.
type stack struct {
	*testing.T
	*proxytest.Trio
	byHand  atomic.Pointer[proxytest.Server] // the primary by the operator's word; nil: sentinels name it
	proxies []*front
	haproxy *harness.Process // nil: none
	island  *island          // nil: there is one network
}

// A front is one proxy.
type front struct {
	addr    string // for those who are beside it
	console string
	dir     string
	proc    *harness.Process
}

// replicationUser is the login by which replicas follow their primary: without it there is no link.
const replicationUser = "repl"

// serverArgs let the link between a primary and its replicas be cut by the login of the replicas.
var serverArgs = []string{
	"--user", replicationUser, "on", ">secret", "~*", "&*", "+@all", "--masteruser", replicationUser, "--masterauth", "secret",
	"--repl-backlog-size", "64mb",
}

// config is a proxy's: two addresses, who names the server, the hold, the console.
const config = `listeners: [{address: %q}, {address: %q}]
upstream: {%s, hold: %s, max_backoff: 200ms}
admin: {address: %q, http: off}
journal: {dir: journal, on_loss: continue}
routes:
  - {name: journal, keys: ["journal:*"], ack: {journal: true}, timeout: 5s}
  - {name: one, keys: ["one:*"], ack: {replicas: 1}, timeout: 5s}
  - {name: every, keys: ["every:*"], ack: {replicas: 2}, timeout: 5s}
drain: 1s
`

// newStack starts all of it, and waits until every kind of write is acknowledged.
func newStack(t *testing.T, server string, sc *scenario, v variant, full bool) *stack {
	t.Helper()
	s := &stack{T: t}
	spec := proxytest.Spec{Kind: server, Args: serverArgs}
	primary := spec
	if sc.apart {
		s.island = newIsland(t)
		spec.Host = s.island.near
		primary.Host, primary.Prefix = s.island.far, s.island.inside()
	}
	s.Trio = proxytest.StartTrioOf(t, primary, spec)
	if sc.byHand {
		for _, w := range s.Sentinels {
			w.MustDo("SENTINEL", "REMOVE", proxytest.TrioName)
		}
		s.byHand.Store(s.Primary)
	}
	for i := range sc.proxies {
		s.proxies = append(s.proxies, s.front(i, v))
	}
	if full {
		s.startHAProxy()
	}
	for _, f := range s.proxies {
		for _, k := range s.kinds() {
			proxytest.Poll(t, "a write of kind "+k.name+" to be acknowledged", func() bool {
				return f.sets(k.prefix + ":warm")
			})
		}
	}
	if !sc.byHand {
		s.Ready(t, s.Primary.Addr)
	}
	return s
}

// front starts a proxy.
func (s *stack) front(n int, v variant) *front {
	s.Helper()
	dir := proxytest.ShortDir(s.T)
	port, err := local.FreePort()
	if err != nil {
		s.Fatal(err)
	}
	host, argv := "127.0.0.1", []string{program}
	if s.island != nil && n == 0 {
		host, argv = s.island.far, append(s.island.inside(), program)
	}
	f := &front{addr: "unix:" + dir + "/s", console: "unix:" + dir + "/c", dir: dir}
	served := fmt.Sprintf("%s:%d", host, port)
	text := fmt.Sprintf(config, f.addr, served, s.source(), v.hold, f.console) + v.settings
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
	if err = os.WriteFile(file, []byte(text), 0o600); err == nil {
		f.proc, err = harness.Start(f.dir, "proxy", served, append(argv, "serve", "--config", file)...)
	}
	if err != nil {
		s.Fatal(err)
	}
	return f
}

// source is the part of a configuration that says who names the server.
func (s *stack) source() string {
	if s.byHand.Load() == nil {
		return fmt.Sprintf(`sentinels: ["%s"], sentinel_name: mymaster`, strings.Join(s.SentinelAddrs(), `", "`))
	}
	var all []string
	for _, srv := range s.Servers() {
		all = append(all, srv.Addr)
	}
	return fmt.Sprintf(`address: ["%s"]`, strings.Join(all, `", "`))
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

// kinds are the kinds of clients in the order of the table.
func (s *stack) kinds() []*kind {
	if s.haproxy == nil {
		return shownKinds[:len(shownKinds)-1]
	}
	return shownKinds
}

// haproxyConfig is a relay to the server that says that it is a primary, as HAProxy's users have it.
const haproxyConfig = `global
  nbthread 1
defaults
  mode tcp
  timeout connect 1s
  timeout check 1s
  timeout client 1h
  timeout server 1h
listen primary
  bind %s
  option tcp-check
  tcp-check connect
  tcp-check send "INFO replication\r\n"
  tcp-check expect string role:master
  default-server inter 100ms fall 1 rise 1 on-marked-down shutdown-sessions
`

// startHAProxy starts the peer.
func (s *stack) startHAProxy() {
	s.Helper()
	root, err := harness.Root()
	if err != nil {
		s.Fatal(err)
	}
	path, err := harness.Program(root, "haproxy", "haproxy")
	if err != nil {
		s.Fatal(err)
	}
	port, err := local.FreePort()
	if err != nil {
		s.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	text := fmt.Sprintf(haproxyConfig, addr)
	for i, srv := range s.Servers() {
		text += fmt.Sprintf("  server s%d %s check\n", i, srv.Addr)
	}
	dir := s.TempDir()
	file := filepath.Join(dir, "haproxy.cfg")
	if err = os.WriteFile(file, []byte(text), 0o600); err == nil {
		s.haproxy, err = harness.Start(dir, "haproxy", addr, path, "-db", "-f", file)
	}
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(s.haproxy.Kill)
}

// named returns the server that most sentinels name, or the operator, and that says that it is a primary; nil: none.
func (s *stack) named() *proxytest.Server {
	if srv := s.byHand.Load(); srv != nil {
		if role(srv) != "master" {
			return nil
		}
		return srv
	}
	votes := map[string]int{}
	for _, w := range s.Sentinels {
		addr := nameBy(w.Addr)
		votes[addr]++
		if srv := s.at(addr); srv != nil && votes[addr] >= 2 && s.reachable(srv) && role(srv) == "master" {
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

// reachable reports whether the test is in the network of a server.
func (s *stack) reachable(srv *proxytest.Server) bool {
	return srv != s.Primary || s.island == nil || !s.island.apart
}

// addresses are where a client connects.
func (s *stack) addresses(c *client) []string {
	switch {
	case c.kind == haproxy:
		return []string{s.haproxy.Addr}
	case c.kind != direct:
		first := c.id % len(s.proxies)
		out := []string{s.proxies[first].addr}
		for i, f := range s.proxies {
			if i != first && s.island == nil {
				out = append(out, f.addr)
			}
		}
		return out
	}
	if srv := s.byHand.Load(); srv != nil {
		return []string{srv.Addr}
	}
	for _, w := range s.Sentinels {
		if addr := nameBy(w.Addr); addr != "" {
			return []string{addr}
		}
	}
	return nil
}
