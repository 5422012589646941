package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"time"

	"holdfast/loadtest/harness"
)

// options are the command line.
type options struct {
	keys    int
	flushes int
	conns   int
	clients int
	depth   int           // commands per connection before it reads their replies
	span    time.Duration // of the flood
	measure time.Duration // before it
	slower  float64       // the limit for p99 during the flood, relative to before; 0: none
}

func main() {
	harness.Main("demo", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.IntVar(&o.keys, "keys", 1_000_000, "size of the data set")
	fs.IntVar(&o.flushes, "flushes", 100_000, "FLUSHALLs that the bug sends")
	fs.IntVar(&o.conns, "conns", 50, "connections of the bug")
	fs.IntVar(&o.depth, "depth", 1, "how many of them a connection sends before it reads")
	fs.IntVar(&o.clients, "clients", 20, "clients that go on reading and writing")
	fs.DurationVar(&o.span, "span", 2*time.Second, "how long the flood lasts")
	fs.DurationVar(&o.measure, "measure", 3*time.Second, "how long the clients are watched before it")
	fs.Float64Var(&o.slower, "slower", 2, "how many times longer p99 may be meanwhile; 0: any")
	flood := fs.String("flood", "", "send the flood to this address and do nothing else")
	load := fs.String("traffic", "", "be the clients of this address and do nothing else")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if min(o.keys, o.flushes, o.conns, o.clients, o.depth) < 1 {
		return errors.New("keys, flushes, conns, clients and depth must be positive")
	}
	switch {
	case *load != "":
		return runTraffic(ctx, *load, o.clients, os.Stdin, out)
	case *flood != "":
		a, err := runFlood(ctx, *flood, &o)
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(a)
	}
	return play(ctx, o, out)
}

func play(ctx context.Context, o options, out io.Writer) error {
	root, dir, err := harness.Folders("demo")
	if err != nil {
		return err
	}
	return withStack(root, dir, filepath.Join(root, "bin", "proxy"), func(s *stack) error {
		d := &demo{stack: s, options: o, out: out, crew: besideCrew}
		return d.play(ctx)
	})
}
