package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"holdfast/loadtest/fusedisk"
	"holdfast/loadtest/harness"
)

// slowFlush is how long the slow disk needs for a flush.
const slowFlush = 50 * time.Millisecond

// measureSlow puts the journal on a slow disk. No client waits for it.
func measureSlow(ctx context.Context, o *options, root, dir string) (text string, err error) {
	title := fmt.Sprintf("### The same, the journal on a disk whose flush takes %s\n\n", slowFlush)
	if missing := fusedisk.Available(); missing != nil {
		return title + fmt.Sprintf("Not measured: %v.\n\n", missing), nil
	}
	m, err := fusedisk.Boot(filepath.Join(dir, "slow"), nil, 2<<30,
		fusedisk.Options{Flush: slowFlush})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, m.Down()) }()
	off, on, err := compare(ctx, o, root, filepath.Join(dir, "slowload"),
		fmt.Sprintf("journal: {dir: %q}\n", filepath.Join(m.Root, "j")))
	if err != nil {
		return "", err
	}
	return title + fmt.Sprintf("| journal | commands/s | p99, ms |\n|---|---|---|\n"+
		"| off | %.0f | %.2f |\n| on | %.0f | %.2f |\n| ratio | %.2f | %.2f |\n\n",
		harness.Median(off.rates), harness.Median(off.p99s), harness.Median(on.rates), harness.Median(on.p99s),
		medianRatio(on.rates, off.rates), medianRatio(on.p99s, off.p99s)), nil
}
