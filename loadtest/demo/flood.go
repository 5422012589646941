package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// floodPiece is how many FLUSHALLs a connection of the bug sends at once.
const floodPiece = 10

// answers is what the flood was told.
type answers struct {
	OK, Throttled, Other int
	Example              string // of Other
	Took                 time.Duration
}

// floodBeside has a process of its own send the flood: what it costs must not slow down the clients
// whose commands are timed in this one.
func floodBeside(ctx context.Context, addr string, o *options) (a answers, err error) {
	self, err := os.Executable()
	if err != nil {
		return a, err
	}
	cmd := exec.CommandContext(ctx, self, "--flood", addr, "--flushes", strconv.Itoa(o.flushes),
		"--conns", strconv.Itoa(o.conns), "--span", o.span.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(out, &a)
}

// floodHere sends the FLUSHALLs, spread evenly over the span.
func floodHere(ctx context.Context, addr string, o *options) (answers, error) {
	n, conns, span := o.flushes, o.conns, o.span
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
			a.OK, a.Throttled, a.Other = a.OK+part.OK, a.Throttled+part.Throttled, a.Other+part.Other
			if part.Example != "" {
				a.Example = part.Example
			}
			failure = errors.Join(failure, err)
		})
	}
	running.Wait()
	a.Took = time.Since(begin)
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
		a.OK++
	case refused && strings.HasPrefix(string(e), "THROTTLED"):
		a.Throttled++
	default:
		a.Other++
		a.Example = e.Error()
	}
}
