package main

import (
	"bytes"
	"context"
	"time"
)

// answers are the replies to the flood.
type answers struct {
	OK, Throttled, Other int
	Example              string // of Other
	Took                 time.Duration
}

// runFlood sends the FLUSHALLs from all connections, spread evenly over the span. Each waits for
// the replies to those before it, as a program in a loop does.
func runFlood(ctx context.Context, addr string, o *options) (a answers, err error) {
	left := o.flushes
	rounds := max(1, o.flushes/(o.conns*o.depth))
	p := &paced{
		every: o.span / time.Duration(rounds),
		burst: func(_, _ int, out []byte) ([]byte, int) {
			n := min(o.depth, left)
			left -= n
			for range n {
				out = append(out, "*1\r\n$8\r\nFLUSHALL\r\n"...)
			}
			return out, n
		},
		answer: a.note,
		took:   func(time.Duration) {},
	}
	begin := time.Now()
	err = p.run(ctx, addr, o.conns)
	a.Took = time.Since(begin)
	return a, err
}

func (a *answers) note(line []byte) {
	switch {
	case string(line) == "+OK":
		a.OK++
	case bytes.HasPrefix(line, []byte("-THROTTLED")):
		a.Throttled++
	default:
		a.Other++
		a.Example = string(line)
	}
}
