package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// settle is the time from an attack's start to its measurement, which includes the storm of its
// first connections.
const settle = 100 * time.Millisecond

// sample holds the latencies of one kind of measurement over all rounds.
type sample struct {
	quiet, during []time.Duration
	pace          string // that the attack reached in the last round; "": it counts nothing
}

// row holds the effect of an attack on the well-behaved clients.
type row struct {
	attack  attack
	direct  sample // empty for proxyOnly
	proxied sample
}

// measureAll plays the attacks selected by o.
func measureAll(ctx context.Context, root, dir string, o options, log io.Writer) (table, error) {
	var t table
	d := time.Duration(o.seconds * float64(time.Second))
	for _, a := range attacks {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), a.name) {
			continue
		}
		r := row{attack: a}
		for n := range o.rounds {
			fmt.Fprintf(log, "%s, round %d of %d\n", a.name, n+1, o.rounds)
			if err := playRound(ctx, root, filepath.Join(dir, a.name), d, &r); err != nil {
				return t, fmt.Errorf("%s: %w", a.name, err)
			}
		}
		for _, s := range []*sample{&r.direct, &r.proxied} {
			slices.Sort(s.quiet)
			slices.Sort(s.during)
		}
		t = append(t, r)
	}
	return t, nil
}

// playRound measures an attack once directly and once through the proxy, each with a server of its own.
func playRound(ctx context.Context, root, dir string, d time.Duration, r *row) error {
	if !r.attack.proxyOnly {
		if err := withStack(root, dir, r.attack, false, func(to target) error {
			return play(ctx, r.attack, to, d, &r.direct)
		}); err != nil {
			return fmt.Errorf("directly: %w", err)
		}
	}
	return withStack(root, dir, r.attack, true, func(to target) error {
		return play(ctx, r.attack, to, d, &r.proxied)
	})
}

// play measures before an attack and during it.
func play(ctx context.Context, a attack, to target, d time.Duration, s *sample) error {
	c, err := startCalm(to)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.measure(ctx, d/4); err != nil { // to warm up
		return err
	}
	before, err := c.measure(ctx, d)
	if err != nil {
		return err
	}
	end, err := startAttack(ctx, a, to)
	if err != nil {
		return err
	}
	time.Sleep(settle)
	during, err := c.measure(ctx, d)
	s.pace = end()
	s.quiet, s.during = append(s.quiet, before...), append(s.during, during...)
	return err
}

// startAttack begins an attack in a process of its own; end ends it and returns what it counted.
func startAttack(ctx context.Context, a attack, to target) (end func() string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "--attack", a.name, "--addr", to.addr, "--console", to.console,
		"--password", to.password, "--ca", to.ca)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	end = func() string {
		in.Close()
		counted, _ := lines.ReadString('\n') // nothing: it counts nothing
		_ = cmd.Wait()                       // it has done its work
		return strings.TrimSpace(counted)
	}
	if _, err := lines.ReadString('\n'); err != nil {
		end()
		return nil, fmt.Errorf("the attacker did not begin: %w", err)
	}
	return end, nil
}
