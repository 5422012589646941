package accept

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// version2 is a header of version 2.
func version2(command, family byte, body string) string {
	head := binary.BigEndian.AppendUint16([]byte{0x20 | command, family}, uint16(len(body)))
	return signature + string(head) + body
}

const (
	ends4 = "\x0a\x01\x02\x03\x0a\x00\x00\x05\x04\xd2\x18\xeb" // 10.1.2.3:1234 to 10.0.0.5:6379
	ends6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x04\xd2\x18\xeb"
)

var headers = []struct {
	name, header, remote string
	err                  error
}{
	{"v1", "PROXY TCP4 10.1.2.3 10.0.0.5 1234 6379\r\n", "10.1.2.3:1234", nil},
	{"v1 IPv6", "PROXY TCP6 2001:db8::7 2001:db8::8 1234 6379\r\n", "[2001:db8::7]:1234", nil},
	{"v1 unknown", "PROXY UNKNOWN\r\n", "", nil},
	{"v1 unknown with more", "PROXY UNKNOWN 1 2 3 4\r\n", "", nil},
	{"v2", version2(1, 0x11, ends4), "10.1.2.3:1234", nil},
	{"v2 IPv6", version2(1, 0x21, ends6), "[2001:db8::7]:1234", nil},
	{"v2 with more", version2(1, 0x11, ends4+"\x04\x00\x03abc"), "10.1.2.3:1234", nil},
	{"v2 health check", version2(0, 0, ""), "", nil},
	{"v2 unix", version2(1, 0x31, strings.Repeat("x", 216)), "", nil},

	{"a command", "*1\r\n$4\r\nPING\r\n", "", ErrHeader},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00", "", ErrHeader},
	{"v1 without ports", "PROXY TCP4 10.1.2.3 10.0.0.5\r\n", "", ErrHeader},
	{"v1 of the wrong family", "PROXY TCP6 10.1.2.3 10.0.0.5 1 2\r\n", "", ErrHeader},
	{"v1 port", "PROXY TCP4 10.1.2.3 10.0.0.5 65536 2\r\n", "", ErrHeader},
	{"v1 address", "PROXY TCP4 10.1.2.300 10.0.0.5 1 2\r\n", "", ErrHeader},
	{"v1 too long", "PROXY UNKNOWN " + strings.Repeat("x", 200) + "\r\n", "", ErrHeader},
	{"v2 version", signature + "\x11\x11\x00\x0c" + ends4, "", ErrHeader},
	{"v2 short", version2(1, 0x11, ends4[:11]), "", ErrHeader},
	{"v2 too long", version2(1, 0x11, ends4+strings.Repeat("x", 3000)), "", ErrHeader},
	{"cut", "PROXY TCP4 10.1.2.3 10", "", io.ErrUnexpectedEOF},
}

// oneByte reads a byte at a time, as a peer may send.
type oneByte struct{ io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.Reader.Read(p[:1]) }

func TestHeaders(t *testing.T) {
	for _, tt := range headers {
		r := strings.NewReader(tt.header + "PING\r\n")
		if tt.err == io.ErrUnexpectedEOF {
			r = strings.NewReader(tt.header)
		}
		remote, err := readHeader(oneByte{r})
		if remote != tt.remote || !errors.Is(err, tt.err) &&
			!(tt.err == io.ErrUnexpectedEOF && errors.Is(err, io.EOF)) {
			t.Errorf("%s: got %q, %v, want %q, %v", tt.name, remote, err, tt.remote, tt.err)
		}
		if rest, _ := io.ReadAll(r); tt.err == nil && string(rest) != "PING\r\n" {
			t.Errorf("%s: %q is left of what follows", tt.name, rest)
		}
	}
}

func FuzzHeader(f *testing.F) {
	for _, tt := range headers {
		f.Add([]byte(tt.header))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		remote, err := readHeader(bytes.NewReader(p))
		if remote == "" {
			return
		}
		if _, bad := netip.ParseAddrPort(remote); bad != nil || err != nil {
			t.Errorf("got %q, %v", remote, err)
		}
	})
}

func proxied(prefix string, secure bool) func(o *Options) {
	return func(o *Options) {
		o.From = []netip.Prefix{netip.MustParsePrefix(prefix)}
		if !secure {
			o.TLS = nil
		}
	}
}

// A header comes before all else, also before TLS, and names the client.
func TestProxied(t *testing.T) {
	for _, secure := range []bool{false, true} {
		r := newRig(t, "", proxied("127.0.0.0/8", secure))
		for _, tt := range []struct{ header, want string }{
			{"PROXY TCP4 10.1.2.3 10.0.0.5 1234 6379\r\n", "10.1.2.3:1234"},
			{"PROXY UNKNOWN\r\n", ""},
		} {
			nc := r.dial()
			mustWrite(t, nc, tt.header)
			if secure {
				c := tls.Client(nc, r.client)
				must(t, c.Handshake())
				nc = c
			}
			mustWrite(t, nc, "x")
			got, err := r.ln.Accept()
			must(t, err)
			p, ok := got.(*Proxied)
			if ok != (tt.want != "") || ok && p.Remote != tt.want {
				t.Errorf("%q: got %T %+v", tt.header, got, p)
			}
			if _, err := io.ReadFull(got, make([]byte, 1)); err != nil {
				t.Error(err)
			}
			got.Close()
		}
	}
}

func TestNotProxied(t *testing.T) {
	for _, tt := range []struct {
		prefix, send string
		want         Outcome
	}{
		{"10.0.0.0/8", "PROXY TCP4 10.1.2.3 10.0.0.5 1234 6379\r\n", Untrusted},
		{"127.0.0.1/32", "*1\r\n$4\r\nPING\r\n", NoHeader},
	} {
		r := newRig(t, "", proxied(tt.prefix, false))
		nc := r.dial()
		if _, err := io.WriteString(nc, tt.send); err != nil {
			var op *net.OpError
			if !errors.As(err, &op) { // it may be closed already
				t.Error(err)
			}
		}
		r.until(tt.want, 1)
		if _, err := nc.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is answered")
		}
	}
}

// Peers that hang before their header make room as well.
func TestHeadersThatNeverCome(t *testing.T) {
	r := newRig(t, "", func(o *Options) {
		proxied("127.0.0.0/8", false)(o)
		o.Room, o.Patience = 2, 1
	})
	for range 10 {
		mustWrite(t, r.dial(), "PROXY TCP4")
	}
	nc := r.dial()
	mustWrite(t, nc, "PROXY UNKNOWN\r\nx")
	got, err := r.ln.Accept()
	must(t, err)
	got.Close()
	proxytest.Poll(t, "the others are broken off", func() bool { return r.ln.Count(Crowded) >= 8 })
}
