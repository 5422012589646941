package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"holdfast/journal/replay"
)

// servePoll is the interval at which serve looks at the servers' progress.
const servePoll = 50 * time.Millisecond

// serve gives the point to any server that connects, until ctx ends.
func (r *restoration) serve(ctx context.Context) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *r.listen)
	if err != nil {
		return err
	}
	address := *r.advertise
	if address == "" {
		address = ln.Addr().String()
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		ln.Close()
		return err
	}
	fmt.Fprintf(r.c.stdout, "serving at %s: REPLICAOF %s %s\n", ln.Addr(), host, port)
	p := replay.NewPrimary(replay.PrimaryOptions{View: r.view, Plan: r.plan, Logger: r.logger()})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() { r.watch(ctx, p) })
	err = p.Serve(ctx, ln)
	cancel()
	if err == nil && p.Progress().Acked < r.plan.End() {
		return fmt.Errorf("interrupted before any server had reached the point")
	}
	return err
}

// watch reports the servers' progress, until ctx ends. Joined by serve.
func (r *restoration) watch(ctx context.Context, p *replay.Primary) {
	tick := time.NewTicker(servePoll)
	defer tick.Stop()
	for told := false; ; {
		select {
		case <-ctx.Done():
			r.shown.done()
			return
		case <-tick.C:
		}
		now := p.Progress()
		switch {
		case now.Acked >= r.plan.End() && !told:
			told = true
			r.shown.done()
			fmt.Fprintln(r.c.stdout, "a server has reached the point: promote it with "+
				"REPLICAOF NO ONE, then interrupt this")
		case !told && now.Attempts > 0:
			r.progress(now)
		}
	}
}
