package journal

import (
	"time"

	"golang.org/x/sys/unix"
)

// nap sleeps. In an otherwise idle process the runtime's own timers are no finer than a
// millisecond.
func nap(d time.Duration) {
	if d >= 2*time.Millisecond {
		time.Sleep(d)
		return
	}
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // a signal ends it early, which is harmless
}
