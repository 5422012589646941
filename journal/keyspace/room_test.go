package keyspace

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// TestNoRoom writes into servers that take no more: Sync ends with one error about the server, writes
// nothing else, and ends its work once the server has room.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	const count = 400 // of 10,000 bytes, some batches
	src := proxytest.Spec{}.Start(t)
	for i := range count {
		src.MustDo("SET", fmt.Sprint("k:", i), strings.Repeat("x", 10_000))
	}
	for _, c := range []struct {
		name string
		full func(dst *proxytest.Server, limit int64)
		want string // in the error
	}{
		{"evicts", func(dst *proxytest.Server, limit int64) {
			dst.MustDo("CONFIG", "SET", "maxmemory", limit, "maxmemory-policy", "allkeys-random")
		}, "evicts keys to make room"},
		{"out of memory", func(dst *proxytest.Server, limit int64) {
			dst.MustDo("CONFIG", "SET", "maxmemory", limit, "maxmemory-policy", "noeviction")
		}, "has no memory for more: OOM"},
		{"lacks replicas", func(dst *proxytest.Server, _ int64) {
			dst.MustDo("CONFIG", "SET", "min-replicas-to-write", 1)
		}, "refuses all writes: NOREPLICAS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dst := proxytest.Spec{}.Start(t)
			used, _ := strconv.ParseInt(dst.Info("memory")["used_memory"], 10, 64)
			c.full(dst, used+2_000_000)
			source, target := open(t, src), open(t, dst)
			room, err := NewRoom(context.Background(), target)
			if err != nil {
				t.Fatal(err)
			}
			o := Options{Source: source, Target: target, Decide: always, Verify: true, Room: room}
			keys := all(t, source)
			results := 0
			err = Sync(context.Background(), o, KeysOf(keys), func(r Result) error {
				if results++; r.Outcome != Written {
					t.Errorf("%v: %v: %v", r.Key, r.Outcome, r.Reason)
				}
				return nil
			})
			var full *NoRoomError
			if !errors.As(err, &full) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if results == count {
				t.Error("it went on to the end")
			}
			dst.MustDo("CONFIG", "SET", "maxmemory", 0, "min-replicas-to-write", 0)
			if o.Room, err = NewRoom(context.Background(), target); err != nil {
				t.Fatal(err)
			}
			outcomes(t, o, keys)
			if a, b := src.MustDo("DEBUG", "DIGEST"), dst.MustDo("DEBUG", "DIGEST"); a != b {
				t.Errorf("digests %v and %v", a, b)
			}
		})
	}
}
