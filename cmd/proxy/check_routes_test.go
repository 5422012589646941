package main

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// routesFile is a file with routes for a server, one of them demanding each of acks.
func routesFile(address string, acks ...string) string {
	text := fmt.Sprintf("upstream: {address: %q}\nroutes:\n", address)
	for i, ack := range acks {
		text += fmt.Sprintf("  - {name: r%d, ack: {%s}}\n", i, ack)
	}
	return text
}

func TestCheckRoutes(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	host, port, _ := strings.Cut(srv.Addr, ":")
	expectCheck(t, exitFailed, routesFile(srv.Addr, "replicas: 2", "aof: {local: true}"), nil,
		`warn  routes: FILE:3:5: route "r0" demands replicas 2, which cannot be proven now: `+
			`0 of 2 replicas are online; until then its writes are refused; to change that: `+
			`start 2 more replicas, each with REPLICAOF `+host+" "+port,
		`FAIL  routes: FILE:4:5: route "r1" demands aof local, which can never be proven like this: `+
			`the append-only file is off: set appendonly yes; to change that: `+
			`CONFIG SET appendonly yes; CONFIG SET appendfsync always`,
		"warn  routes: CONFIG SET lasts until the server restarts",
		"ok    routes: the control user default may do what proofs take")

	replica := proxytest.StartServer(t, "--appendonly", "yes", "--appendfsync", "no")
	replica.MustDo("REPLICAOF", host, port)
	srv.MustDo("CONFIG", "SET", "appendonly", "yes", "appendfsync", "always")
	proxytest.Poll(t, "the replica is online, and has loaded what it was sent", func() bool {
		return strings.Contains(fmt.Sprint(srv.MustDo("INFO", "replication")), "state=online") &&
			replica.Info("replication")["master_link_status"] == "up"
	})
	expectCheck(t, exitFailed, routesFile(srv.Addr, "aof: {replicas: 1}"), nil,
		`FAIL  routes: FILE:3:5: route "r0" demands aof replicas 1, which can never be proven like `+
			`this: 0 of 1 replicas have an append-only file to believe (`+replica.Addr+
			`: appendfsync no never fsyncs: set appendfsync always); to change that: on `+replica.Addr+
			`: CONFIG SET appendfsync always`,
		"warn  routes: CONFIG SET lasts until the server restarts")
	replica.MustDo("CONFIG", "SET", "appendfsync", "always")
	out := expectCheck(t, exitDone, routesFile(srv.Addr, "replicas: 1, aof: {local: true, replicas: 1}")+
		"  - {name: far, databases: [0, 16], ack: {replicas: 2}, when_unavailable: pass}\n", nil,
		`ok    routes: FILE:3:5: route "r0" demands replicas 1, aof local, aof replicas 1, which can `+
			`be proven now`,
		`warn  routes: FILE:4:5: route "far" demands replicas 2, which cannot be proven now: 1 of 2 `+
			`replicas are online; until then its writes are acknowledged without (when_unavailable: `+
			`pass); to change that: start one more replica, with REPLICAOF `,
		`warn  routes: FILE:4:5: route "far" names database 16, and the server has 16`)
	if strings.Contains(out, "CONFIG SET") {
		t.Error(out)
	}
}

func TestCheckRoutesWithoutServer(t *testing.T) {
	t.Parallel()
	text := routesFile("127.0.0.1:1", "replicas: 1", "aof: {local: true}")
	expectCheck(t, exitDone, text, offline,
		`ok    routes: FILE:3:5: route "r0" demands replicas 1`,
		`ok    routes: FILE:4:5: route "r1" demands aof local`)
	expectCheck(t, exitFailed, text, nil, "FAIL  upstream: ", `ok    routes: FILE:3:5: route "r0"`)
	if out := expectCheck(t, exitDone, "", offline); strings.Contains(out, "routes") {
		t.Error(out)
	}
}

