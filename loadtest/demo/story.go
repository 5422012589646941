package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// demo plays the incident.
type demo struct {
	*stack
	options
	crew
	out  io.Writer
	load *clients

	before  print
	p99     time.Duration // before the flood
	failing int
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// check prints whether a claim holds.
func (d *demo) check(ok bool, format string, args ...any) {
	word := "ok   "
	if !ok {
		word = "FAIL "
		d.failing++
	}
	d.say("  "+word+format, args...)
}

// play is the whole story, one act after the other.
func (d *demo) play(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, act := range []func(context.Context) error{d.prepare, d.watch, d.incident, d.rescue} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	err := d.load.stop()
	d.check(err == nil && d.load.errs == 0, "no client saw an error in %d commands %s", d.load.total,
		d.load.example)
	if err != nil {
		return fmt.Errorf("clients: %w", err)
	}
	if d.failing > 0 {
		return fmt.Errorf("%d checks failed", d.failing)
	}
	return nil
}

func (d *demo) prepare(ctx context.Context) (err error) {
	d.say("A data set of %d keys in databases %v", d.keys, databases)
	if err := fill(ctx, d.server.Addr, d.keys); err != nil {
		return err
	}
	d.before, err = fingerprint(ctx, d.server.Addr)
	d.check(err == nil && d.before.keys == d.keys, "digest and deadline of %d keys are noted",
		d.before.keys)
	return err
}

func (d *demo) watch(ctx context.Context) (err error) {
	d.say("%d clients read and write through the proxy", d.options.clients)
	if d.load, err = d.crew.clients(ctx, d.proxy.Addr, d.options.clients); err != nil {
		return err
	}
	if err := sleep(ctx, d.measure/3); err != nil { // connections, caches
		return err
	}
	if _, err := d.load.lap(); err != nil {
		return err
	}
	if err := sleep(ctx, d.measure); err != nil {
		return err
	}
	l, err := d.load.lap()
	d.p99 = l.P99
	d.say("  %v", l)
	return err
}

func sleep(ctx context.Context, t time.Duration) error {
	select {
	case <-time.After(t):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *demo) incident(ctx context.Context) error {
	d.say("A bug sends %d times FLUSHALL from %d connections", d.flushes, d.conns)
	cpu, err := harness.CPUTime(d.proxy.Pid)
	if err != nil {
		return err
	}
	a, err := d.flood(ctx, d.proxy.Addr, &d.options)
	if err != nil {
		return fmt.Errorf("flood: %w", err)
	}
	spent, err := harness.CPUTime(d.proxy.Pid)
	if err != nil {
		return err
	}
	l, err := d.load.lap()
	if err != nil {
		return err
	}
	d.check(a.OK == 1, "%d was answered OK, and went to the trash", a.OK)
	d.check(a.Throttled == d.flushes-1, "%d were throttled, in %.1f s", a.Throttled, a.Took.Seconds())
	d.check(a.Other == 0, "%d were answered anything else %s", a.Other, a.Example)
	d.say("  the proxy used %v of processor time", (spent - cpu).Round(10*time.Millisecond))
	d.say("  meanwhile the clients: %v", l)
	if d.slower > 0 {
		limit := time.Duration(d.slower * float64(d.p99))
		d.check(l.P99 <= limit, "their p99 was %v; the limit is %v times %v", l.P99, d.slower, d.p99)
	}
	left, err := fingerprint(ctx, d.server.Addr)
	d.check(err == nil && left.keys == 0, "%d keys of the data set are in their databases", left.keys)
	return err
}

func (d *demo) rescue(ctx context.Context) error {
	c, err := harness.DialClient(d.console, replyTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	d.say("The operator: redis-cli -p 6390 SHOW TRASH")
	if err := d.show(c, "SHOW", "TRASH"); err != nil {
		return err
	}
	d.say("The operator: redis-cli -p 6390 UNDO 1 REPLACE")
	begin := time.Now()
	v, err := c.Must("UNDO", "1", "REPLACE")
	if err != nil {
		return err
	}
	d.say("  %v, in %v", v, time.Since(begin).Round(10*time.Microsecond))
	after, err := fingerprint(ctx, d.server.Addr)
	if err != nil {
		return err
	}
	d.check(after == d.before, "digest and deadline of all %d keys are what they were", after.keys)
	if err := d.show(c, "SHOW", "RULES"); err != nil {
		return err
	}
	d.audited()
	return nil
}

// show prints the console's answer.
func (d *demo) show(c *harness.Client, args ...string) error {
	v, err := c.Must(args...)
	lines, _ := v.([]any)
	for _, line := range lines {
		d.say("  | %v", line)
	}
	return err
}

// audited looks for the culprit in the audit log. Its lines are written off the loops.
func (d *demo) audited() {
	deadline := time.Now().Add(10 * time.Second)
	for {
		line := d.findAudit()
		if line != "" || time.Now().After(deadline) {
			d.check(line != "", "the audit log has it: %s", line)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// findAudit is the line about the FLUSHALL that went to the trash.
func (d *demo) findAudit() string {
	f, err := os.Open(d.audit)
	if err != nil {
		return ""
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		var line map[string]any
		if json.Unmarshal(in.Bytes(), &line) != nil {
			continue
		}
		if v, _ := line["verdict"].(string); strings.HasPrefix(v, "trash") {
			return in.Text()
		}
	}
	return ""
}
