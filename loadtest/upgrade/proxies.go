package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"holdfast/loadtest/harness"
)

const (
	lookEvery = 10 * time.Millisecond
	lookFor   = time.Minute
)

// proxies are the processes that serve one after the other.
type proxies struct {
	dir, program, config, addr string
	started                    int
	pid                        int
}

// start starts a process of its own, and gives it the log proxy-N.log.
func (p *proxies) start(flags ...string) error {
	p.started++
	argv := append([]string{p.program, "serve", "--config", p.config}, flags...)
	next, err := harness.Start(p.dir, p.name(), p.addr, argv...)
	if err != nil {
		return err
	}
	p.pid = next.Pid
	return nil
}

func (p *proxies) name() string { return fmt.Sprintf("proxy-%d", p.started) }

// log is the log of the present process.
func (p *proxies) log() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, p.name()+".log")) // a missing one is empty
	return string(text)
}

var (
	nextPID = regexp.MustCompile(`the next process is started" program=\S+ pid=(\d+)`)
	atTime  = regexp.MustCompile(`(?m)^time=(\S+) .*msg="(another process takes over|taken over)"`)
)

// upgrade replaces the present process, and returns the time without an accept.
func (p *proxies) upgrade(ctx context.Context, bySignal bool) (time.Duration, error) {
	old, before := p.log(), 0
	if bySignal {
		before = strings.Count(old, `msg="taken over"`)
		if err := syscall.Kill(p.pid, syscall.SIGUSR2); err != nil {
			return 0, err
		}
	} else if err := p.start("--takeover"); err != nil {
		return 0, err
	}
	oldLog := filepath.Join(p.dir, fmt.Sprintf("proxy-%d.log", p.started))
	if !bySignal {
		oldLog = filepath.Join(p.dir, fmt.Sprintf("proxy-%d.log", p.started-1))
	}
	err := harness.Await(ctx, "the next process", lookFor, lookEvery, func(context.Context) bool {
		return strings.Count(p.log(), `msg="taken over"`) > before
	})
	if err != nil {
		return 0, err
	}
	if bySignal {
		all := nextPID.FindAllStringSubmatch(p.log(), -1)
		if len(all) == 0 {
			return 0, fmt.Errorf("%s does not name the next process", oldLog)
		}
		p.pid, _ = strconv.Atoi(all[len(all)-1][1])
	}
	text, err := os.ReadFile(oldLog)
	if err != nil {
		return 0, err
	}
	return lastTime(p.log(), "taken over").Sub(lastTime(string(text), "another process takes over")), nil
}

// lastTime is the time of the last line of a log with a message.
func lastTime(log, message string) (at time.Time) {
	for _, m := range atTime.FindAllStringSubmatch(log, -1) {
		if m[2] == message {
			at, _ = time.Parse(time.RFC3339Nano, m[1])
		}
	}
	return at
}

// restart ends the present process before it starts the next one.
func (p *proxies) restart(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if err := p.stop(ctx); err != nil {
		return 0, err
	}
	err := p.start()
	return time.Since(began), err
}

// stop ends the present process.
func (p *proxies) stop(ctx context.Context) error {
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		return err
	}
	return harness.Await(ctx, "the end of the proxy", lookFor, lookEvery, func(context.Context) bool { return !alive(p.pid) })
}

// alive reports that a process runs: one that has ended may wait for its parent.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	end := strings.LastIndexByte(string(stat), ')')
	return end < 0 || end+2 >= len(stat) || stat[end+2] != 'Z'
}

// kill ends the present process at once, however the run ends.
func (p *proxies) kill() {
	if p.pid != 0 && alive(p.pid) {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
}
