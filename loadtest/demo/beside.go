package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
)

// The flood and the measured clients are processes of their own. The kernel then divides the
// processor between them and the demo itself, as among machines, and none of them has a garbage
// collector at work.

// crew starts the two processes. The test runs them in its own process.
type crew struct {
	flood   func(context.Context, string, *options) (answers, error)
	clients func(context.Context, string, int) (*clients, error)
}

// clients is the background traffic.
type clients struct {
	asks io.WriteCloser
	laps *json.Decoder
	wait func() error

	total, errs int
	example     string
}

// lap asks for the figures since the last lap.
func (c *clients) lap() (l lap, err error) {
	if _, err = c.asks.Write([]byte("lap\n")); err != nil {
		return l, err
	}
	if err = c.laps.Decode(&l); err != nil {
		return l, err
	}
	c.total += l.N
	c.errs += l.Errors
	if l.Example != "" {
		c.example = l.Example
	}
	return l, nil
}

// stop ends the clients, after a last lap.
func (c *clients) stop() error {
	_, err := c.lap()
	return errors.Join(err, c.asks.Close(), c.wait())
}

// besideCrew starts them as processes: this program with other flags.
var besideCrew = crew{flood: floodBeside, clients: clientsBeside}

func beside(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), "GOGC=off", "GOMEMLIMIT=256MiB")
	cmd.Stderr = os.Stderr
	return cmd, nil
}

func floodBeside(ctx context.Context, addr string, o *options) (a answers, err error) {
	cmd, err := beside(ctx, "--flood", addr, "--flushes", strconv.Itoa(o.flushes),
		"--conns", strconv.Itoa(o.conns), "--span", o.span.String(), "--depth", strconv.Itoa(o.depth))
	if err != nil {
		return a, err
	}
	out, err := cmd.Output()
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(out, &a)
}

func clientsBeside(ctx context.Context, addr string, n int) (*clients, error) {
	cmd, err := beside(ctx, "--traffic", addr, "--clients", strconv.Itoa(n))
	if err != nil {
		return nil, err
	}
	asks, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &clients{asks: asks, laps: json.NewDecoder(out), wait: cmd.Wait}, nil
}
