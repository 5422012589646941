package eventloop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
)

// machines are both sides of a TLS connection as a loop has them, without a loop.
func machines(t testing.TB, version uint16) (server, client *secure) {
	t.Helper()
	return machinesWith(t, version, nil)
}

// machinesWith is machines whose client writes a key log.
func machinesWith(t testing.TB, version uint16, log io.Writer) (server, client *secure) {
	t.Helper()
	ours, theirs := tcpPair(t)
	serverConfig, clientConfig := testConfigs()
	serverConfig, clientConfig = serverConfig.Clone(), clientConfig.Clone()
	serverConfig.SessionTicketsDisabled = true
	clientConfig.MaxVersion, clientConfig.KeyLogWriter = version, log
	s, c := Server(ours, serverConfig), Client(theirs, clientConfig)
	var wg sync.WaitGroup
	wg.Go(func() { mustNot(t, s.Shake(t.Context(), nil)) })
	mustNot(t, c.Shake(t.Context(), nil))
	wg.Wait()
	ours.Close()
	theirs.Close()
	return newSecure(s), newSecure(c)
}

// transfer sends want from one machine to the other. take says how much the kernel accepts at a time,
// give how much a read brings; both are asked again and again.
func transfer(t testing.TB, from, to *secure, want []byte, piece, take, give func() int) {
	t.Helper()
	var out output
	var pool pool
	var buf sealing
	var got, wire []byte
	plain := make([]byte, 1000)
	sent, queued := 0, 0
	pull := func() {
		for len(wire) > 0 {
			n := min(give(), len(wire))
			to.feed(wire[:n])
			for {
				k, err := to.open(plain)
				got = append(got, plain[:k]...)
				if err == errAgain {
					break
				}
				if err != nil {
					t.Fatalf("after %d bytes: %v", len(got), err)
				}
			}
			wire = append([]byte(nil), wire[n:]...)
		}
	}
	for queued < len(want) || out.head != nil {
		for range 3 {
			if n := min(piece(), len(want)-queued); n > 0 {
				k := pool.get(chunkOwned)
				k.buf = want[queued : queued+n]
				out.push(k)
				queued += n
			}
		}
		some, err := from.seal(&out, &buf)
		if err != nil || some != (queued > sent) {
			t.Fatalf("seal: %v, %v with %d of %d sent", some, err, sent, queued)
		}
		if !some {
			continue
		}
		n := min(take(), len(from.pipe.out))
		wire = append(wire, from.pipe.out[:n]...)
		if plain := from.accepted(n); plain > 0 {
			sent += plain
			out.consume(&pool, plain)
		}
		from.keep()
		pull()
		if len(got) < sent {
			t.Fatalf("%d bytes are called sent, and the peer could read %d", sent, len(got))
		}
	}
	if !bytes.Equal(got, want) || sent != len(want) {
		t.Fatalf("got %d bytes, sent %d, want %d", len(got), sent, len(want))
	}
}

// What arrives is what was sent, and Sent is exact, however the records are cut on their way.
func TestSecureAtEverySplit(t *testing.T) {
	always := func(n int) func() int { return func() int { return n } }
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, client := machines(t, version)
		want := sample(200)
		for n := 1; n < 120; n++ {
			transfer(t, client, server, want, always(50), always(n), always(1))
			transfer(t, server, client, want, always(50), always(1), always(n))
		}
		big := sample(100_000)
		transfer(t, server, client, big, always(maxRecord+1), always(30_000), always(65536))
		transfer(t, client, server, big, always(7), always(1<<20), always(1<<20))
	}
}

func FuzzSecure(f *testing.F) {
	f.Add(uint64(1), uint16(2000), uint16(30), uint16(40), uint16(50), true)
	f.Add(uint64(2), uint16(40000), uint16(20000), uint16(17000), uint16(1), false)
	f.Fuzz(func(t *testing.T, seed uint64, size, piece, take, give uint16, old bool) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		upTo := func(n uint16) func() int { return func() int { return 1 + rnd.IntN(int(n)+1) } }
		version := uint16(tls.VersionTLS13)
		if old {
			version = tls.VersionTLS12
		}
		server, client := machines(t, version)
		want := sample(int(size))
		transfer(t, client, server, want, upTo(piece), upTo(take), upTo(give))
		transfer(t, server, client, want, upTo(piece), upTo(take), upTo(give))
	})
}

// FuzzSecureGarbage: nothing that a peer sends behind its handshake makes open do worse than fail.
func FuzzSecureGarbage(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint8(3))
	f.Add([]byte{23, 3, 3, 0, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}, uint8(1))
	f.Add([]byte{20, 3, 3, 0, 1, 1, 21, 3, 3, 0, 2, 1, 0}, uint8(2))
	f.Fuzz(func(t *testing.T, garbage []byte, piece uint8) {
		server, _ := machines(t, tls.VersionTLS13)
		buf := make([]byte, 100)
		for p := range slices.Chunk(garbage, int(piece)+1) {
			server.feed(p)
			if n, err := server.open(buf); n != 0 || err == nil {
				t.Fatalf("read %q, %v", buf[:n], err)
			} else if err != errAgain {
				return
			}
		}
	})
}

