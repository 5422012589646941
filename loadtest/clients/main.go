package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

func main() {
	harness.Main("clients", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

// errFailed says that a check failed, or a client could not be had.
var errFailed = errors.New("not every check passed")

func run(ctx context.Context, args []string, out io.Writer) error {
	var only, results string
	fs := flag.NewFlagSet("clients", flag.ContinueOnError)
	fs.StringVar(&only, "only", "", "names of clients, with commas between them; all if empty")
	harness.ResultsFlag(fs, &results, "RESULTS.md", "file in loadtest/ to write")
	if err := fs.Parse(args); err != nil {
		return err
	}
	root, dir, err := harness.Folders("clients")
	if err != nil {
		return err
	}
	s, err := startStack(root, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	started := time.Now()
	var table strings.Builder
	table.WriteString("| client | version | the server's certificate: RESP2 | RESP3 | certificates of both: RESP2 | RESP3 |\n" +
		"|---|---|---|---|---|---|\n")
	passed := true
	for _, c := range clients(root) {
		if only != "" && !strings.Contains(","+only+",", ","+c.name+",") {
			continue
		}
		row, ok := c.play(ctx, s, out)
		passed = passed && ok
		table.WriteString(row)
	}
	text := fmt.Sprintf("%s, `make clients`, server Valkey 8.0.1. A cell has the checks that passed.\n\n%s",
		started.UTC().Format("2006-01-02 15:04 UTC"), table.String())
	fmt.Fprint(out, text)
	if only == "" { // a part must not replace the whole
		if err := harness.WriteResults(root, results, "clients", text); err != nil {
			return err
		}
	}
	if !passed {
		return errFailed
	}
	return nil
}
