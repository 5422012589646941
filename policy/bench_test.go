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

// BenchmarkRequest is what the data path pays for a plain command: look-up and verdict.
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
