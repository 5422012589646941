// Command repairbench measures repair and diff at scale, and their effect on the clients of the server
// (make bench-repair):
//
//   - feed: a server that has lost 1, 10 and 100 MB of writes is fed them;
//   - keys: the same loss, repaired key by key while clients read and write;
//   - values: the loss of a string, a list and a hash of 100 MB each, by keys;
//   - diff: ten million keys are compared with the journal, all of them and a sample.
//
// Each part starts a server, a proxy with a journal before it, and four clients that send a GET or a
// SET every 2 ms through the proxy. Their latencies before and during a command are compared within
// one run. The commands are those of bin/proxy, as an operator runs them. The server loses its writes
// by kill -9 and a start from an older RDB file.
//
// It needs bin/proxy and scripts/servers.sh valkey, and writes a section of loadtest/RESULTS.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// bench is the command line, and the folders of the run.
type bench struct {
	keys, diffKeys, sample int
	tail, value            float64 // MB
	quiet                  time.Duration
	rate                   string
	only                   string

	root, dir, bin string
}

var parts = []struct {
	name    string
	measure func(context.Context, *bench) (string, error)
}{{"feed", measureFeed}, {"keys", measureKeys}, {"values", measureValues}, {"diff", measureDiff}}

func main() {
	harness.Main("repairbench", func(ctx context.Context) error { return run(ctx, os.Args[1:]) })
}

func run(ctx context.Context, args []string) error {
	var b bench
	var results string
	fs := flag.NewFlagSet("repairbench", flag.ContinueOnError)
	fs.IntVar(&b.keys, "keys", 1_000_000, "keys of the server that is repaired")
	fs.Float64Var(&b.tail, "tail", 100, "MB of lost writes; a tenth and a hundredth are fed, too")
	fs.Float64Var(&b.value, "value", 100, "MB of each large value")
	fs.IntVar(&b.diffKeys, "diff-keys", 10_000_000, "keys of the server that is compared")
	fs.IntVar(&b.sample, "sample", 100_000, "keys of the sample")
	fs.StringVar(&b.rate, "rate", "0", "keys a second of diff; 0: as fast as the server's latency allows")
	fs.DurationVar(&b.quiet, "quiet", 5*time.Second, "time of the measurement before each command")
	fs.StringVar(&b.bin, "proxy", "", "the proxy program (default: bin/proxy)")
	fs.StringVar(&b.only, "only", "", "one part: feed, keys, values or diff")
	harness.ResultsFlag(fs, &results, "RESULTS.md", "file in loadtest/ to write")
	err := fs.Parse(args)
	if err != nil {
		return err
	}
	if b.root, b.dir, err = harness.Folders("repairbench"); err != nil {
		return err
	}
	if b.bin == "" {
		b.bin = filepath.Join(b.root, "bin", "proxy")
	}
	started, load := time.Now(), harness.Load()
	text, err := b.measure(ctx)
	if err != nil {
		return err
	}
	text = b.heading(ctx, started, load, args) + text
	fmt.Print(text)
	if b.only != "" { // a part must not replace the whole
		return nil
	}
	return harness.WriteResults(b.root, results, "repair", text)
}

// measure measures the parts, and removes the data of each.
func (b *bench) measure(ctx context.Context) (string, error) {
	var text strings.Builder
	for _, part := range parts {
		if b.only != "" && b.only != part.name {
			continue
		}
		began := time.Now()
		section, err := part.measure(ctx, b)
		if err != nil {
			return "", fmt.Errorf("%s: %w; see %s", part.name, err, b.dir)
		}
		fmt.Fprintf(os.Stderr, "%s took %s\n", part.name, time.Since(began).Round(time.Second))
		text.WriteString(section)
	}
	return text.String(), nil
}

// heading gives the time, machine, versions and command.
func (b *bench) heading(ctx context.Context, started time.Time, load string, args []string) string {
	version := func(argv ...string) string {
		out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
		if err != nil {
			return "unknown"
		}
		return strings.TrimSpace(string(out))
	}
	server := "unknown"
	if program, err := harness.Program(b.root, "valkey", "valkey-server"); err == nil {
		server = version(program, "--version")
	}
	command := "make bench-repair"
	if len(args) > 0 {
		command += fmt.Sprintf(" RBENCHFLAGS='%s'", strings.Join(args, " "))
	}
	return fmt.Sprintf("%s, commit %s.\nMachine: %s; %s at the start. Clients, proxy, command and both servers share it.\n"+
		"Server: %s.\nCommand: `%s`, took %s.\n\n", started.UTC().Format("2006-01-02 15:04 UTC"),
		version("git", "-C", b.root, "describe", "--always", "--dirty"), harness.Machine(), load, server, command,
		time.Since(started).Round(time.Second))
}
