package eventloop

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

type echo struct{}

func (echo) OnData(c *Conn, p []byte)   { c.Write(p) }
func (echo) OnEOF(c *Conn)              { c.CloseAfterFlush(time.Second) }
func (echo) OnClose(c *Conn, err error) {}
func (echo) OnDrain(c *Conn)            {}

func TestSmoke(t *testing.T) {
	for _, d := range []string{"epoll", "portable"} {
		t.Run(d, func(t *testing.T) {
			l, err := New(Options{Driver: d})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- l.Run() }()
			ln, err := Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			a := Accept(ln, []*Loop{l}, func(l *Loop, nc net.Conn) { l.Add(nc, echo{}, PrioritySession) }, nil)
			nc, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			want := bytes.Repeat([]byte("0123456789"), 1<<17)
			go func() { nc.Write(want); nc.(*net.TCPConn).CloseWrite() }()
			got, err := io.ReadAll(nc)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatal(len(got), err)
			}
			nc.Close()
			a.Stop()
			a.Wait()
			l.Stop()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		})
	}
}
