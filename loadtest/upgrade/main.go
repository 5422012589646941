package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"holdfast/loadtest/harness"
)

// options are the command line.
type options struct {
	rounds  int
	clients int
	writes  int // of each class between two rounds, at least
	restart bool
	results string
}

func main() {
	harness.Main("upgrade", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("upgrade", flag.ContinueOnError)
	fs.IntVar(&o.rounds, "rounds", 20, "upgrades")
	fs.IntVar(&o.clients, "clients", 36, "clients, of all kinds together")
	fs.IntVar(&o.writes, "writes", 2000, "writes of each class between two upgrades, at least")
	fs.BoolVar(&o.restart, "restart", false, "restart instead: the checks must fail")
	harness.ResultsFlag(fs, &o.results, "RESULTS.md", "file in loadtest/ to write")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.rounds < 1 || o.clients < 1 {
		return o, fmt.Errorf("rounds and clients must be positive")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	root, dir, err := harness.Folders("upgrade")
	if err != nil {
		return err
	}
	r, err := play(ctx, root, dir, filepath.Join(root, "bin", "proxy"), o)
	if err != nil {
		return err
	}
	text := r.table(o)
	fmt.Fprint(out, text)
	if !o.restart {
		if err := harness.WriteResults(root, o.results, "upgrade", text); err != nil {
			return err
		}
	}
	return r.check()
}

// routes of the proxies, and room for what the machine's load costs.
const routes = `routes:
- {name: pay, keys: ["pay:*"], ack: {journal: true}, timeout: 20s}
`

// scene is a server, the proxies in front of it, and their clients.
type scene struct {
	server  *harness.Process
	proxies *proxies
	classes []*class
	clients []*client
	journal string
	report  report
}

// play runs everything, with logs and data in dir.
func play(ctx context.Context, root, dir, program string, o options) (*report, error) {
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%s is not there; run make build", program)
	}
	server, addr, err := harness.StartValkey(root, dir, "--repl-diskless-sync-delay", "0")
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	s := &scene{server: server, journal: filepath.Join(dir, "journal"), classes: []*class{newClass("pay"), newClass("plain")}}
	s.report.classes = s.classes
	places, sockets, err := s.prepare(dir, addr, program)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(sockets)
	defer s.proxies.kill()
	if err := s.proxies.start(); err != nil {
		return nil, err
	}
	for i := range o.clients {
		s.clients = append(s.clients, &client{id: i, place: &places[i%len(places)],
			class: s.classes[i/len(places)%2], stays: i/len(places)/2%2 == 1})
	}
	if err := s.load(ctx, o); err != nil {
		return nil, err
	}
	if err := s.proxies.stop(ctx); err != nil {
		return nil, err
	}
	return &s.report, s.verify(ctx, root, program)
}

// prepare writes the configuration, and returns the listeners' places and the folder of the unix sockets, whose paths
// have to be short.
func (s *scene) prepare(dir, server, program string) (places []place, sockets string, err error) {
	if sockets, err = os.MkdirTemp("", "hf"); err != nil {
		return nil, "", err
	}
	keys, err := harness.NewKeys(dir)
	if err != nil {
		return nil, sockets, err
	}
	var addrs [2]string
	for i := range addrs {
		if addrs[i], err = harness.FreeAddr(); err != nil {
			return nil, sockets, err
		}
	}
	config := filepath.Join(dir, "holdfast.yaml")
	text := fmt.Sprintf("listeners:\n- address: %s\n- address: unix:%s/clients\n- address: %s\n"+
		"  tls: {cert: %s, key: %s}\nupstream: {address: %s}\nadmin: {address: \"unix:%s/console\", http: \"unix:%s/http\"}\n"+
		"journal: {dir: %s}\n%s", addrs[0], sockets, addrs[1], keys.Cert, keys.Key, server, sockets, sockets, s.journal, routes)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, sockets, err
	}
	s.proxies = &proxies{dir: dir, program: program, config: config, addr: addrs[1]} // the last that it opens
	return []place{
		{network: "tcp", addr: addrs[0]},
		{network: "unix", addr: sockets + "/clients"},
		// The measurement asks whether the handshake succeeds, not with whom.
		{network: "tcp", addr: addrs[1], tls: &tls.Config{InsecureSkipVerify: true}},
	}, sockets, nil
}

// load runs the clients, and the rounds at the same time.
func (s *scene) load(ctx context.Context, o options) error {
	loading, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for _, c := range s.clients {
		running.Go(func() { c.run(loading) })
	}
	if err := s.progress(ctx, o.writes); err != nil {
		return err
	}
	for i := range o.rounds {
		for _, c := range s.classes {
			c.begin()
		}
		var took time.Duration
		var err error
		if o.restart {
			took, err = s.proxies.restart(ctx)
		} else {
			took, err = s.proxies.upgrade(ctx, i%2 == 0)
		}
		if err == nil {
			err = s.progress(ctx, o.writes)
		}
		if err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
		s.report.round(took)
	}
	return nil
}

// progress waits until the clients of each class have written so often.
func (s *scene) progress(ctx context.Context, writes int) error {
	for _, c := range s.classes {
		goal := c.count() + writes
		err := harness.Await(ctx, "writes of the clients", lookFor, lookEvery, func(context.Context) bool { return c.count() > goal })
		if err != nil {
			return err
		}
	}
	return nil
}
