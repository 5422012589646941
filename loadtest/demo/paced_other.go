//go:build !linux

package main

import (
	"context"
	"errors"
	"time"
)

// paced is for Linux only, as all process measurements here.
type paced struct {
	every  time.Duration
	burst  func(conn, round int, out []byte) ([]byte, int)
	answer func(line []byte)
	took   func(time.Duration)
	turn   func()
}

func (p *paced) run(context.Context, string, int) error {
	return errors.New("the demo needs Linux")
}
