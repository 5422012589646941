package systemd

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// monotonic is the assignment of the present time that Type=notify-reload demands with RELOADING=1.
func monotonic() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return ""
	}
	return fmt.Sprintf("\nMONOTONIC_USEC=%d", now.Nano()/1000)
}
