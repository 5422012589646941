package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// loadTimeout bounds one run: a target that hangs must not hang the benchmark.
const loadTimeout = 2 * time.Minute

// load sends requests commands to the target as the cell says and returns commands per second,
// over all processes of a mix together.
func (b *bench) load(ctx context.Context, t *target, c cell, requests int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	names, connections := c.tests()
	rates := make([]float64, len(names))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			rates[i], errs[i] = b.runBenchmark(ctx, t, name, connections, c.depth,
				max(1, requests/len(names)))
		})
	}
	wg.Wait()
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	return sum, errors.Join(errs...)
}

func (b *bench) runBenchmark(
	ctx context.Context, t *target, test string, connections, depth, requests int,
) (float64, error) {
	host, port, err := net.SplitHostPort(t.addr())
	if err != nil {
		return 0, err
	}
	args := append([]string{"-h", host, "-p", port, "-t", test,
		"-c", strconv.Itoa(connections), "-P", strconv.Itoa(depth),
		"-n", strconv.Itoa(requests), "--csv"}, t.tlsArgs()...)
	out, err := exec.CommandContext(ctx, b.program, args...).Output()
	if err != nil {
		return 0, fmt.Errorf("valkey-benchmark: %w", err)
	}
	return parseRate(string(out))
}

// parseRate reads the rps column of valkey-benchmark's --csv output. It is in the record behind the
// heading; warnings that the peers provoke can precede it.
func parseRate(out string) (float64, error) {
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, `"`) || strings.HasPrefix(line, `"test"`) {
			continue
		}
		record, err := csv.NewReader(strings.NewReader(line)).Read()
		if err != nil || len(record) < 2 {
			continue
		}
		return strconv.ParseFloat(record[1], 64)
	}
	return 0, fmt.Errorf("no rate in the output of valkey-benchmark: %q", out)
}
