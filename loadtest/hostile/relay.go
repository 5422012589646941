package main

import (
	"bytes"
	"io"
	"net"
	"sync"
)

// poisoned is the value whose reply makes a relay's connection stop for good, in its middle.
const poisoned = "stops-the-connection"

// relay stands in front of the server.
type relay struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	conns []net.Conn
}

func startRelay(server string) (*relay, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: ln, server: server}
	go r.accept()
	return r, nil
}

func (r *relay) addr() string { return r.listener.Addr().String() }

func (r *relay) stop() {
	r.listener.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
}

// accept ends with the listener.
func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.server)
		if err != nil {
			client.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, client, server)
		r.mu.Unlock()
		go forward(server, client)
		go forwardReplies(client, server)
	}
}

func forward(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.Close()
}

// forwardReplies is forward, and stops in the middle of the poisoned value.
func forwardReplies(to, from net.Conn) {
	defer to.Close()
	p := make([]byte, 64<<10)
	for {
		n, err := from.Read(p)
		if at := bytes.Index(p[:n], []byte(poisoned)); at >= 0 {
			_, _ = to.Write(p[:at+len(poisoned)/2])
			_, _ = io.Copy(io.Discard, from) // until the end of the connection
			return
		}
		if _, werr := to.Write(p[:n]); err != nil || werr != nil {
			return
		}
	}
}
