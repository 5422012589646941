package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// options are the command line.
type options struct {
	rounds  int
	seconds float64
	quick   bool
	targets string
	rules   bool   // only the proxy with and without fifty rules
	tls     bool   // only the cost of TLS
	before  string // an older build, to compare with; "": none
	profile string // file for a CPU profile, and nothing else is done
	results string // file below loadtest/, or harness.NoResults
}

// resultsFile holds all figures; the README shows a part.
const resultsFile = "RESULTS.md"

func main() {
	harness.Main("bench", func(ctx context.Context) error { return run(ctx, os.Args[1:]) })
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.IntVar(&o.rounds, "rounds", 5, "rounds over all cells and targets")
	fs.Float64Var(&o.seconds, "seconds", 1, "length of one run")
	fs.BoolVar(&o.quick, "quick", false, "50 connections only, one short round, no file written")
	fs.StringVar(&o.targets, "targets", strings.Join(targetNames[:4], ","), "what to compare")
	fs.BoolVar(&o.rules, "rules", false, "compare the proxy under fifty rules with itself, only")
	fs.StringVar(&o.before, "before", "", "compare with this older `build` of the proxy, only")
	fs.StringVar(&o.profile, "profile", "", "write a CPU profile of the proxy under these loads to this `file`, only")
	fs.BoolVar(&o.tls, "tls", false, "compare TLS with plain, with HAProxy's and with the server's, only")
	harness.ResultsFlag(fs, &o.results, resultsFile,
		"file in loadtest/ to write, and with this one README.md")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.quick {
		o.rounds, o.seconds, o.results = 1, 0.5, harness.NoResults
	}
	asked := 0
	for _, only := range []struct {
		asked   bool
		targets []string
	}{
		{o.rules, []string{"holdfast", withRules}}, {o.before != "", []string{before, "holdfast"}},
		{o.tls, tlsTargets}, {o.profile != "", profiledTargets},
	} {
		if only.asked {
			asked++
			o.targets = strings.Join(only.targets, ",")
		}
	}
	if asked > 1 {
		return o, fmt.Errorf("rules, before, tls and profile are each a run of their own")
	}
	if o.rounds < 1 || o.seconds <= 0 {
		return o, fmt.Errorf("rounds and seconds must be positive")
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	root, dir, err := harness.Folders("bench")
	if err != nil {
		return err
	}
	targets, err := startTargets(root, dir, strings.Split(o.targets, ","), o.before)
	defer stopTargets(targets)
	if err != nil {
		return err
	}
	benchmark, err := harness.Program(root, "valkey", "valkey-benchmark")
	if err != nil {
		return err
	}
	which := cells(o.quick)
	if o.tls {
		which = tlsCells(o.quick)
	}
	b := newBench(benchmark, targets, which, o.seconds)
	b.marginal = o.tls
	if o.profile != "" {
		return b.profile(ctx, dir, o.profile)
	}
	started := time.Now()
	if err := b.rounds(ctx, o.rounds); err != nil {
		return err
	}
	text, section := b.report(describe(root, o, started)), "bench"
	switch {
	case o.rules:
		text, section = b.reportPair(describe(root, o, started), rulesPair), "bench-rules"
	case o.before != "":
		text, section = b.reportPair(describe(root, o, started), beforePair), "bench-before"
	case o.tls:
		text, section = b.reportTLS(describe(root, o, started)), "bench-tls"
	}
	fmt.Print(text)
	err = harness.WriteResults(root, o.results, section, text)
	if err != nil || o.results != resultsFile || !b.forReadme() {
		return err
	}
	return harness.WriteSection(filepath.Join(root, "README.md"), "bench", b.readme())
}
