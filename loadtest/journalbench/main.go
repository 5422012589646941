// Command journalbench measures what the journal costs and how fast it brings things back, each
// figure beside the limit that it is to be compared with, measured in the same run, in interleaved
// rounds. Ratios are the medians of the rounds' own ratios, so that what else the machine does
// weighs on both sides alike:
//
//   - disk: bytes a second that become durable through the journal, and through a bare loop of
//     write and fdatasync on the same disk;
//   - proxied SETs with the journal on and off: throughput, and CPU per command;
//   - the same with the journal on a disk whose flush takes 50 ms (loadtest/fusedisk; needs root):
//     the slowest answers of clients that do not wait for it;
//   - restore: the time until a fresh server is rebuilt from a journal, and the time in which the
//     same server loads the same data from its own append-only file;
//   - with --gib: a data set of that many GiB is attached and restored, and the memory of both
//     processes is watched.
//
// It needs bin/proxy and scripts/servers.sh valkey, and writes a section of loadtest/RESULTS.md.
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
	keys    int
	megas   int // of the disk test
	gib     int // of the large data set; 0: none
	only    string
	results string
}

var parts = []struct {
	name    string
	measure func(ctx context.Context, o *options, root, dir string) (string, error)
}{
	{"disk", measureDisk}, {"proxied", measureProxied}, {"slow", measureSlow},
	{"restore", measureRestore}, {"large", measureLarge},
}

func main() {
	harness.Main("journalbench", func(ctx context.Context) error { return run(ctx, os.Args[1:]) })
}

func run(ctx context.Context, args []string) error {
	var o options
	fs := flag.NewFlagSet("journalbench", flag.ContinueOnError)
	fs.IntVar(&o.rounds, "rounds", 7, "interleaved rounds of each comparison")
	fs.Float64Var(&o.seconds, "seconds", 2, "length of one run of proxied SETs")
	fs.IntVar(&o.keys, "keys", 2_000_000, "SETs that the restore replays")
	fs.IntVar(&o.megas, "mib", 256, "MiB that one round writes to the disk")
	fs.IntVar(&o.gib, "gib", 0, "GiB of a large data set to attach and restore; 0: none")
	fs.StringVar(&o.only, "only", "", "one part: disk, proxied, slow, restore or large")
	harness.ResultsFlag(fs, &o.results, "RESULTS.md", "file in loadtest/ to write")
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
	for _, part := range parts {
		if o.only != "" && o.only != part.name {
			continue
		}
		section, err := part.measure(ctx, &o, root, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Print(section)
		text.WriteString(section)
	}
	if o.results == harness.NoResults || o.only != "" { // a part must not replace the whole
		return nil
	}
	return harness.WriteSection(filepath.Join(root, "loadtest", o.results), "journal",
		text.String())
}
