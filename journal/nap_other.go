//go:build !linux

package journal

import "time"

func nap(d time.Duration) { time.Sleep(d) }
