package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"holdfast/loadtest/harness"
)

// options are the command line.
type options struct {
	churn       int
	workers     int
	idle        int
	limit       int64 // MiB of resident memory with the idle connections
	secured     int   // idle connections with TLS
	secureLimit int64
	results     string
}

func main() {
	harness.Main("soak", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("soak", flag.ContinueOnError)
	fs.IntVar(&o.churn, "churn", 100000, "connections to open and close")
	fs.IntVar(&o.workers, "workers", 16, "connections at a time")
	fs.IntVar(&o.idle, "idle", 10000, "idle connections to hold")
	fs.Int64Var(&o.limit, "limit", 60, "MiB of resident memory allowed with them")
	fs.IntVar(&o.secured, "tls", 10000, "idle connections with TLS to hold, in another proxy")
	fs.Int64Var(&o.secureLimit, "tls-limit", 400, "MiB of resident memory allowed with those")
	harness.ResultsFlag(fs, &o.results, "RESULTS.md", "file in loadtest/ to write")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.churn < 1 || o.workers < 1 || o.idle < 1 || o.secured < 1 {
		return o, fmt.Errorf("churn, workers, idle and tls must be positive")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	root, dir, err := harness.Folders("soak")
	if err != nil {
		return err
	}
	started := time.Now()
	churn, idle, secured, err := soak(ctx, root, dir, o)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s, %s.\n\n%s%s%s", started.UTC().Format("2006-01-02 15:04 UTC"),
		harness.Machine(), churn, idle, secured)
	fmt.Fprint(out, text)
	if err := harness.WriteResults(root, o.results, "soak", text); err != nil {
		return err
	}
	if err := churn.check(); err != nil {
		return err
	}
	return errors.Join(idle.check(o.limit), secured.check(o.secureLimit))
}

// soak runs the parts, each with a fresh server and proxy.
func soak(ctx context.Context, root, dir string, o options) (churned churnResult, held, secured idleResult, err error) {
	proxy := filepath.Join(root, "bin", "proxy")
	err = withStack(root, filepath.Join(dir, "churn"), proxy, false, func(s *stack) (err error) {
		churned, err = churn(ctx, s, o.churn, o.workers)
		return err
	})
	if err != nil {
		return churned, held, secured, fmt.Errorf("churn: %w", err)
	}
	err = withStack(root, filepath.Join(dir, "idle"), proxy, false, func(s *stack) (err error) {
		held, err = idle(ctx, s, o.idle)
		return err
	})
	if err != nil {
		return churned, held, secured, fmt.Errorf("idle: %w", err)
	}
	err = withStack(root, filepath.Join(dir, "idle-tls"), proxy, true, func(s *stack) (err error) {
		secured, err = idle(ctx, s, o.secured)
		return err
	})
	if err != nil {
		return churned, held, secured, fmt.Errorf("idle with TLS: %w", err)
	}
	return churned, held, secured, nil
}
