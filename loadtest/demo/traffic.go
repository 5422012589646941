package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"holdfast/loadtest/harness"
	"holdfast/proxy/proxytest/local"
)

// think is the time from one command of a client to its next.
const think = 2 * time.Millisecond

// lap holds the latencies of the clients' commands since the last one.
type lap struct {
	N, Errors     int
	Example       string // of an error
	P50, P99, Max time.Duration
}

func (l lap) String() string {
	return fmt.Sprintf("%d commands, p50 %v, p99 %v, the longest %v", l.N, l.P50, l.P99, l.Max)
}

// traffic is clients that read and write through the proxy until ctx ends. The parent process asks
// for a lap by a line, and reads it as JSON.
type traffic struct {
	times   harness.Times // of commands
	errs    int
	example string
}

// runTraffic runs n clients until asks ends. A client that loses its connection ends them all.
func runTraffic(ctx context.Context, addr string, n int, asks io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked := make(chan struct{})
	go passOn(ctx, asks, asked, cancel)
	t := &traffic{}
	laps := json.NewEncoder(out)
	var failed error
	p := &paced{every: think, burst: t.burst, answer: t.answer, took: t.took}
	p.turn = func() {
		select {
		case <-asked:
			if failed = laps.Encode(t.lap()); failed != nil {
				cancel()
			}
		default:
		}
	}
	if err := p.run(ctx, addr, n); err != nil {
		return err
	}
	return failed
}

// passOn passes lines on as they come, and reports the end of the input. Waiting for input cannot
// be cancelled, so it is not joined.
func passOn(ctx context.Context, in io.Reader, lines chan<- struct{}, ended func()) {
	defer ended()
	for s := bufio.NewScanner(in); s.Scan(); {
		select {
		case lines <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// burst is one command: a client writes a key and then reads it.
func (t *traffic) burst(conn, round int, out []byte) ([]byte, int) {
	key := loadPrefix + strconv.Itoa(conn) + ":" + strconv.Itoa(round/2%500)
	if round%2 == 1 {
		return local.AppendCommand(out, "GET", key), 1
	}
	return local.AppendCommand(out, "SET", key, "written in round "+strconv.Itoa(round)), 1
}

func (t *traffic) answer(line []byte) {
	if line[0] == '-' {
		t.errs++
		t.example = string(line)
	}
}

func (t *traffic) took(d time.Duration) { t.times.Add(d, 1) }

// lap returns the figures since the last one.
func (t *traffic) lap() lap {
	l := lap{N: t.times.N(), Errors: t.errs, Example: t.example,
		P50: t.times.Quantile(0.5), P99: t.times.Quantile(0.99), Max: t.times.Max()}
	*t = traffic{}
	return l
}
