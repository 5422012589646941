package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// measureRestore compares a restore, base and stream, with the same server loading what the same
// journal gives as its append-only file.
func measureRestore(ctx context.Context, o *options, root, dir string) (string, error) {
	c, err := startContender(root, filepath.Join(dir, "source"), "journal: {dir: j}\n")
	defer c.stop()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(dir, "source", "j")
	if err := fillSource(ctx, c, root, folder, o.keys); err != nil {
		return "", err
	}
	c.stop()
	var restores, loads []float64
	for round := range max(1, o.rounds/2) {
		home := filepath.Join(dir, "restore"+strconv.Itoa(round))
		if err := os.MkdirAll(home, 0o755); err != nil {
			return "", err
		}
		r, l, err := restoreOnce(ctx, root, folder, home)
		if err != nil {
			return "", err
		}
		restores, loads = append(restores, r), append(loads, l)
		if err := os.RemoveAll(home); err != nil {
			return "", err
		}
	}
	r, l := median(restores), median(loads)
	return fmt.Sprintf("### Restore: %d SETs of 100 bytes in the stream\n\n| what | seconds |\n"+
		"|---|---|\n| the server loads it from its append-only file | %.2f |\n"+
		"| proxy restore, until the server is a primary | %.2f |\n| ratio | %.2f (%s) |\n\n",
		o.keys, l, r, r/l, goal(r <= l, "at most 1")), nil
}

// fillSource writes past the proxy, as fast as that goes, and waits until all is in the journal.
func fillSource(ctx context.Context, c *contender, root, folder string, keys int) error {
	if err := await(ctx, func() bool { return held(ctx, root, folder) >= 0 }); err != nil {
		return err
	}
	_, port, _ := strings.Cut(c.server.Addr, ":")
	program, err := harness.Program(root, "valkey", "valkey-benchmark")
	if err != nil {
		return err
	}
	err = exec.CommandContext(ctx, program, "-p", port, "-t", "set", "-d", "100", "-P", "64",
		"-r", strconv.Itoa(keys), "-n", strconv.Itoa(keys), "-q").Run()
	if err != nil {
		return fmt.Errorf("valkey-benchmark: %w", err)
	}
	last := int64(-1)
	return await(ctx, func() bool { // until nothing more comes
		now := held(ctx, root, folder)
		done := now == last && now > int64(keys)*100
		last = now
		return done
	})
}

// held is the end of the journal; -1: nothing can be restored yet.
func held(ctx context.Context, root, folder string) int64 {
	out, err := exec.CommandContext(ctx, filepath.Join(root, "bin", "proxy"), "journal", "ls",
		"--json", "--dir", folder).Output()
	var v struct {
		Timelines []struct{ End int64 }
		Bases     []struct{ File string }
	}
	if err != nil || json.Unmarshal(out, &v) != nil || len(v.Bases) == 0 {
		return -1
	}
	return v.Timelines[len(v.Timelines)-1].End
}

// await polls until a condition holds.
func await(ctx context.Context, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the journal did not get there: %w", ctx.Err())
		case <-time.After(500 * time.Millisecond):
		}
	}
	return nil
}

// restoreOnce returns the seconds that a restore takes, and that loading the append-only file does.
func restoreOnce(ctx context.Context, root, folder, home string) (restore, load float64, err error) {
	program := filepath.Join(root, "bin", "proxy")
	dst, err := startServer(root, home, "target")
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	out, err := exec.CommandContext(ctx, program, "restore", "--dir", folder, "--end", "--target",
		dst.Addr).CombinedOutput()
	restore = time.Since(began).Seconds()
	dst.Stop()
	if err != nil {
		return 0, 0, fmt.Errorf("restore: %w: %s", err, out)
	}
	out, err = exec.CommandContext(ctx, program, "journal", "export", "--dir", folder, "--end",
		"--aof", filepath.Join(home, "appendonlydir")).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("export: %w: %s", err, out)
	}
	own, err := startServer(root, home, "own", "--appendonly", "yes")
	if err != nil {
		return 0, 0, err
	}
	defer own.Stop()
	err = await(ctx, func() bool { load, err = loadTime(filepath.Join(home, "own.log")); return err == nil })
	return restore, load, err
}

// loadTime reads "DB loaded from append only file: 0.512 seconds" in a server's log.
func loadTime(file string) (float64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	const said = "DB loaded from append only file: "
	_, rest, ok := strings.Cut(string(text), said)
	if !ok {
		return 0, fmt.Errorf("%s does not say %q", file, said)
	}
	seconds, _, _ := strings.Cut(rest, " ")
	return strconv.ParseFloat(seconds, 64)
}
