package proxy_test

import (
	"slices"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// A full trash is said wherever an operator looks, and so is that it has room again.
func TestAFullTrashIsSaid(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, withTrash)
	c := dial(t, addr)
	want := func(free int) {
		t.Helper()
		trash, err := p.Trash(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(trash.Databases, []int{8, 9, 10, 11, 12, 13, 14}) || trash.Ledger != 15 || trash.Free != free {
			t.Errorf("got %+v, want %d free", trash, free)
		}
		full := free == 0
		if first := trash.Entries; len(first) > 0 && !trash.RoomAt.Equal(first[0].Until) {
			t.Errorf("room at %v, want %v", trash.RoomAt, first[0].Until)
		}
		proxytest.Poll(t, "readiness and metrics to say so", func() bool {
			snap, err := p.Snapshot(t.Context())
			said := strings.Contains(strings.Join(p.Degraded(), "\n"), "trash: full, flushes are denied")
			return err == nil && snap.Trash != nil && snap.Trash.Databases == 7 && snap.Trash.Free == free && said == full
		})
	}
	want(7)
	for range 7 {
		c.do("SET k v")
		if got := c.do("FLUSHALL"); got != "+OK\r\n" {
			t.Fatal(got)
		}
	}
	c.do("SET k v")
	if got := c.do("FLUSHALL"); !strings.HasPrefix(got, "-DENIED") || !strings.Contains(got, "full") {
		t.Errorf("got %q", got)
	}
	want(0)
	if err := p.Purge(t.Context(), theTrash(t, p)[3].ID); err != nil {
		t.Fatal(err)
	}
	want(1)
}
