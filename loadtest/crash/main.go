package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// options are the command line.
type options struct {
	rounds, workers int
	server, proxy   string
	dir             string
	life            time.Duration
	seed            uint64
	only            string
	proofs, results bool
}

func main() {
	harness.Main("crash", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	fs := flag.NewFlagSet("crash", flag.ContinueOnError)
	fs.IntVar(&o.rounds, "rounds", 20, "rounds of each scenario")
	fs.IntVar(&o.workers, "clients", 12, "clients that read and write")
	fs.StringVar(&o.server, "server", "valkey", "valkey, redis or redis7")
	fs.StringVar(&o.proxy, "proxy", "bin/proxy", "the proxy, from the root of the repository")
	fs.StringVar(&o.dir, "dir", "", "for data and logs; by default loadtest/out/crash")
	fs.DurationVar(&o.life, "life", 500*time.Millisecond, "how long a primary lives, on average")
	fs.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the first round")
	fs.StringVar(&o.only, "only", "", "only scenarios whose name contains this")
	fs.BoolVar(&o.proofs, "proofs", true, "let the harness prove itself first")
	fs.BoolVar(&o.results, "results", false, "write loadtest/RESULTS.md")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if o.rounds < 1 || o.workers < 1 || o.life < time.Millisecond {
		return errors.New("rounds, clients and life must be positive")
	}
	root, err := harness.Root()
	if err != nil {
		return err
	}
	if o.dir == "" {
		if o.dir, err = harness.OutDir(root, "crash"); err != nil {
			return err
		}
	}
	set := &setting{dir: o.dir, proxy: o.proxy, workers: o.workers, life: o.life}
	if !filepath.IsAbs(set.proxy) {
		set.proxy = filepath.Join(root, set.proxy)
	}
	if set.server, err = harness.Program(root, o.server, program(o.server)); err != nil {
		return err
	}
	b := &book{out: out, began: time.Now(), seed: o.seed, server: o.server}
	err = set.runAll(ctx, &o, b)
	b.summary(out)
	if err != nil {
		return err
	}
	if o.results {
		path := filepath.Join(root, "loadtest", "RESULTS.md")
		if err := harness.WriteSection(path, "crash", b.section()); err != nil {
			return err
		}
	}
	return b.verdict()
}

// program is the name of the server's program.
func program(kind string) string {
	if kind == "valkey" {
		return "valkey-server"
	}
	return "redis-server"
}

// runAll runs the harness's own proofs, then the scenarios in turn, round by round.
func (set *setting) runAll(ctx context.Context, o *options, b *book) error {
	wanted := func(name string) bool { return strings.Contains(name, o.only) }
	all, must := scenarios(), proofs()
	if err := diskAvailable(); err != nil {
		fmt.Fprintf(b.out, "      no power is cut: %v\n", err)
	} else {
		all, must = append(all, powerScenarios()...), append(must, powerProofs()...)
	}
	for _, p := range must {
		if !o.proofs || !wanted(p.name) {
			continue
		}
		n, err := set.prove(ctx, &p, "proof", o.seed)
		if err != nil {
			return err
		}
		b.proved(&p, n)
	}
	for n := range o.rounds {
		for i := range all {
			if !wanted(all[i].name) {
				continue
			}
			seed := o.seed + uint64(n)
			a, err := set.play(ctx, &all[i], fmt.Sprintf("%d-%d", i, n), seed)
			if err != nil {
				return err
			}
			b.enter(&all[i], seed, a)
			if len(a.problems) == 0 {
				if err := os.RemoveAll(a.dir); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
