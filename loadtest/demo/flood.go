package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

// floodPiece is how many FLUSHALLs a connection of the bug sends at once.
const floodPiece = 10

// answers is what the flood was told.
type answers struct {
	ok, throttled, other int
	example              string // of other
	took                 time.Duration
}

// flood sends n FLUSHALLs from conns connections, spread evenly over span.
func flood(ctx context.Context, addr string, n, conns int, span time.Duration) (answers, error) {
	var (
		mu      sync.Mutex
		a       answers
		failure error
		running sync.WaitGroup
	)
	begin := time.Now()
	for i := range conns {
		share := n / conns
		if i < n%conns {
			share++
		}
		running.Go(func() {
			// Not all at the same moment: nobody conducts a bug.
			delay := span * time.Duration(floodPiece*i) / time.Duration(max(n, 1))
			part, err := floodOne(ctx, addr, share, span, delay)
			mu.Lock()
			defer mu.Unlock()
			a.ok, a.throttled, a.other = a.ok+part.ok, a.throttled+part.throttled, a.other+part.other
			if part.example != "" {
				a.example = part.example
			}
			failure = errors.Join(failure, err)
		})
	}
	running.Wait()
	a.took = time.Since(begin)
	return a, failure
}

func floodOne(ctx context.Context, addr string, n int, span, delay time.Duration) (
	a answers, err error) {
	c, err := dial(addr)
	if err != nil {
		return a, err
	}
	defer c.Close()
	if err := sleep(ctx, delay); err != nil {
		return a, err
	}
	pieces := (n + floodPiece - 1) / floodPiece
	pace := time.NewTicker(max(span/time.Duration(max(pieces, 1)), time.Millisecond))
	defer pace.Stop()
	for sent := 0; sent < n; sent += floodPiece {
		size := min(floodPiece, n-sent)
		for range size {
			c.put("FLUSHALL")
		}
		if err := c.flush(); err != nil {
			return a, err
		}
		for range size {
			v, err := c.reply()
			if err != nil {
				return a, err
			}
			a.note(v)
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return a, ctx.Err()
		}
	}
	return a, nil
}

func (a *answers) note(v any) {
	e, refused := v.(errReply)
	switch {
	case v == "OK":
		a.ok++
	case refused && strings.HasPrefix(string(e), "THROTTLED"):
		a.throttled++
	default:
		a.other++
		a.example = e.Error()
	}
}
