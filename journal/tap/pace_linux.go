package tap

import "syscall"

// setLowWater sets SO_RCVLOWAT (socket(7)). Since Linux 4.18 TCP honours it in poll as well.
func setLowWater(fd uintptr, n int) {
	// Failing costs wake-ups, nothing else.
	_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, n)
}
