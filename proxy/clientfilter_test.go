package proxy_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// clientFilters are arguments of CLIENT LIST and CLIENT KILL. {id:x} and {addr:x} stand for those of
// the client with that name.
var clientFilters = []string{
	"NAME plain", "NAME nobody", `NAME ""`, "NAME PLAIN", "NOT-NAME plain", "NOT-NAME nobody",
	"USER alice", "NOT-USER alice", "USER default", "USER nosuch", "NOT-USER nosuch",
	"DB 1", "DB 0", "NOT-DB 1", "DB x", "DB 99", "DB -1",
	"LIB-NAME alpha", "NOT-LIB-NAME alpha", `LIB-NAME ""`, "LIB-VER 1", "NOT-LIB-VER 1",
	"TYPE normal", "TYPE pubsub", "TYPE replica", "TYPE slave", "TYPE master", "TYPE primary",
	"TYPE nosuch", "NOT-TYPE pubsub", "NOT-TYPE normal", "NOT-TYPE nosuch",
	"FLAGS P", "FLAGS N", "FLAGS b", "FLAGS x", "FLAGS t", "FLAGS O", "FLAGS S", "FLAGS PN",
	"FLAGS q", `FLAGS ""`, "NOT-FLAGS N", "NOT-FLAGS b", "NOT-FLAGS q",
	"CAPA r", "NOT-CAPA r", "CAPA z", `CAPA ""`, "IP 127.0.0.1", "IP 127", "IP 1.2.3.4",
	"NOT-IP 127.0.0.1", "NOT-IP 1.2.3.4",
	"IDLE 1000", "IDLE 0", "IDLE x", "NOT-IDLE 1000", "MAXAGE 1000", "MAXAGE 0", "MAXAGE x",
	"NOT-MAXAGE 1000",
	"ID {id:plain}", "ID {id:plain} {id:other}", "ID {id:plain} ID {id:other}",
	"ID {id:plain} {id:plain} {id:direct}", "ID {id:direct} {id:plain}", "ID 0", "ID x", "ID -5",
	"ID {id:plain} x", "ID {id:plain} TYPE normal", "TYPE normal ID {id:plain}",
	"NOT-ID {id:plain} {id:other}", "NOT-ID {id:plain} NOT-ID {id:other}", "NOT-ID 0",
	"ID {id:plain} NOT-ID {id:plain}", "ID 99999999", "TYPE normal ID", "ID ID {id:plain}",
	"ADDR {addr:plain}", "ADDR {addr:direct}", "NOT-ADDR {addr:plain}", "ADDR 1.2.3.4:5",
	"ADDR 1.2.3.4:5 ADDR {addr:plain}", "LADDR 1.2.3.4:5", "NOT-LADDR 1.2.3.4:5",
	"SKIPME yes", "SKIPME no", "SKIPME x", "NAME me", "NAME me SKIPME no", "NAME me SKIPME yes",
	"TYPE normal NAME plain", "NAME plain TYPE pubsub", "NAME plain NAME other",
	"TYPE normal TYPE pubsub", "ID {id:plain} NAME other", "USER default DB 1 LIB-NAME beta",
	"NOSUCH x", "NAME", "NAME plain NOSUCH", "NAME plain NOSUCH x", "NOSUCH x ADDR {addr:plain}",
	"NAME plain ADDR", "NAME addr TYPE normal", "ID ADDR {addr:plain}", "{addr:plain}",
	"NOT-SKIPME yes", "not-name plain", "Name plain", "",
}

// crowd is a set of clients on one side: directly connected, or through the proxy.
type crowd struct {
	t       *testing.T
	addr    string // where clients connect
	server  string // the server itself
	clients map[string]*conn
	ids     map[string]string
}

// members are the clients of a crowd and what each sends first.
var members = []struct {
	name string
	then []string
}{
	{"me", nil},
	{"plain", []string{"CLIENT SETINFO LIB-NAME alpha", "CLIENT SETINFO LIB-VER 1"}},
	{"other", []string{"SELECT 1", "CLIENT SETINFO LIB-NAME beta"}},
	{"alice", []string{"AUTH alice pass"}},
	{"sub", []string{"SUBSCRIBE c"}},
	{"multi", []string{"MULTI"}},
	{"blocked", []string{"BLPOP nothing 0"}},
	{"monitor", []string{"MONITOR"}},
	{"track", []string{"CLIENT TRACKING ON"}},
	{"capa", []string{"CLIENT CAPA redirect"}},
	{"direct", nil},
}

