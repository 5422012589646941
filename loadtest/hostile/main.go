package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// options are the command line.
type options struct {
	rounds  int
	seconds float64
	only    string
	results string

	// attack is set in the attacking process: the attack's name and target.
	attack string
	to     target
}

func main() {
	harness.Main("hostile", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("hostile", flag.ContinueOnError)
	fs.IntVar(&o.rounds, "rounds", 5, "times that each attack is measured, directly and through the proxy in turn")
	fs.Float64Var(&o.seconds, "seconds", 2, "length of a measurement before an attack, and of one during it")
	fs.StringVar(&o.only, "only", "", "names of attacks, with commas between them; all if empty")
	fs.StringVar(&o.attack, "attack", "", "attack until the end of standard input (used by the program itself)")
	fs.StringVar(&o.to.addr, "addr", "", "with --attack: the address for clients")
	fs.StringVar(&o.to.console, "console", "", "with --attack: the console's address")
	fs.StringVar(&o.to.password, "password", "", "with --attack: of the server's user default")
	fs.StringVar(&o.to.ca, "ca", "", "with --attack: the authority's file of the address's certificate")
	harness.ResultsFlag(fs, &o.results, "RESULTS.md", "file in loadtest/ to write")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.rounds < 1 || o.seconds <= 0 {
		return o, fmt.Errorf("rounds and seconds must be positive")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.attack != "" {
		return attackUntilEOF(ctx, o.attack, o.to, os.Stdin, out)
	}
	root, dir, err := harness.Folders("hostile")
	if err != nil {
		return err
	}
	started := time.Now()
	table, err := measureAll(ctx, root, dir, o, out)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s, %s. Command: `go run ./loadtest/hostile %s`, took %s.\n\n%s",
		started.UTC().Format("2006-01-02 15:04 UTC"), harness.Machine(), strings.Join(args, " "),
		time.Since(started).Round(time.Second), table)
	fmt.Fprint(out, text)
	if o.only == "" { // a part must not replace the whole
		if err := harness.WriteResults(root, o.results, "hostile", text); err != nil {
			return err
		}
	}
	return table.check()
}
