package repair

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"holdfast/journal/keyspace"
)

// TestNoRoom repairs a server that evicts keys for the repair: the incident stays open, and the
// same repair ends once the server has room.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	ways[0].keep(r)
	for i := range 400 {
		r.srv.MustDo("SET", fmt.Sprint("k:", i), strings.Repeat("x", 10_000))
	}
	want := contents(t, r.srv)
	r.recorded()
	ways[0].lose(r)
	n := r.incident()
	used, err := strconv.ParseInt(r.srv.Info("memory")["used_memory"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	r.srv.MustDo("CONFIG", "SET", "maxmemory", used+2_000_000, "maxmemory-policy", "allkeys-random")
	var full *keyspace.NoRoomError
	if rep, err := Run(context.Background(), r.options(n)); !errors.As(err, &full) || rep.Done() ||
		strings.Contains(strings.Join(rep.Lines(), " "), "libraries") {
		t.Fatalf("%+v, %v", rep, err)
	}
	r.srv.MustDo("CONFIG", "SET", "maxmemory", 0)
	r.recorded()
	o := r.options(n)
	o.Conflicts = Replace // an eviction looks like a client's DEL
	if rep := r.repair(o); !rep.Done() {
		t.Errorf("%+v", rep)
	}
	if bad := differ(contents(t, r.srv), want); len(bad) > 0 {
		t.Errorf("%d keys: %s", len(bad), bad[0])
	}
}
