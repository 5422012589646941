package page

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"holdfast/proxy/admin"
	"holdfast/proxy/audit"
)

const (
	// refresh is the interval of the page's updates, and the age up to which a state serves.
	refresh = 2 * time.Second
	// askTime bounds each question to the proxy, so that the page loads when the server hangs.
	askTime = 700 * time.Millisecond

	trashRows = 20 // entries of single keys on a page
	auditRows = 30
)

// A part is the answer to one question.
type part[T any] struct {
	V   T
	Err string // why there is none
}

// state is the page's content as of one time. It is immutable.
type state struct {
	At        time.Time
	Stats     part[*admin.Stats]
	Routes    part[[]admin.Route]
	Rules     part[[]admin.Rule]
	Budgets   part[[]admin.Budget]
	Trends    part[*Trends]
	Pending   part[[]admin.Pending]
	Journal   part[*admin.Journal]
	History   part[*History]
	Incidents part[[]admin.Incident]
	Events    part[[]admin.Event]
	Repair    part[*admin.Repair]
	Trash     part[*Trash]
	Audit     part[*audit.Tail]
}

// source asks the proxy, at most once a refresh.
type source struct {
	backend Backend
	log     *slog.Logger
	turn    chan struct{} // held by the one that asks, or looks
	last    *state        // by the holder of turn
}

func newSource(b Backend, log *slog.Logger) *source {
	return &source{backend: b, log: log, turn: make(chan struct{}, 1)}
}

// get returns a state that is not older than maxAge. The error is of ctx.
func (s *source) get(ctx context.Context, maxAge time.Duration) (*state, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.last == nil || time.Since(s.last.At) >= maxAge {
		s.last = s.ask()
	}
	return s.last, nil
}

// ask asks everything at the same time. It does not end with its caller's request, since others wait for it.
func (s *source) ask() *state {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	st, b := &state{At: time.Now()}, s.backend
	var all sync.WaitGroup
	put(s, ctx, &all, &st.Stats, b.Stats)
	put(s, ctx, &all, &st.Routes, b.Routes)
	put(s, ctx, &all, &st.Rules, b.Rules)
	put(s, ctx, &all, &st.Budgets, func(ctx context.Context) ([]admin.Budget, error) {
		list, err := b.Budgets(ctx)
		for i := range list {
			list[i].Breakers = fullest(list[i].Breakers)
		}
		return list, err
	})
	put(s, ctx, &all, &st.Trends, b.Trends)
	put(s, ctx, &all, &st.Pending, b.Pending)
	put(s, ctx, &all, &st.Journal, b.Journal)
	put(s, ctx, &all, &st.History, b.History)
	put(s, ctx, &all, &st.Incidents, b.Incidents)
	put(s, ctx, &all, &st.Events, b.Events)
	put(s, ctx, &all, &st.Repair, b.RepairState)
	put(s, ctx, &all, &st.Trash, func(ctx context.Context) (*Trash, error) { return b.TrashPage(ctx, 0, trashRows) })
	put(s, ctx, &all, &st.Audit, func(ctx context.Context) (*audit.Tail, error) {
		return b.AuditTail(ctx, audit.Query{Limit: auditRows})
	})
	all.Wait()
	return st
}

// put asks one question in a goroutine.
func put[T any](s *source, ctx context.Context, all *sync.WaitGroup, to *part[T], ask func(context.Context) (T, error)) {
	all.Go(func() { *to = answer(s, ctx, ask) })
}

// answer asks one question. A panic costs the answer, and never the data path its process.
func answer[T any](s *source, ctx context.Context, ask func(context.Context) (T, error)) (p part[T]) {
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("page: panic", "value", v, "stack", string(debug.Stack()))
			p = part[T]{Err: "internal error; the log of the proxy says more"}
		}
	}()
	v, err := ask(ctx)
	switch {
	case err == nil:
		return part[T]{V: v}
	case errors.Is(err, context.DeadlineExceeded):
		return part[T]{Err: fmt.Sprintf("no answer within %s", askTime)}
	}
	return part[T]{Err: admin.Clean(err.Error())}
}