// What WAITAOF is worth depends on the server.
func TestCheckRoutesByServer(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		srv.MustDo("CONFIG", "SET", "appendonly", "yes")
		text := routesFile(srv.Addr, "aof: {local: true}")
		version := srv.Binary.Version
		early := srv.Binary.Kind == "valkey" && !strings.HasPrefix(version, "7.") ||
			srv.Binary.Kind == "redis" && strings.HasPrefix(version, "7.4.")
		switch {
		case strings.HasPrefix(version, "7.0."):
			expectCheck(t, exitFailed, text+"  - {name: far, ack: {aof: {replicas: 1}}}\n", nil,
				`FAIL  routes: FILE:3:5: route "r0" demands aof local, which can never be proven like `+
					`this: redis `+version+` has no WAITAOF: use 7.2 or newer`,
				`FAIL  routes: FILE:4:5: route "far" demands aof replicas 1, which can never be proven`)
			return
		case early:
			expectCheck(t, exitFailed, text, nil,
				`FAIL  routes: FILE:3:5: route "r0" demands aof local, which can never be proven like `+
					`this: under appendfsync everysec, WAITAOF of `+srv.Binary.Kind+" "+version+
					` answers before the fsync: set appendfsync always; to change that: `+
					`CONFIG SET appendfsync always`)
		default:
			expectCheck(t, exitDone, text, nil,
				`ok    routes: FILE:3:5: route "r0" demands aof local, which can be proven now`,
				`warn  routes: FILE:3:5: route "r0" waits for at most 1s, and under appendfsync everysec`)
		}
		srv.MustDo("CONFIG", "SET", "appendfsync", "always", "no-appendfsync-on-rewrite", "yes")
		expectCheck(t, exitFailed, text, nil, `FAIL  routes: FILE:3:5: route "r0" demands aof local, `+
			`which can never be proven like this: during a rewrite nothing is fsynced: set `+
			`no-appendfsync-on-rewrite no; to change that: CONFIG SET no-appendfsync-on-rewrite no`)
		srv.MustDo("CONFIG", "SET", "no-appendfsync-on-rewrite", "no")
		expectCheck(t, exitDone, text, nil,
			`ok    routes: FILE:3:5: route "r0" demands aof local, which can be proven now`)
	})
}

// The line that check proposes is enough: sent as it is, nothing is missing any more.
func TestCheckRoutesLogin(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("CONFIG", "SET", "appendonly", "yes", "appendfsync", "always")
	journal := t.TempDir()
	for name, acl := range map[string]string{
		"meek":  "+ping +client +acl +info +config|get",
		"mute":  "~* +ping +client +acl +info +config|get",
		"other": "~other:* +@all",
		"blind": "+@all ~* -wait -waitaof -select",
	} {
		words := []any{"ACL", "SETUSER", name, "on", ">x"}
		for _, word := range strings.Fields(acl) {
			words = append(words, word)
		}
		srv.MustDo(words...)
		text := fmt.Sprintf("journal: {dir: %q}\nupstream: {address: %q, username: %s, password: x}\n"+
			"routes: [{name: r, ack: {journal: true, aof: {local: true}}}, "+
			"{name: s, ack: {replicas: 1}}]\n", journal, srv.Addr, name)
		out := expectCheck(t, exitFailed, text, nil,
			"FAIL  routes: the control user "+name+" may not run ")
		_, fix, _ := strings.Cut(out, "without which nothing is proven: ")
		fix, _, _ = strings.Cut(fix, "\n")
		words = words[:0]
		for _, word := range strings.Fields(fix) {
			words = append(words, word)
		}
		srv.MustDo(words...)
		if !strings.HasPrefix(fix, "ACL SETUSER "+name+" ") {
			t.Errorf("%s: %q in\n%s", name, fix, out)
		}
		expectCheck(t, exitDone, text, nil,
			"ok    routes: the control user "+name+" may do what proofs take")
	}
	srv.MustDo("ACL", "SETUSER", "dry", "on", ">x", "~*", "+@all", "-acl|dryrun")
	expectCheck(t, exitDone, "upstream: {address: \""+srv.Addr+"\", username: dry, password: x}\n"+
		"routes: [{name: r, ack: {aof: {local: true}}}]\n", nil,
		"warn  routes: whether the control user dry may do what proofs take is unknown: ACL DRYRUN: ")
}

func TestCheckRoutesOfAnInvalidFile(t *testing.T) {
	t.Parallel()
	expectCheck(t, exitFailed, "routes: [{name: a, ack: {journal: true}}]\n", offline,
		"FAIL  routes: FILE:1:35: routes[0].ack.journal: needs journal.dir")
}

// Routes take the server's highest database from clients.
func TestCheckRoutesHiddenKeys(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--appendonly", "yes", "--appendfsync", "always")
	const set = "redis.call('SELECT', 15) return redis.call('SET', KEYS[1], 'x')"
	text := routesFile(srv.Addr, "aof: {local: true}")
	srv.MustDo("EVAL", set, 1, "holdfast:fence")
	if out := expectCheck(t, exitDone, text, nil); strings.Contains(out, "database 15") {
		t.Error(out)
	}
	srv.MustDo("EVAL", set, 1, "mine")
	expectCheck(t, exitDone, text, nil, "warn  routes: database 15 is hidden from clients for the mark "+
		"that proofs of replicas and append-only files write, and there are keys in it (1): on the "+
		"server itself, MOVE them to another database, or give it one more (databases 17)")
	for _, other := range []string{text + trashRules,
		fmt.Sprintf("upstream: {address: %q}\n", srv.Addr)} {
		if out := expectCheck(t, exitDone, other, nil); strings.Contains(out, "database 15") {
			t.Error(out)
		}
	}
}

func TestCheckRoutesInClusterMode(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--cluster-enabled", "yes")
	expectCheck(t, exitFailed, routesFile(srv.Addr, "replicas: 1"), nil,
		`FAIL  routes: FILE:3:5: route "r0" demands replicas 1, which can never be proven like this: `+
			`the server is in cluster mode`)
}
