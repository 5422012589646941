package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/upstream"
)

// turns is how many turns the first worker's loop has made.
func turns(srv *Server) uint64 {
	n := make(chan uint64)
	w := srv.loops.workers[0]
	w.loop.Post(func() { n <- w.loop.Stats().Turns })
	return <-n
}

// However many refused commands come at once, a turn of the loop answers a few; and what they stand
// between is answered in its place.
func TestRefusalsTakeTurns(t *testing.T) {
	t.Parallel()
	took := refusedInARow(t, Options{
		Rules: []policy.RuleSpec{{Name: "no", Commands: []string{"flushall"}, Action: "deny"}},
	}, "FLUSHALL\r\n", "-DENIED")
	if took < refusedRuns*refusedEach/20 {
		t.Errorf("%d refusals took %d turns", refusedRuns*refusedEach, took)
	}
}

// Who writes on a route whose proof cannot be had is not slowed for it.
func TestUndurableTakesNoTurns(t *testing.T) {
	t.Parallel()
	took := refusedInARow(t, Options{Routes: []policy.RouteSpec{
		{Name: "replicated", Keys: []string{"pay:*"}, Demand: policy.Demand{Replicas: 1}},
	}}, "SET pay:1 1\r\n", "-NODURABLE")
	if took > refusedRuns*refusedEach/20 {
		t.Errorf("%d answers -NODURABLE took %d turns", refusedRuns*refusedEach, took)
	}
}

// Clients that are not let in share the pace of refusals, whatever they send and however many they are.
// A slow machine only makes that slower.
func TestStrangersTakeTurns(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ line, answer string }{
		{"GET k", "-NOAUTH"}, {"NONSENSE k", "-ERR unknown command"}, {"EXEC", "-EXECABORT"},
		{"AUTH wrong", "-WRONGPASS"}, {"HELLO 3 AUTH default wrong", "-WRONGPASS"}, {"HELLO 3", "-NOAUTH"},
	} {
		t.Run(row.line, func(t *testing.T) {
			t.Parallel()
			srv, up := serveOneOf(t, Options{})
			up.MustDo("CONFIG", "SET", "requirepass", "right")
			const clients, each = 20, 100
			var all sync.WaitGroup
			began := time.Now()
			for range clients {
				all.Go(func() {
					if err := refusedEachTime(srv, row.line, row.answer, each); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			// A turn may answer some in advance: one for each client, and a burst.
			least := time.Duration(clients*each-clients-10*refusalBurst) * time.Duration(refusalEvery)
			if took := time.Since(began); took < least {
				t.Errorf("%d refusals took %v, want %v at least", clients*each, took, least)
			}
		})
	}
}

// refusedEachTime sends a line n times over one connection, all at once.
func refusedEachTime(srv *Server, line, answer string, n int) error {
	c, err := net.Dial("tcp", srv.Addrs()[0].String())
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, strings.Repeat(line+"\r\n", n)); err != nil {
		return err
	}
	in := bufio.NewReader(c)
	for range n {
		if err := c.SetReadDeadline(time.Now().Add(proxytest.PollTimeout)); err != nil {
			return err
		}
		got, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("got %q, then %w, want %s", got, err, answer)
		}
		if !strings.HasPrefix(got, answer) {
			return fmt.Errorf("got %q, want %s", got, answer)
		}
	}
	return nil
}

const refusedRuns, refusedEach = 100, 40 // refusals in a row

// refusedInARow sends a command that is refused very often, with others between, checks all answers,
// and returns how many turns of the loop that took.
func refusedInARow(t *testing.T, o Options, command, answer string) (took uint64) {
	t.Helper()
	srv := serveOne(t, o)
	c, err := net.Dial("tcp", srv.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before := turns(srv)
	var all strings.Builder
	for i := range refusedRuns {
		all.WriteString(strings.Repeat(command, refusedEach))
		fmt.Fprintf(&all, "ECHO %d\r\n", i)
	}
	if _, err := io.WriteString(c, all.String()); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	line := func() string {
		text, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for i := range refusedRuns {
		for j := range refusedEach {
			if got := line(); !strings.HasPrefix(got, answer) {
				t.Fatalf("refusal %d of %d: %q", j, i, got)
			}
		}
		if got := line() + line(); !strings.HasSuffix(got, fmt.Sprintf("\r\n%d\r\n", i)) {
			t.Fatalf("echo %d: %q", i, got)
		}
	}
	return turns(srv) - before
}

// serveOne runs a proxy with one worker in front of a server of its own.
func serveOne(t *testing.T, o Options) *Server {
	t.Helper()
	srv, _ := serveOneOf(t, o)
	return srv
}

// serveOneOf is serveOne, with that server.
func serveOneOf(t *testing.T, o Options) (*Server, *proxytest.Server) {
	t.Helper()
	up := proxytest.StartServer(t)
	o.Listeners, o.Workers = []Listener{{Address: "127.0.0.1:0"}}, 1
	o.Upstream = upstream.Options{Address: up.Addr}
	o.Logger = slog.New(slog.DiscardHandler)
	srv, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	proxytest.Poll(t, "the proxy listens", func() bool { return len(srv.Addrs()) > 0 })
	return srv, up
}
