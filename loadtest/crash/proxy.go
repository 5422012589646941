package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"holdfast/loadtest/harness"
)

// A proxy is one Holdfast that can be killed and started again.
type proxy struct {
	program, dir, addr string
	upstream           string
	journal            string // its folder
	settings           string // YAML: journal, routes
	workers            int
	runs               int
	proc               *harness.Process
}

// timeout is the route's: longer than a proof takes on a busy machine, and short enough to expire
// in a round. A reload may change it.
const timeout, otherTimeout = "400ms", "300ms"

const proxyConfig = `listeners:
  - address: %s
workers: %d
upstream:
  address: %s
  max_backoff: 50ms
  hold: 500ms
admin:
  address: off
  http: off
rules: []
drain: 500ms
`

// settings are a scenario's sections.
func (sc *scenario) settings(folder string) string {
	var b strings.Builder
	if sc.journal {
		// The load goes on after a loss, so that there is more to lose.
		fmt.Fprintf(&b, "journal:\n  dir: %s\n  fack: %v\n  on_loss: continue\n", folder, sc.fack)
	}
	if sc.ack != "" {
		fmt.Fprintf(&b, "routes:\n  - name: pay\n    keys: [\"pay:*\", warm]\n    ack: %s\n"+
			"    timeout: %s\n", sc.ack, timeout)
		b.WriteString(sc.routeKeys())
	}
	return b.String()
}

// newProxy starts a proxy with a folder of its own in dir. The caller fills in the rest.
func newProxy(dir, name string, p proxy) (*proxy, error) {
	p.dir = filepath.Join(dir, name)
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	for range 5 { // another program may take the port in between
		if p.addr, err = harness.FreeAddr(); err != nil {
			return nil, err
		}
		if err = p.start(); err == nil {
			return &p, nil
		}
	}
	return nil, err
}

func (p *proxy) configure() error {
	text := fmt.Sprintf(proxyConfig, p.addr, p.workers, p.upstream) + p.settings
	return os.WriteFile(p.file(), []byte(text), 0o644)
}

func (p *proxy) file() string { return filepath.Join(p.dir, "holdfast.yaml") }

func (p *proxy) start() error {
	if err := p.configure(); err != nil {
		return err
	}
	p.runs++
	var err error
	p.proc, err = harness.Start(p.dir, fmt.Sprintf("proxy-%d", p.runs), p.addr, p.program, "serve",
		"--config", p.file())
	return err
}

func (p *proxy) kill() {
	if p != nil && p.proc != nil {
		p.proc.Kill()
	}
}

func (p *proxy) freeze() { p.proc.Signal(syscall.SIGSTOP) }
func (p *proxy) thaw()   { p.proc.Signal(syscall.SIGCONT) }

// reload switches it to another server.
func (p *proxy) reload(upstream string) error {
	p.upstream = upstream
	if err := p.configure(); err != nil {
		return err
	}
	p.proc.Signal(syscall.SIGHUP)
	return nil
}

// acknowledges reports that a write on the route is acknowledged now.
func (p *proxy) acknowledges() bool {
	c, err := harness.DialClient(p.addr, patience)
	if err != nil {
		return false
	}
	defer c.Close()
	v, err := c.Do("SET", "warm", "1")
	return err == nil && v == "OK"
}

// timelines are the histories in the journal.
func (p *proxy) timelines() (ids []int, err error) {
	cmd := exec.Command(p.program, "journal", "ls", "--dir", p.journal, "--json")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("journal ls: %w: %s", err, out)
	}
	var view struct {
		Timelines []struct {
			ID int `json:"id"`
		} `json:"timelines"`
	}
	if err := json.Unmarshal(out, &view); err != nil {
		return nil, err
	}
	for _, t := range view.Timelines {
		ids = append(ids, t.ID)
	}
	return ids, nil
}

// restore rebuilds the end of a timeline on a fresh server; 0 is the current one.
func (p *proxy) restore(ctx context.Context, to *server, timeline int) error {
	args := []string{"restore", "--dir", p.journal, "--end", "--target", to.addr}
	if timeline > 0 {
		args = append(args, "--timeline", fmt.Sprint(timeline))
	}
	out, err := exec.CommandContext(ctx, p.program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("proxy %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
