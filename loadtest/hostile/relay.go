package main

import (
	"bytes"
	"net"

	"holdfast/proxy/proxytest/local"
)

// poisoned is the value whose reply makes a relay's connection stop for good, in its middle.
const poisoned = "stops-the-connection"

// startRelay starts a relay in front of the server.
func startRelay(server string) (*local.Relay, error) {
	dial := func() (net.Conn, error) { return net.Dial("tcp", server) }
	return local.StartRelay(dial, func(p *local.Pair) { p.Pass(nil, untilPoison()) })
}

// untilPoison passes replies up to the middle of the poisoned value.
func untilPoison() local.Filter {
	stopped := false
	return func(data []byte) ([]byte, bool) {
		if stopped {
			return nil, true
		}
		if at := bytes.Index(data, []byte(poisoned)); at >= 0 {
			stopped = true
			data = data[:at+len(poisoned)/2]
		}
		return data, true
	}
}
