package keyspace

import (
	"context"
	"fmt"
	"testing"

	"holdfast/proxy/proxytest"
)

// BenchmarkCompare compares keys that are the same, and BenchmarkWrite writes those that are missing:
// an operation is one key.
func BenchmarkCompare(b *testing.B) { benchmark(b, nil) }

// BenchmarkWrite: see BenchmarkCompare.
func BenchmarkWrite(b *testing.B) { benchmark(b, always) }

func benchmark(b *testing.B, decide func(Comparison) Action) {
	const keys = 20_000
	src, dst := proxytest.StartServer(b), proxytest.StartServer(b)
	for _, srv := range []*proxytest.Server{src, dst} {
		srv.MustDo("EVAL", `for i = 1, ARGV[1] do
			redis.call('SET', 'key:' .. i, string.rep('x', 100))
			redis.call('HSET', 'hash:' .. i, 'f', i, 'g', 'x')
		end`, 0, keys/2)
	}
	o := Options{Source: open(b, src), Target: open(b, dst), Decide: decide, Verify: decide != nil}
	b.ResetTimer()
	for n := 0; n < b.N; {
		if decide != nil {
			b.StopTimer()
			dst.MustDo("FLUSHALL")
			b.StartTimer()
		}
		seq := func(yield func(Key, error) bool) {
			for i := 0; i < keys && n < b.N; i++ {
				n++
				if !yield(Key{0, fmt.Sprintf("%s:%d", []string{"key", "hash"}[i%2], i/2+1)}, nil) {
					return
				}
			}
		}
		err := Sync(context.Background(), o, seq, func(r Result) error {
			if decide == nil && r.Relation != Same || decide != nil && !r.Verified {
				b.Errorf("%v: %v %v", r.Key, r.Relation, r.Outcome)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
