//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// defaultResults is below loadtest/.
const defaultResults = "RESULTS.md"

// options are the command line.
type options struct {
	rounds  int
	seconds float64
	quick   bool
	only    string
	inCells string
	onDisks string
	results string

	designs []design
	ways    []way
	disks   []disk
	cells   []cell
}

func main() {
	// The loads' threads sit in system calls, and so does the slow disk's: each keeps its P.
	runtime.GOMAXPROCS(max(16, runtime.NumCPU()))
	harness.Main("durablebench", func(ctx context.Context) error { return run(ctx, os.Args[1:]) })
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("durablebench", flag.ContinueOnError)
	fs.IntVar(&o.rounds, "rounds", 5, "interleaved rounds")
	fs.Float64Var(&o.seconds, "seconds", 0.45, "length of one run on the machine's own disk")
	fs.BoolVar(&o.quick, "quick", false, "two rounds of few cells, no file written")
	fs.StringVar(&o.only, "only", "abcde", "contenders")
	fs.StringVar(&o.inCells, "cells", "", "connections x depth, such as 1x1,50x16; all if empty")
	fs.StringVar(&o.onDisks, "disks", "own,5ms,50ms", "disks")
	harness.ResultsFlag(fs, &o.results, defaultResults,
		"file in loadtest/ to write, and with this one README.md")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.quick {
		o.rounds, o.inCells, o.results = min(o.rounds, 2), quickCells, harness.NoResults
	}
	if o.rounds < 1 || o.seconds <= 0 {
		return o, fmt.Errorf("rounds and seconds must be positive")
	}
	var err error
	if o.cells, err = cells(o.inCells); err != nil {
		return o, err
	}
	for _, d := range designs {
		if strings.Contains(o.only, d.name) {
			o.designs = append(o.designs, d)
		}
	}
	for _, w := range ways {
		if strings.Contains(o.only, w.design) {
			o.ways = append(o.ways, w)
		}
	}
	for _, d := range disks {
		if strings.Contains(","+o.onDisks+",", ","+d.name+",") {
			o.disks = append(o.disks, d)
		}
	}
	if len(o.designs) == 0 || len(o.disks) == 0 {
		return o, fmt.Errorf("nothing to measure: --only %q --disks %q", o.only, o.onDisks)
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	root, dir, err := harness.Folders("durablebench")
	if err != nil {
		return err
	}
	p, err := findPrograms(root)
	if err != nil {
		return err
	}
	b := &bench{programs: p, dir: dir, opts: o, series: map[key]*series{},
		probes: map[string]string{}}
	started := time.Now()
	for _, d := range o.disks {
		if err := b.onDisk(ctx, d); err != nil {
			return fmt.Errorf("%w (logs are in %s)", err, dir)
		}
	}
	text := b.report(describe(root, o, started))
	fmt.Print(text)
	err = harness.WriteResults(root, o.results, "durable", text)
	if err != nil || o.results != defaultResults {
		return err
	}
	return harness.WriteSection(filepath.Join(root, "README.md"), "durable", b.readme())
}

// describe gives the place, time, tools and method of the figures.
func describe(root string, o options, started time.Time) string {
	commit := "unknown"
	out, err := exec.Command("git", "-C", root, "describe", "--always", "--dirty").Output()
	if err == nil {
		commit = strings.TrimSpace(string(out))
	}
	return fmt.Sprintf("%s, commit %s.\nMachine: %s. Load, proxies, servers and replicas share it.\n"+
		"Command: `make bench-durable ROUNDS=%d` (%g s a run), took %s.\n",
		started.UTC().Format("2006-01-02 15:04 UTC"), commit, harness.Machine(),
		o.rounds, o.seconds, time.Since(started).Round(time.Second))
}
