package policy

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkLookup(b *testing.B) {
	table := Builtin()
	for _, name := range []string{"GET", "set", "hgetall", "ZRANGEBYSCORE", "CONFIG SET", "nosuch"} {
		b.Run(name, func(b *testing.B) {
			args := split(name + " x y")
			b.ReportAllocs()
			for b.Loop() {
				table.Lookup(args)
			}
		})
	}
}

func BenchmarkKeys(b *testing.B) {
	table := Builtin()
	for _, line := range []string{"GET k", "MSET a 1 b 2 c 3", "EVAL s 2 a b c", "SORT k BY n STORE d",
		"XREADGROUP GROUP g c COUNT 10 STREAMS a b > >", "SET k v PX 100"} {
		b.Run(line, func(b *testing.B) {
			args, dst := split(line), make([]Key, 0, 16)
			cmd := table.Lookup(args)
			b.ReportAllocs()
			for b.Loop() {
				cmd.Keys(args, dst[:0])
			}
		})
	}
}

// BenchmarkDecide shows that a verdict costs the same with no rule and with many.
func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{0, 1, 50} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			var specs []RuleSpec
			for i := range n {
				specs = append(specs, RuleSpec{Name: fmt.Sprint(i), Action: "deny",
					Commands: []string{"@dangerous", "config|set"}, Except: []string{"info"}})
			}
			p, err := New(Options{Rules: specs})
			if err != nil {
				b.Fatal(err)
			}
			args := split("GET k")
			req := Request{Cmd: p.Table().Lookup(args), Args: args}
			b.ReportAllocs()
			for b.Loop() {
				p.Decide(&req)
			}
		})
	}
}

// BenchmarkDecideConditions has fifty rules with conditions: for a command that none names, for one
// that all name and none matches, and for one where the last decides by its keys.
func BenchmarkDecideConditions(b *testing.B) {
	var text strings.Builder
	for i := range 49 {
		fmt.Fprintf(&text, "r%d: deny del mget set users=u%d addr=10.0.%d.0/24\n", i, i, i)
	}
	text.WriteString("last: deny del keys=pay:*,ledger:*,*:gold")
	for _, line := range []string{"GET k", "SET k v", "DEL session:1", "DEL a b c d e f g h"} {
		b.Run(line, func(b *testing.B) {
			p := mustNew(b, Options{Rules: parseRules(b, text.String())})
			req := parseRequest(b, p, line)
			b.ReportAllocs()
			for b.Loop() {
				p.Decide(req)
			}
		})
	}
}

// BenchmarkRequest measures the data path's cost for a plain command: look-up and verdict.
func BenchmarkRequest(b *testing.B) {
	p, err := New(Options{Rules: DefaultRules()})
	if err != nil {
		b.Fatal(err)
	}
	args := split("GET k")
	b.ReportAllocs()
	for b.Loop() {
		req := Request{Cmd: p.Table().Lookup(args), Args: args}
		p.Decide(&req)
	}
}

// fiftyRules is the rules of loadtest/bench, as these tests write them.
const fiftyRules = `
migrations: allow @all users=migrate
operators: allow @admin @dangerous users=ops-* limit=10/s,20,user
backup: allow save bgsave lastsave config|get users=backup
office: allow @all addr=192.0.2.0/24
jump-host: confirm flushdb addr=198.51.100.7/32
guests: deny @write addr=203.0.113.0/24
reporting: deny @write users=reporting,bi
reporting-keys: deny keys smembers hgetall users=reporting
import-jobs: allow @write names=import-* limit=5000/s,5000,address
sidekiq: allow del unlink names=sidekiq
workers: deny flushdb flushall names=worker-*
session-store: deny keys @dangerous dbs=3
queue: allow @write dbs=4 limit=20000/s,20000,global
archive: deny @write dbs=9
payments: deny @write keys=payment:* users=reporting
ledger: deny @write keys=ledger:*:closed
frozen: deny @write keys=frozen:*,audit:*
config-keys: confirm set del unlink expire rename keys=config:*
locks: allow del unlink keys=lock:*
sessions: allow del unlink keys=session:* limit=1000/s,1000,user
carts: trash del unlink rename keys=cart:* keep=1h
profiles: trash del unlink getdel keys=user:*:profile keep=24h
big-deletes: deny del unlink over=1000
big-reads: deny mget over=10000
big-unions: deny sunion sinter sdiff over=100
flush: trash flushall flushdb keep=24h limit=1/m,1,user
keys: rewrite keys
save: rewrite save
shutdown: deny shutdown
debug: deny debug
replication: deny replicaof slaveof psync sync
failover: deny failover
cluster: deny cluster|reset cluster|failover cluster|meet
modules: deny module|load module|unload
config-set: confirm config|set
config-rewrite: deny config|rewrite config|resetstat
acl: deny acl|setuser acl|deluser acl|load
scripts: deny script|flush script|kill
functions: confirm function|flush function|delete function|restore
swapdb: deny swapdb
migrate: deny migrate
monitor: deny monitor limit=1/h,1,address
client-kill: deny client|kill client|pause
latency: deny latency|reset slowlog|reset
rename: trash rename keep=1h
restore: deny restore
sort: allow sort limit=100/s,100,user
scan: allow scan limit=500/s,500,session
publish: allow publish limit=10000/s,10000,user
dangerous: deny @dangerous @admin
`

// BenchmarkDecideMany is what fifty rules of many kinds cost commands that they let pass.
func BenchmarkDecideMany(b *testing.B) {
	for _, line := range []string{"GET key:000001", "SET key:000001 xxx", "SET key:1 xxx EX 100",
		"INCR counter", "MSET a 1 b 2", "DEL x", "PING", "EXPIRE x 100", "LPUSH l x"} {
		b.Run(line, func(b *testing.B) {
			p := mustNew(b, Options{Rules: parseRules(b, fiftyRules)})
			req := parseRequest(b, p, "addr=127.0.0.1 "+line)
			b.ReportAllocs()
			for b.Loop() {
				p.Decide(req)
			}
		})
	}
}
