// Command journalbench measures what the journal costs and how fast it brings things back, each
// figure beside the limit that it is to be compared with, measured in the same run:
//
//   - disk: bytes a second that become durable through the journal, and through a bare loop of
//     write and fdatasync on the same disk;
//   - proxied SETs with the journal on and off, in interleaved rounds: throughput, and CPU of the
//     proxy per command;
//   - restore: the time until a fresh server is rebuilt from a journal, and the time in which the
//     same server loads the same data from its own append-only file.
//
// It needs bin/proxy and scripts/servers.sh valkey, and writes a section of loadtest/RESULTS.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"holdfast/loadtest/harness"
)

// options are the command line.
type options struct {
	rounds  int
	seconds float64
	keys    int
	megas   int // of the disk test
	results string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "journalbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var o options
	fs := flag.NewFlagSet("journalbench", flag.ContinueOnError)
	fs.IntVar(&o.rounds, "rounds", 5, "interleaved rounds of each comparison")
	fs.Float64Var(&o.seconds, "seconds", 2, "length of one run of proxied SETs")
	fs.IntVar(&o.keys, "keys", 500_000, "keys of the restore")
	fs.IntVar(&o.megas, "mib", 256, "MiB that one round writes to the disk")
	fs.StringVar(&o.results, "results", "RESULTS.md", "file in loadtest/ to write; - for none")
	if err := fs.Parse(args); err != nil {
		return err
	}
	root, err := harness.Root()
	if err != nil {
		return err
	}
	dir, err := harness.OutDir(root, "journalbench")
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "## The journal\n\n%s, %s.\n\n", harness.Machine(),
		time.Now().UTC().Format("2006-01-02"))
	for _, part := range []func(context.Context, *options, string, string) (string, error){
		measureDisk, measureProxied, measureRestore,
	} {
		section, err := part(ctx, &o, root, dir)
		if err != nil {
			return err
		}
		fmt.Print(section)
		text.WriteString(section)
	}
	if o.results == "-" {
		return nil
	}
	return harness.WriteSection(filepath.Join(root, "loadtest", o.results), "journal",
		text.String())
}
