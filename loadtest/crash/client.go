package main

import (
	"errors"
	"net"
	"time"
)

// patience bounds the wait for one reply. Every held reply is answered long before, so that only a
// stopped or disconnected server exceeds it.
const patience = 4 * time.Second

// timedOut reports that no reply came within patience.
func timedOut(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