// complete connects the members that are missing.
func (c *crowd) complete() {
	c.t.Helper()
	present := c.present()
	for _, m := range members {
		if slices.Contains(present, m.name) {
			continue
		}
		addr := c.addr
		if m.name == "direct" {
			addr = c.server
		}
		if old := c.clients[m.name]; old != nil {
			old.Close()
		}
		k := dial(c.t, addr)
		c.ids[m.name] = strings.Trim(k.do("CLIENT ID"), ":\r\n")
		k.do("CLIENT SETNAME " + m.name)
		for _, line := range m.then {
			if strings.HasPrefix(line, "BLPOP") {
				k.send(line + "\r\n")
				proxytest.Poll(c.t, "a blocked client", func() bool {
					return strings.Contains(c.ask(c.server, "CLIENT LIST"), "flags=b")
				})
				continue
			}
			k.do(line)
		}
		c.clients[m.name] = k
	}
	proxytest.Poll(c.t, "the connections of ask to end", func() bool {
		return !slices.Contains(names(c.clients["me"].do("CLIENT LIST")), "")
	})
}

// ask sends one command on a connection of its own.
func (c *crowd) ask(addr, line string) string {
	k := dial(c.t, addr)
	defer k.Close()
	return k.do(line)
}

var nameField = regexp.MustCompile(` name=(\S*) `)

// names are those in a reply of CLIENT LIST, in their order; what is no list stays as it is.
func names(reply string) []string {
	if !strings.HasPrefix(reply, "$") {
		return []string{reply}
	}
	out := []string{}
	for _, m := range nameField.FindAllStringSubmatch(reply, -1) {
		out = append(out, m[1])
	}
	return out
}

// present are the members that are connected. The asking connection, and others without a name, are
// left out.
func (c *crowd) present() []string {
	out := slices.DeleteFunc(names(c.ask(c.addr, "CLIENT LIST")), func(s string) bool { return s == "" })
	slices.Sort(out)
	return out
}

var placeholder = regexp.MustCompile(`\{(id|addr):(\w+)\}`)

func (c *crowd) fill(filter string) string {
	return placeholder.ReplaceAllStringFunc(filter, func(s string) string {
		m := placeholder.FindStringSubmatch(s)
		if m[1] == "id" {
			return c.ids[m[2]]
		}
		return c.clients[m[2]].LocalAddr().String()
	})
}

func newCrowd(t *testing.T, addr, server string) *crowd {
	c := &crowd{t: t, addr: addr, server: server, clients: map[string]*conn{}, ids: map[string]string{}}
	c.ask(server, "ACL SETUSER alice on >pass ~* &* +@all")
	return c
}

// TestClientFilters: CLIENT LIST and CLIENT KILL select the same clients through the proxy as
// directly, by each filter that the server's version knows, and answer what it does not know with
// the server's words.
func TestClientFilters(t *testing.T) {
	for _, bin := range proxytest.Matrix(t) {
		t.Run(bin.String(), func(t *testing.T) {
			t.Parallel()
			direct := proxytest.Spec{Kind: bin.Kind}.Start(t)
			behind := proxytest.Spec{Kind: bin.Kind}.Start(t)
			addr := serve(t, behind.Addr, func(o *proxy.Options) { o.Workers = 2 })
			a, b := newCrowd(t, direct.Addr, direct.Addr), newCrowd(t, addr, behind.Addr)
			for _, filter := range clientFilters {
				// The older servers list by ids in the order of the ids.
				old := bin.Kind != "valkey81" && bin.Kind != "valkey9"
				compareFilter(t, a, b, filter, old && strings.HasPrefix(filter, "ID"))
			}
		})
	}
}

func compareFilter(t *testing.T, a, b *crowd, filter string, inOrder bool) {
	t.Helper()
	a.complete()
	b.complete()
	var listed, killed [2]string
	for i, c := range []*crowd{a, b} {
		list := names(c.clients["me"].do("CLIENT LIST " + c.fill(filter)))
		if !inOrder {
			slices.Sort(list) // the server's order is that of connections
		}
		listed[i] = fmt.Sprint(list)
	}
	if listed[0] != listed[1] {
		t.Errorf("CLIENT LIST %s: directly %q, through the proxy %q", filter, listed[0], listed[1])
	}
	for i, c := range []*crowd{a, b} {
		killed[i] = c.clients["me"].do("CLIENT KILL " + c.fill(filter))
	}
	if killed[0] != killed[1] {
		t.Errorf("CLIENT KILL %s: directly %q, through the proxy %q", filter, killed[0], killed[1])
	}
	want := a.present()
	var got []string
	proxytest.Poll(t, fmt.Sprintf("CLIENT KILL %s to leave %v", filter, want), func() bool {
		got = b.present()
		return slices.Equal(got, want)
	})
}
