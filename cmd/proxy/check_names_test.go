package main

import (
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

func TestCheckRenamed(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		out := expectCheck(t, exitDone, "upstream: {address: \""+srv.Addr+"\"}\n", nil,
			"warn  rules: the server has CONFIG, FLUSHALL by other names (rename-command)")
		if strings.Contains(out, " is restricted, and not") {
			t.Errorf("the built-in rules forget something:\n%s", out)
		}
	}, "--rename-command", "flushall", "boom",
		"--rename-command", "config", "cfg", "--rename-command", "debug", "")
}

func TestCheckForgotten(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	expectCheck(t, exitDone, "upstream: {address: \""+srv.Addr+"\"}\n"+
		"rules: [{name: f, commands: [flushall, debug], action: deny}]\n", nil,
		"warn  rules: FLUSHALL is restricted, and not FLUSHDB, REPLICAOF, FAILOVER, SHUTDOWN, "+
			"MODULE LOAD, MODULE LOADEX, ACL SETUSER, ACL LOAD, CONFIG SET, by which")
	out := expectCheck(t, exitDone, "upstream: {address: \""+srv.Addr+"\"}\n"+
		"rules: [{name: f, commands: [del, unlink], keys: ['pay:*'], databases: [3, 16], action: deny}]\n",
		nil, "warn  rules: DEL is restricted, and not GETDEL, RENAME, RESTORE, COPY, MIGRATE, by which",
		`warn  rules: FILE:2:9: rule "f" names database 16, and the server has 16`)
	if strings.Contains(out, "FLUSHALL is") || strings.Contains(out, "database 3,") {
		t.Error(out)
	}
}

func TestCheckEviction(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	expectCheck(t, exitDone, "upstream: {address: \""+srv.Addr+"\"}\n"+trashRules, nil,
		"warn  trash: the server evicts keys of any kind when it is full (allkeys-lru), those in the "+
			"trash and its ledger, too")
	srv.MustDo("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
	expectCheck(t, exitDone, "upstream: {address: \""+srv.Addr+"\"}\n"+trashRules, nil,
		"warn  trash: the server evicts keys with a time to live when it is full (volatile-ttl), those "+
			"in the trash, too")
}
