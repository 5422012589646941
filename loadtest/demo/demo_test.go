package main

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"holdfast/loadtest/harness"
)

// clientsHere is clientsBeside in this process.
func clientsHere(ctx context.Context, addr string, n int) (*clients, error) {
	asks, w := io.Pipe()
	r, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := runTraffic(ctx, addr, n, asks, out)
		out.CloseWithError(io.EOF)
		asks.Close()
		done <- err
	}()
	return &clients{asks: w, laps: json.NewDecoder(r), wait: func() error { return <-done }}, nil
}

// The incident at a smaller size, with commands one by one and in pipelines. How long they take is
// for `make demo` to judge.
func TestIncident(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	proxy, err := harness.BuildProxy(dir)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	err = withStack(root, dir, proxy, func(s *stack) error {
		d := &demo{stack: s, out: &said, crew: crew{runFlood, clientsHere}, options: options{
			keys: 20_000, flushes: 10_000, conns: 50, depth: 3, clients: 10, span: time.Second,
			measure: 300 * time.Millisecond,
		}}
		return d.play(t.Context())
	})
	if err != nil {
		t.Errorf("%v\n%s", err, said.String())
	}
}

func TestCutReply(t *testing.T) {
	for _, tt := range []struct {
		in, line string
		size     int
	}{
		{"", "", 0}, {"+OK", "", 0}, {"+OK\r", "", 0}, {"+OK\r\n", "+OK", 5},
		{"+OK\r\n+OK\r\n", "+OK", 5}, {"-ERR a\r\n", "-ERR a", 8}, {":1\r\n", ":1", 4},
		{"$3\r\nab", "", 0}, {"$3\r\nabc\r\n+", "$3", 9}, {"$0\r\n\r\n", "$0", 6},
		{"$-1\r\n+", "$-1", 5},
	} {
		if line, size := cutReply([]byte(tt.in)); string(line) != tt.line || size != tt.size {
			t.Errorf("cutReply(%q) = %q, %d; want %q, %d", tt.in, line, size, tt.line, tt.size)
		}
	}
}

func TestLap(t *testing.T) {
	tr := &traffic{}
	for range 98 {
		tr.took(100 * time.Microsecond)
	}
	tr.took(3 * time.Millisecond)
	tr.took(time.Second)
	tr.answer([]byte("+OK"))
	tr.answer([]byte("-ERR no"))
	want := lap{N: 100, Errors: 1, Example: "-ERR no", P50: 100 * time.Microsecond,
		P99: 3 * time.Millisecond, Max: time.Second}
	got := tr.lap()
	got.P99, got.Max = got.P99.Round(10*time.Microsecond), got.Max.Round(time.Millisecond)
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := tr.lap(); got != (lap{}) {
		t.Errorf("after a lap: %+v", got)
	}
}
