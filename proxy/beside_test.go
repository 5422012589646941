package proxy

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/proxy/admin"
	"holdfast/proxy/proxytest"
)

// The lines of CLIENT LIST are made beside the loop: others go on meanwhile.
func TestClientListIsMadeBesideTheLoop(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.server.change(func() {
			b.server.instead["client list"] = proxytest.Bulk("id=1 addr=fake:1 cmd=client|list\n")
		})
		lister, other := b.client(), b.client()
		b.w.desk.free <- struct{}{} // the desk is busy
		lister.send("CLIENT LIST")
		if got := lister.take(); got != "" {
			t.Fatalf("the loop has made %q itself", got)
		}
		other.send("GET k")
		other.expect("$1\r\nx\r\n")
		<-b.w.desk.free
		if got := lister.take(); strings.Count(got, "addr=pipe") != 2 {
			t.Errorf("the list is %q", got)
		}
	})
}

// Long work beside the loop is done one piece after the other, and takes a part of a processor.
func TestWorkBesideTheLoopRests(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		const work, pieces = 3 * time.Millisecond, 10
		began, done := time.Now(), 0
		b.onLoop(func() {
			for range pieces {
				b.w.beside(func() { time.Sleep(work) }, func() { done++ })
			}
		})
		for n := range pieces {
			b.sleep(time.Until(began.Add(time.Duration(n)*work*deskShare + work)))
			b.onLoop(func() {
				if done != n+1 {
					t.Fatalf("%d pieces are done after %v, want %d", done, time.Since(began), n+1)
				}
			})
		}
	})
}

// A census of many sessions takes several turns of the loop.
func TestCensusTakesTurns(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		for range 2*censusSlice + 1 {
			b.client()
		}
		var began, ended uint64
		n := 0
		b.onLoop(func() {
			began = b.w.loop.Stats().Turns
			b.w.countAll(func(c *census) { ended, n = b.w.loop.Stats().Turns, len(c.sessions) })
		})
		if n != 2*censusSlice+1 || ended < began+2 {
			t.Errorf("a census of %d sessions took %d turns", n, ended-began+1)
		}
	})
}

// The console reads many sessions in several turns, and one reader does so at a time.
func TestConsoleReadsSessionsInSlices(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		for range 2*censusSlice + 1 {
			b.client()
		}
		turns := map[uint64]int{} // how many sessions each turn has described
		read := func() ([]uint64, error) {
			return gatherSlices(context.Background(), b.srv.loops,
				func(w *worker) []*session { return slices.Collect(maps.Values(w.sessions)) },
				func(s *session) (uint64, bool) {
					turns[s.w.loop.Stats().Turns]++
					return s.id, true
				})
		}
		ids, err := read()
		if err != nil || len(ids) != 2*censusSlice+1 {
			t.Fatalf("%d sessions, %v", len(ids), err)
		}
		for turn, n := range turns {
			if n > censusSlice {
				t.Errorf("%d sessions are described in turn %d", n, turn)
			}
		}
		b.srv.backend.turn <- struct{}{}
		got := make(chan int, 1)
		go func() {
			all, _, _ := b.srv.backend.Sessions(context.Background(), admin.SessionQuery{})
			got <- len(all)
		}()
		b.settle()
		if len(got) != 0 {
			t.Error("two readers are at work")
		}
		<-b.srv.backend.turn
		if n := <-got; n != len(ids) {
			t.Errorf("%d sessions, want %d", n, len(ids))
		}
	})
}
