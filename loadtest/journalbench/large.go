package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// largeValue is the size of each value of the large data set, in bytes.
const largeValue = 64 << 10

// measureLarge attaches a journal to a server with a large data set, restores it, and watches the
// memory of both processes: neither may hold the data set.
func measureLarge(ctx context.Context, o *options, root, dir string) (string, error) {
	if o.gib == 0 {
		return "", nil
	}
	home := filepath.Join(dir, "large")
	defer os.RemoveAll(home) // it is large
	c, took, err := attachLarge(ctx, o, root, home)
	defer c.stop()
	if err != nil {
		return "", err
	}
	attached, err := harness.PeakRSS(c.proxy.Pid)
	if err != nil {
		return "", err
	}
	c.stop()
	dst, err := startServer(root, home, "target")
	if err != nil {
		return "", err
	}
	defer dst.Stop()
	began := time.Now()
	peak, err := runWatched(exec.CommandContext(ctx, filepath.Join(root, "bin", "proxy"), "restore",
		"--dir", filepath.Join(home, "j"), "--end", "--target", dst.Addr))
	if err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	const mib = 1 << 20
	return fmt.Sprintf("### %d GiB in values of %d KiB\n\n| what | seconds | most memory, MiB |\n"+
		"|---|---|---|\n| the proxy attaches its journal, until it can be restored | %.1f | %d |\n"+
		"| proxy restore into an empty server | %.1f | %d |\n\n", o.gib, largeValue>>10,
		took.Seconds(), attached/mib, time.Since(began).Seconds(), peak/mib), nil
}

// runWatched runs a program and returns its highest observed memory, in bytes. The kernel's own
// count for an ended process includes its parent's memory at the start.
func runWatched(cmd *exec.Cmd) (peak int64, err error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out.String())
			}
			return peak, err
		case <-ticker.C:
			if now, err := harness.PeakRSS(cmd.Process.Pid); err == nil { // it may have ended
				peak = max(peak, now)
			}
		}
	}
}

// attachLarge fills a server, and then starts a proxy with a journal.
func attachLarge(ctx context.Context, o *options, root, home string) (c *contender,
	took time.Duration, err error,
) {
	c = &contender{}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return c, 0, err
	}
	// DEBUG POPULATE makes values that are nearly all zeros: compressed, almost nothing of them is
	// left.
	if c.server, err = startServer(root, home, "server", "--enable-debug-command", "yes",
		"--rdbcompression", "no"); err != nil {
		return c, 0, err
	}
	program, err := harness.Program(root, "valkey", "valkey-cli")
	if err != nil {
		return c, 0, err
	}
	_, port, _ := strings.Cut(c.server.Addr, ":")
	out, err := exec.CommandContext(ctx, program, "-p", port, "debug", "populate",
		strconv.Itoa(o.gib<<30/largeValue), "key", strconv.Itoa(largeValue)).CombinedOutput()
	if err != nil || strings.Contains(string(out), "ERR") {
		return c, 0, fmt.Errorf("fill: %w: %s", err, out)
	}
	began := time.Now()
	if err := c.startProxy(root, home, "journal: {dir: j}\n"); err != nil {
		return c, 0, err
	}
	err = await(ctx, func(context.Context) bool { return held(ctx, root, filepath.Join(home, "j")) >= 0 })
	return c, time.Since(began), err
}