// corked gathers what is written from the nth write on, until the one behind that.
type corked struct {
	net.Conn
	left int
	held []byte
}

func (c *corked) Write(p []byte) (int, error) {
	if c.left--; c.left == 0 {
		c.held = append(c.held, p...)
		return len(p), nil
	}
	_, err := c.Conn.Write(append(c.held, p...))
	c.held = nil
	return len(p), err
}

// A client's first command may come in one read with the end of its handshake.
func TestCommandBehindTheHandshake(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		if !r.secure {
			return
		}
		for _, paused := range []bool{false, true} {
			ours, theirs := tcpPair(t)
			server, client := testConfigs()
			s := Server(ours, server)
			c := tls.Client(&corked{Conn: theirs, left: 2}, client)
			var wg sync.WaitGroup
			wg.Go(func() { mustNot(t, s.Shake(t.Context(), nil)) })
			mustNot(t, c.Handshake())
			mustWrite(t, c, []byte("PING"))
			wg.Wait()
			h := echo()
			var conn *Conn
			r.do(func() {
				var err error
				if conn, err = r.l.Add(s, h, PrioritySession); err != nil {
					t.Error(err)
				} else if paused {
					conn.PauseRead()
				}
			})
			if paused {
				r.do(func() {
					if h.calls > 0 {
						t.Error("read while paused")
					}
					conn.ResumeRead()
				})
			}
			got := make([]byte, 4)
			mustNot(t, second(io.ReadFull(c, got)))
			if string(got) != "PING" {
				t.Errorf("got %q", got)
			}
			c.Close()
			r.until("closed", conn.Closed)
		}
	})
}

// Records of one byte, hundreds in one read, are handed over together.
func TestRecordsOfOneByte(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		if !r.secure {
			return
		}
		h := echo()
		c, nc := r.pair(h, PrioritySession)
		want := sample(2000)
		got := make([]byte, len(want))
		var wg sync.WaitGroup
		wg.Go(func() { mustNot(t, second(io.ReadFull(nc, got))) })
		for i := range want {
			mustWrite(t, nc, want[i:i+1])
		}
		wg.Wait()
		mustEqual(t, "echo", got, want)
		mustNot(t, nc.Close())
		r.until("closed", c.Closed)
		if h.eofs != 1 || len(h.errs) > 0 {
			t.Errorf("%d ends, errors %v", h.eofs, h.errs)
		}
	})
}

// What is no TLS ends the connection with an alert, and the handler hears why.
func TestGarbageBehindTheHandshake(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		if !r.secure {
			return
		}
		h := &recorder{}
		_, nc := r.pair(h, PrioritySession)
		mustWrite(t, nc, []byte("good"))
		mustWrite(t, beneath(nc), []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		r.until("OnClose", h.closed)
		if h.got.String() != "good" {
			t.Errorf("got %q", &h.got)
		}
		var op *net.OpError
		if _, err := io.ReadAll(nc); err == nil || !errors.As(err, &op) || op.Op != "remote error" {
			t.Errorf("the client gets %v", err)
		}
	})
}

// A connection that ends, in any way, says so by close_notify: its peer can tell that from one that
// was cut.
func TestCloseNotify(t *testing.T) {
	server, client := testConfigs()
	for name, end := range map[string]func(c *Conn){
		"close":             (*Conn).Close,
		"close after flush": func(c *Conn) { c.CloseAfterFlush(patienceInTests) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			ours, theirs := tcpPair(t)
			s, c := Server(ours, server), tls.Client(theirs, client)
			var wg sync.WaitGroup
			wg.Go(func() { mustNot(t, s.Shake(t.Context(), nil)) })
			mustNot(t, c.Handshake())
			wg.Wait()
			conn := r.add(s, &recorder{}, PrioritySession)
			r.do(func() {
				conn.Write([]byte("bye"))
				conn.Flush()
				end(conn)
			})
			// crypto/tls hides the difference between close_notify and an end between two records.
			tail, err := io.ReadAll(theirs)
			if err != nil || len(tail) == 0 {
				t.Fatalf("%d bytes, %v", len(tail), err)
			}
			if n := records(tail); n[len(n)-1] != 2+1+16 {
				t.Errorf("records of %v bytes: the last is no alert", n)
			}
		})
	}
}

// records are the lengths of the TLS records in p.
func records(p []byte) (lengths []int) {
	for len(p) >= 5 {
		n := int(p[3])<<8 | int(p[4])
		lengths = append(lengths, n)
		p = p[min(5+n, len(p)):]
	}
	return lengths
}
