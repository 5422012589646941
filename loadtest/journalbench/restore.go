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

// measureRestore compares a restore, base and stream, with the same server loading the same
// journal's data as its append-only file.
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
	var rounds []restored
	for round := range o.rounds {
		home := filepath.Join(dir, "restore"+strconv.Itoa(round))
		if err := os.MkdirAll(home, 0o755); err != nil {
			return "", err
		}
		r, err := restoreOnce(ctx, root, folder, home)
		if err != nil {
			return "", err
		}
		rounds = append(rounds, r)
		if err := os.RemoveAll(home); err != nil {
			return "", err
		}
	}
	return reportRestore(o.keys, rounds), nil
}

// restored is one round: seconds, and seconds of CPU of the server.
type restored struct {
	all, found       float64 // the whole command; finding the point, in it
	load             float64 // from the append-only file
	serverCPU, ofAOF float64
}

func reportRestore(keys int, rounds []restored) string {
	column := func(get func(restored) float64) (list []float64) {
		for _, r := range rounds {
			list = append(list, get(r))
		}
		return list
	}
	all := column(func(r restored) float64 { return r.all })
	load := column(func(r restored) float64 { return r.load })
	cpu := column(func(r restored) float64 { return r.serverCPU })
	ofAOF := column(func(r restored) float64 { return r.ofAOF })
	ratio := medianRatio(all, load)
	return fmt.Sprintf("### Restore: %d SETs of 100 bytes in the stream\n\n"+
		"| what | seconds | CPU of the server, s |\n|---|---|---|\n"+
		"| the server loads it from its append-only file | %.2f | %.2f |\n"+
		"| proxy restore, until the server is a primary | %.2f | %.2f |\n"+
		"| of that, starting and finding the point | %.2f | |\n"+
		"| ratio | %.2f (%s) | %.2f |\n\n", keys, harness.Median(load), harness.Median(ofAOF), harness.Median(all),
		harness.Median(cpu), harness.Median(column(func(r restored) float64 { return r.found })), ratio,
		goal(ratio <= 1, "at most 1"), medianRatio(cpu, ofAOF))
}

// fillSource writes directly to the server, as fast as possible, and waits until the journal has it
// all.
func fillSource(ctx context.Context, c *contender, root, folder string, keys int) error {
	if err := await(ctx, func(context.Context) bool { return held(ctx, root, folder) >= 0 }); err != nil {
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
	return await(ctx, func(context.Context) bool { // until the end stands still
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

// await waits for a state of the journal.
func await(ctx context.Context, ok func(context.Context) bool) error {
	return harness.Await(ctx, "the journal", 2*time.Minute, 500*time.Millisecond, ok)
}

// restoreOnce restores into a fresh server, and has another one load the same as its append-only
// file.
func restoreOnce(ctx context.Context, root, folder, home string) (r restored, err error) {
	dst, err := startServer(root, home, "target")
	if err != nil {
		return r, err
	}
	defer dst.Stop()
	before, err := harness.CPUTime(dst.Pid)
	if err != nil {
		return r, err
	}
	began := time.Now()
	out, err := exec.CommandContext(ctx, filepath.Join(root, "bin", "proxy"), "restore", "--dir",
		folder, "--end", "--json", "--target", dst.Addr).Output()
	r.all = time.Since(began).Seconds()
	if err != nil {
		return r, fmt.Errorf("restore: %w: %s", err, out)
	}
	after, err := harness.CPUTime(dst.Pid)
	if err != nil {
		return r, err
	}
	var said struct{ Seconds float64 } // of the target's part
	if err := json.Unmarshal(out, &said); err != nil {
		return r, err
	}
	r.found, r.serverCPU = r.all-said.Seconds, (after - before).Seconds()
	return r, loadOnce(ctx, root, folder, home, &r)
}

// loadOnce measures the restore's counterpart.
func loadOnce(ctx context.Context, root, folder, home string, r *restored) error {
	out, err := exec.CommandContext(ctx, filepath.Join(root, "bin", "proxy"), "journal", "export",
		"--dir", folder, "--end", "--aof", filepath.Join(home, "appendonlydir")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("export: %w: %s", err, out)
	}
	own, err := startServer(root, home, "own", "--appendonly", "yes")
	if err != nil {
		return err
	}
	defer own.Stop()
	err = await(ctx, func(context.Context) bool {
		r.load, err = loadTime(filepath.Join(home, "own.log"))
		return err == nil
	})
	if err != nil {
		return err
	}
	cpu, err := harness.CPUTime(own.Pid)
	r.ofAOF = cpu.Seconds()
	return err
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
