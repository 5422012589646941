package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/journal/ctxtime"
	"holdfast/proxy"
	"holdfast/proxy/systemd"
)

// statusEvery is the interval at which the status is looked at where no watchdog asks more often.
const statusEvery = 5 * time.Second

// A supervision reports the runs of serve, one after the other, to the service manager.
type supervision struct {
	notify *systemd.Notifier // nil: there is none
	log    *slog.Logger
	up     chan struct{} // made by begin, closed once the listeners accept
	left   atomic.Bool   // another process has taken over
	status string        // the last one sent; of watch
}

func newSupervision(log *slog.Logger) *supervision {
	n, err := systemd.FromEnv()
	if err != nil {
		log.Warn("the service manager cannot be notified", "error", err)
	}
	return &supervision{notify: n, log: log}
}

// begin is called before each run: there are no signs of life until its listeners accept.
func (s *supervision) begin() { s.up = make(chan struct{}) }

// ready reports that the listeners accept. It is called once in a run.
func (s *supervision) ready() {
	s.said(s.notify.Ready())
	close(s.up)
}

// reloading runs a reload between the reports of its beginning and its end.
func (s *supervision) reloading(reload func()) {
	s.said(s.notify.Reloading())
	reload()
	s.said(s.notify.Ready())
}

// stopping reports the beginning of the end.
func (s *supervision) stopping() { s.said(s.notify.Stopping()) }

// handing reports that another process takes over, and leave that it has.
func (s *supervision) handing(pid int) {
	s.said(s.notify.Status(fmt.Sprintf("process %d takes over", pid)))
}

func (s *supervision) leave(pid int) {
	s.said(s.notify.Main(pid))
	s.left.Store(true)
}

// during runs a step outside the runs, with a status, and with signs of life for as long as life at most.
func (s *supervision) during(status string, life time.Duration, step func()) {
	if s.notify == nil {
		step()
		return
	}
	s.said(s.notify.Status(status))
	s.status = status
	ctx, cancel := context.WithTimeout(context.Background(), life)
	var alive sync.WaitGroup
	alive.Go(func() { s.alive(ctx) })
	step()
	cancel()
	alive.Wait()
}

// alive gives signs of life until ctx ends. Joined by during.
func (s *supervision) alive(ctx context.Context) {
	every := s.notify.Watchdog() / 3
	if every == 0 {
		return
	}
	for ctx.Err() == nil {
		s.said(s.notify.Alive())
		_ = ctxtime.Sleep(ctx, every)
	}
}

func (s *supervision) said(err error) {
	if err != nil {
		s.log.Warn("the service manager was not notified", "error", err)
	}
}

// watch reports signs of life and the status until ctx ends. Joined by serve.
//
// A sign of life means that every event loop has turned: a process that only answers signals is
// worth a restart.
func (s *supervision) watch(ctx context.Context, srv *proxy.Server) {
	if s.notify == nil {
		return
	}
	select {
	case <-s.up:
	case <-ctx.Done():
		return
	}
	every := statusEvery
	if w := s.notify.Watchdog(); w > 0 {
		every = min(every, w/3)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !s.left.Load() {
		s.look(ctx, srv, every)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look asks every loop, and reports.
func (s *supervision) look(ctx context.Context, srv *proxy.Server, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if srv.Alive(ctx) == nil && s.notify.Watchdog() > 0 {
		s.said(s.notify.Alive())
	}
	if status := statusOf(srv.Readiness().NotReady(), srv.Readiness().Degraded()); status != s.status {
		s.said(s.notify.Status(status))
		s.status = status
	}
}

// statusOf is the readiness as one line, as /readyz has it in several.
func statusOf(notReady, degraded []string) string {
	switch {
	case len(notReady) > 0:
		return "not ready: " + strings.Join(notReady, "; ")
	case len(degraded) > 0:
		return "ready, degraded: " + strings.Join(degraded, "; ")
	}
	return "ready"
}
