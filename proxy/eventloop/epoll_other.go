//go:build !linux

package eventloop

import "fmt"

const bestDriver = driverPortable

func newEpoll(*Loop) (driver, error) {
	return nil, fmt.Errorf("%w: epoll is for Linux", ErrDriver)
}

func unacked(int) int { return 0 }
