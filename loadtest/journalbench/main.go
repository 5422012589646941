// Command journalbench measures the journal's cost and the speed of restores, each figure with its
// limit, measured in the same run, in interleaved rounds. Ratios are the medians of the rounds' own
// ratios, so that other load on the machine weighs on both sides alike:
//
//   - disk: bytes a second that become durable through the journal, and through bare loops of
//     write and fdatasync on the same disk, into a file that grows and over one of zeros;
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
	"os/exec"
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
	fs.IntVar(&o.megas, "mib", 512, "MiB that one round writes to the disk")
	fs.IntVar(&o.gib, "gib", 0, "GiB of a large data set to attach and restore; 0: none")
	fs.StringVar(&o.only, "only", "", "one part: disk, proxied, slow, restore or large")
	harness.ResultsFlag(fs, &o.results, "RESULTS.md", "file in loadtest/ to write")
	if err := fs.Parse(args); err != nil {
		return err
	}
	root, dir, err := harness.Folders("journalbench")
	if err != nil {
		return err
	}
	started := time.Now()
	var text strings.Builder
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
	head := heading(root, started, args)
	fmt.Print(head)
	if o.only != "" { // a part must not replace the whole
		return nil
	}
	return harness.WriteResults(root, o.results, "journal", head+"\n"+text.String())
}

// heading gives the time, machine, arguments and method.
func heading(root string, started time.Time, args []string) string {
	commit := "unknown"
	out, err := exec.Command("git", "-C", root, "describe", "--always", "--dirty").Output()
	if err == nil {
		commit = strings.TrimSpace(string(out))
	}
	server := "valkey-server of an unknown version"
	if program, err := harness.Program(root, "valkey", "valkey-server"); err == nil {
		if out, err := exec.Command(program, "--version").Output(); err == nil {
			server = strings.TrimSpace(string(out))
		}
	}
	command := "make bench-journal"
	if len(args) > 0 {
		command += fmt.Sprintf(" JBENCHFLAGS='%s'", strings.Join(args, " "))
	}
	return fmt.Sprintf("%s, commit %s.\nMachine: %s. Load, proxy and servers share it.\n"+
		"Server: %s.\nCommand: `%s`, took %s.\n", started.UTC().Format("2006-01-02 15:04 UTC"), commit,
		harness.Machine(), server, command, time.Since(started).Round(time.Second))
}
