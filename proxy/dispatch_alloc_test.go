package proxy_test

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// A plain command costs no allocation on its way to the server and back. The frame in hand escapes as
// soon as one handler returns or keeps the pointer to it, and then each command pays for that.
func TestCommandsAllocateNothing(t *testing.T) { // not parallel: it counts the process's allocations
	const batch, batches = 50, 100
	srv := proxytest.StartServer(t)
	for _, row := range []struct{ name, frame, reply string }{
		{"SET", proxytest.Command("SET", "k", "v"), "+OK\r\n"},
		{"GET", proxytest.Command("GET", "k"), "$1\r\nv\r\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := dial(t, serve(t, srv.Addr, silent, func(o *proxy.Options) { o.Workers = 1 }))
			frames := []byte(strings.Repeat(row.frame, batch))
			want := strings.Repeat(row.reply, batch)
			replies := make([]byte, len(want))
			round := func() {
				c.Write(frames)
				if _, err := io.ReadFull(c.r, replies); err != nil || string(replies) != want {
					t.Fatalf("got %q, %v", replies, err)
				}
			}
			for range batches {
				round()
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range batches {
				round()
			}
			runtime.ReadMemStats(&after)
			if n := after.Mallocs - before.Mallocs; n > batch*batches/10 {
				t.Errorf("%d commands cost %d allocations", batch*batches, n)
			}
		})
	}
}
