package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"holdfast/loadtest/harness"
)

type options struct {
	entries, clients int
	shots, axe       string
}

func main() {
	harness.Main("pagetest", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	fs := flag.NewFlagSet("pagetest", flag.ContinueOnError)
	fs.IntVar(&o.entries, "entries", 100_000, "entries of single keys in the trash")
	fs.IntVar(&o.clients, "clients", 10_000, "idle clients")
	fs.StringVar(&o.shots, "shots", "", "write the screenshots to this `folder`")
	fs.StringVar(&o.axe, "axe", "", "also check accessibility by this `file`, an axe.min.js of axe-core")
	if err := fs.Parse(args); err != nil {
		return err
	}
	root, err := harness.Root()
	if err != nil {
		return err
	}
	dir, err := harness.OutDir(root, "page")
	if o.shots != "" {
		dir, err = "/tmp/holdfast", nil // the pictures show it
	}
	if err != nil {
		return err
	}
	program, err := harness.Program(root, "chromium", "chromium")
	if err != nil {
		return err
	}
	s, err := startStage(root, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.fill(ctx, o, out); err != nil {
		return err
	}
	b, err := startBrowser(ctx, program, dir, "http://"+s.http)
	if b != nil {
		defer b.stop()
	}
	if err != nil {
		return err
	}
	p := &play{stage: s, browser: b, options: o, out: out}
	return p.run()
}

const config = `listeners: [{address: %s}]
upstream: {address: %s}
admin: {address: off, http: %s, password: %s}
limits: {max_clients: 20000}
journal: {dir: journal}
audit: {file: audit.log}
budgets: [{name: deletes, keys: 1000000, window: 1h, per: user}]
routes: [{name: payments, keys: ["pay:*"], ack: {journal: true}}]
rules:
  - {name: flush, commands: [flushall, flushdb], action: trash, keep: 1d}
  - {name: delete, commands: [del, unlink], action: trash, keep: 7d}
  - {name: swap, commands: [swapdb], action: confirm}
  - {name: keys, commands: [keys], action: deny}
`

const password = "an operator's <password>"

// stage is a server, a replica of it, and the proxy in front.
type stage struct {
	processes    []*harness.Process // in the order of their start
	proxy        *harness.Process
	listen, http string
	idle         []net.Conn
}

func startStage(root, dir string) (s *stage, err error) {
	s = &stage{}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if err := os.RemoveAll(dir); err != nil {
		return s, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return s, err
	}
	server, upstream, err := harness.StartValkey(root, dir)
	if err != nil {
		return s, err
	}
	s.processes = append(s.processes, server)
	for _, a := range []*string{&s.listen, &s.http} {
		if *a, err = harness.FreeAddr(); err != nil {
			return s, err
		}
	}
	file := filepath.Join(dir, "holdfast.yaml")
	text := fmt.Sprintf(config, s.listen, upstream, s.http, password)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return s, err
	}
	s.proxy, err = harness.Start(dir, "proxy", s.listen, filepath.Join(root, "bin", "proxy"), "serve", "--config", file)
	if err != nil {
		return s, err
	}
	s.processes = append(s.processes, s.proxy)
	return s, nil
}

func (s *stage) stop() {
	for _, c := range s.idle {
		c.Close()
	}
	for i := len(s.processes) - 1; i >= 0; i-- {
		s.processes[i].Stop()
	}
}

// hostile are names that would run, break out of their place, or split an event, if anything let them.
var hostile = []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "a\n\nevent: reload\ndata: {}\n\n",
	"'onmouseover='alert(1)", "</li></ul><svg/onload=alert(1)>", "\u202egnp.exe", "\x00\xff\x1b[31m"}

// fill makes the data, the entries of the trash and the clients.
func (s *stage) fill(ctx context.Context, o options, out io.Writer) error {
	c, err := harness.DialClient(s.listen, answerTime)
	if err != nil {
		return err
	}
	defer c.Close()
	key := func(i int) string {
		if i >= o.entries-len(hostile) {
			return hostile[o.entries-1-i]
		}
		return fmt.Sprint("session:", i)
	}
	const batch = 1000
	for i := 0; i < o.entries && ctx.Err() == nil; i += batch {
		n := min(batch, o.entries-i)
		for j := range n {
			c.Put("SET", key(i+j), "v")
			c.Put("DEL", key(i+j))
		}
		if err := c.Flush(); err != nil {
			return err
		}
		for range 2 * n {
			if _, err := c.Reply(); err != nil {
				return err
			}
		}
	}
	for i := range 1000 {
		if _, err := c.Must("SET", fmt.Sprint("user:", i), "v"); err != nil {
			return err
		}
	}
	for range o.clients {
		nc, err := net.Dial("tcp", s.listen)
		if err != nil {
			return err
		}
		s.idle = append(s.idle, nc)
	}
	fmt.Fprintf(out, "%d entries in the trash, %d clients\n", o.entries, len(s.idle))
	return ctx.Err()
}
