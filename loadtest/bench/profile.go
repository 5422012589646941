package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// profiledTargets are the targets of a run with --profile.
var profiledTargets = []string{"holdfast", withRules, frontTLS, bothTLS}

// profiledCells are their loads.
var profiledCells = []cell{{"SET", 1, 50}, {"GET", 1, 50}, {"SET", 16, 50}, {"GET", 16, 50}, {"mix", 16, 500}}

// profile writes the sum of the CPU profiles of all targets under all loads to path. It is the
// profile with which the release is built: the compiler inlines and lays out what is hot there.
func (b *bench) profile(ctx context.Context, dir, path string) error {
	var parts []string
	for _, t := range b.targets {
		for i, c := range profiledCells {
			part := filepath.Join(dir, fmt.Sprintf("%s-%d.pb.gz", t.name, i))
			if err := b.profileCell(ctx, t, c, part); err != nil {
				return fmt.Errorf("%s: %v: %w", t.name, c, err)
			}
			parts = append(parts, part)
		}
	}
	merge := exec.CommandContext(ctx, "go", append([]string{"tool", "pprof", "-proto", "-output", path}, parts...)...)
	if out, err := merge.CombinedOutput(); err != nil {
		return fmt.Errorf("go tool pprof: %w\n%s", err, out)
	}
	return nil
}

// profileCell writes a profile of b.seconds under load to path.
func (b *bench) profileCell(ctx context.Context, t *target, c cell, path string) error {
	loading, stop := context.WithCancel(ctx)
	defer stop()
	loaded := make(chan error, 1)
	go func() {
		_, err := b.load(loading, t, c, endless)
		loaded <- err
	}()
	err := fetchProfile(ctx, t.http, max(1, int(b.seconds)), path)
	select {
	case ended := <-loaded:
		return errors.Join(errors.New("the load ended before the profile did"), ended)
	default:
	}
	stop()
	<-loaded // it was cancelled
	return err
}

// endless is more requests than a target answers within loadTimeout.
const endless = 1_000_000_000

// fetchProfile takes a profile from the proxy's profiler.
func fetchProfile(ctx context.Context, addr string, seconds int, path string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+loadTimeout)
	defer cancel()
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", addr, seconds)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, reply.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, reply.Body); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
