package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/upstream"
)

// turns is how many turns the first worker's loop has made.
func turns(srv *Server) uint64 {
	n := make(chan uint64)
	w := srv.workers[0]
	w.loop.Post(func() { n <- w.loop.Stats().Turns })
	return <-n
}

// However many refused commands come at once, a turn of the loop answers a few; and what they stand
// between is answered in its place.
func TestRefusalsTakeTurns(t *testing.T) {
	server := proxytest.StartServer(t)
	srv, err := New(Options{
		Listeners: []Listener{{Address: "127.0.0.1:0"}}, Workers: 1,
		Rules:    []policy.RuleSpec{{Name: "no", Commands: []string{"flushall"}, Action: "deny"}},
		Upstream: upstream.Options{Address: server.Addr},
		Logger:   slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	proxytest.Poll(t, "the proxy listens", func() bool { return len(srv.Addrs()) > 0 })
	c, err := net.Dial("tcp", srv.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	const n, each = 100, 40 // refusals in a row
	before := turns(srv)
	var all strings.Builder
	for i := range n {
		all.WriteString(strings.Repeat("FLUSHALL\r\n", each))
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
	for i := range n {
		for j := range each {
			if got := line(); !strings.HasPrefix(got, "-DENIED") {
				t.Fatalf("refusal %d of %d: %q", j, i, got)
			}
		}
		if got := line() + line(); !strings.HasSuffix(got, fmt.Sprintf("\r\n%d\r\n", i)) {
			t.Fatalf("echo %d: %q", i, got)
		}
	}
	if got := turns(srv) - before; got < n*each/20 {
		t.Errorf("%d refusals took %d turns", n*each, got)
	}
}
