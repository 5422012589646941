package proxy_test

import (
	"io"
	"log/slog"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// BenchmarkDurableWrite counts what one durable write costs, its fence included, against one that is
// on no route: allocations are those of the whole process.
func BenchmarkDurableWrite(b *testing.B) {
	srv := durable(b)
	replicaOf(b, srv)
	for name, key := range map[string]string{"plain": "x", "durable": "pay:1"} {
		for kind, demand := range map[string]policy.Demand{
			"replicas": {Replicas: 1}, "aof": {AOFLocal: true}, "journal": {Journal: true},
		} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				options := []func(*proxy.Options){route(demand), silent}
				if demand.Journal {
					options = append(options, withJournal(b.TempDir()))
				}
				addr := serve(b, srv.Addr, options...)
				c := dial(b, addr)
				eventually(b, c)
				frame := []byte(proxytest.Command("SET", key, "v"))
				reply := make([]byte, len("+OK\r\n"))
				b.ReportAllocs()
				for b.Loop() {
					c.Write(frame)
					if _, err := io.ReadFull(c.r, reply); err != nil || reply[0] != '+' {
						b.Fatalf("%q, %v", reply, err)
					}
				}
			})
		}
	}
}

func silent(o *proxy.Options) { o.Logger = slog.New(slog.DiscardHandler) }
