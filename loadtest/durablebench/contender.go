//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// design is a set of processes.
type design struct {
	name    string
	aof     bool   // the server has appendonly yes and appendfsync always
	replica bool   // the server has one
	ack     string // the demand of the proxy's route; "": no proxy
	journal bool   // the proxy has one
}

var designs = []design{
	{name: "a", aof: true},
	{name: "b", replica: true},
	{name: "c", ack: "{journal: true}", journal: true},
	{name: "d", ack: "{aof: {local: true}}", aof: true},
	{name: "e", ack: "{replicas: 1}", replica: true},
}

// way is a design and its use.
type way struct {
	name   string
	text   string
	design string
	prefix string
	wait   waiting
	extra  bool // on the machine's own disk only: it does not depend on disks
}

// ways lists the rows of the tables. "b each" differs from b where a batch has several SETs, and "e
// off" shows the part of (e)'s price that is the proxy's and not the proof's.
var ways = []way{
	{"a", "server, appendfsync always", "a", durablePrefix, waitNever, false},
	{"b", "server, the client sends WAIT 1", "b", durablePrefix, waitBatch, false},
	{"b each", "the same, a WAIT behind each SET", "b", durablePrefix, waitEach, true},
	{"c", "proxy, journal", "c", durablePrefix, waitNever, false},
	{"d", "proxy, aof local", "d", durablePrefix, waitNever, false},
	{"e", "proxy, replicas 1", "e", durablePrefix, waitNever, false},
	{"e off", "its proxy, keys off the route: no proof", "e", plainPrefix, waitNever, true},
}

// does reports whether a cell on a disk has such a row.
func (w way) does(d disk, c cell) bool {
	return (!w.extra || d.flush == 0) && (w.wait != waitEach || c.depth > 1)
}

// Keys with durablePrefix are on the proxies' route; others are not.
const (
	durablePrefix = "pay:"
	plainPrefix   = "etc:"
)

// contender is a design at work on one disk.
type contender struct {
	design
	server, replica, proxy *harness.Process
}

// addr is the address for the load.
func (c *contender) addr() string {
	if c.proxy != nil {
		return c.proxy.Addr
	}
	return c.server.Addr
}

// programs are the programs of contenders.
type programs struct{ server, proxy string }

func findPrograms(root string) (programs, error) {
	server, err := harness.Program(root, "valkey", "valkey-server")
	if err != nil {
		return programs{}, err
	}
	proxy := filepath.Join(root, "bin", "proxy")
	if _, err := os.Stat(proxy); err != nil {
		return programs{}, errors.New("bin/proxy is not there; run make build")
	}
	return programs{server: server, proxy: proxy}, nil
}

// startContender starts a design with its data in disk and its logs in dir, and waits until it
// proves a write. With an error, it also returns the processes already started.
func startContender(
	ctx context.Context, p programs, d design, dir, disk string,
) (*contender, error) {
	c := &contender{design: d}
	dir, disk = filepath.Join(dir, d.name), filepath.Join(disk, d.name)
	for _, folder := range []string{dir, disk} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return c, err
		}
	}
	var err error
	if c.server, err = startServer(p, dir, disk, "server", d.aof, ""); err != nil {
		return c, err
	}
	if d.replica {
		c.replica, err = startServer(p, dir, disk, "replica", false, c.server.Addr)
		if err != nil {
			return c, err
		}
	}
	if d.ack != "" {
		if c.proxy, err = startProxy(p, d, dir, disk, c.server.Addr); err != nil {
			return c, err
		}
	}
	return c, c.awaitProof(ctx)
}

func startServer(
	p programs, dir, disk, name string, aof bool, primary string,
) (*harness.Process, error) {
	addr, err := harness.FreeAddr()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(disk, name)
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	args := []string{p.server, "--port", port, "--bind", "127.0.0.1", "--dir", data, "--save", "",
		"--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb"}
	if aof {
		args = append(args, "--appendonly", "yes", "--appendfsync", "always",
			"--auto-aof-rewrite-percentage", "0")
	}
	if primary != "" {
		host, port, _ := net.SplitHostPort(primary)
		args = append(args, "--replicaof", host+" "+port)
	}
	return harness.Start(dir, name, addr, args...)
}

// proxyConfig has the default rules, and metrics served, as a production proxy would.
const proxyConfig = `listeners: [{address: %q}]
upstream: {address: %q}
admin: {address: off, http: %q, pprof: true}
%sroutes:
  - name: bench
    keys: ["%s*"]
    ack: %s
    timeout: 5s
`

func startProxy(p programs, d design, dir, disk, upstream string) (*harness.Process, error) {
	addr, err := harness.FreeAddr()
	if err != nil {
		return nil, err
	}
	http, err := harness.FreeAddr()
	if err != nil {
		return nil, err
	}
	journal := ""
	if d.journal {
		journal = fmt.Sprintf("journal: {dir: %q}\n", filepath.Join(disk, "journal"))
	}
	text := fmt.Sprintf(proxyConfig, addr, upstream, http, journal, durablePrefix, d.ack)
	config := filepath.Join(dir, "holdfast.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return harness.Start(dir, "proxy", addr, p.proxy, "serve", "--config", config)
}

// awaitProof asks until one write is acknowledged, as the load will ask, and checks with the proxy
// that the write had the measured demand: a benchmark of nothing would look very good.
func (c *contender) awaitProof(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		answer, err := c.tryProof()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("(%s) does not prove a write: %w (%q)", c.name, err, answer)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// tryProof writes one key as the load does.
func (c *contender) tryProof() (answer string, err error) {
	conn, err := net.DialTimeout("tcp", c.addr(), time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	text := "SET " + durablePrefix + "first x\r\n"
	want := []string{"+OK"}
	switch {
	case c.proxy == nil && c.replica != nil:
		text, want = text+"WAIT 1 1000\r\n", []string{"+OK", ":1"}
	case c.proxy != nil:
		text, want = text+"HOLDFAST ACK\r\n", []string{"+OK", "confirmed", c.demand()}
	}
	if _, err := conn.Write([]byte(text + "PING\r\n")); err != nil {
		return "", err
	}
	buf := make([]byte, 4096)
	for !strings.Contains(answer, "+PONG") {
		n, err := conn.Read(buf)
		if err != nil {
			return answer, err
		}
		answer += string(buf[:n])
	}
	for _, w := range want {
		if !strings.Contains(answer, w) {
			return answer, fmt.Errorf("no %q in the answer", w)
		}
	}
	return answer, nil
}

// demand is the route's demand as HOLDFAST ACK names it.
func (c *contender) demand() string {
	switch {
	case c.journal:
		return "journal"
	case c.aof:
		return "aof local"
	}
	return "replicas 1"
}

func (c *contender) stop() {
	for _, p := range []*harness.Process{c.proxy, c.replica, c.server} {
		if p != nil {
			p.Stop()
		}
	}
}
