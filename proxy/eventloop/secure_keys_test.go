package eventloop

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
)

// forger writes the records of a client of TLS 1.3 with TLS_AES_128_GCM_SHA256 (RFC 8446, section
// 5.2), also those that crypto/tls never sends.
type forger struct {
	t      testing.TB
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// newForger takes the secret out of a key log.
func newForger(t testing.TB, log string, state tls.ConnectionState) *forger {
	t.Helper()
	if state.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		t.Fatalf("this test is for TLS_AES_128_GCM_SHA256, not %s", tls.CipherSuiteName(state.CipherSuite))
	}
	f := &forger{t: t}
	for line := range strings.Lines(log) {
		if words := strings.Fields(line); words[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(words[2])
			if err != nil {
				t.Fatal(err)
			}
			f.use(secret)
			return f
		}
	}
	t.Fatal("no secret in the key log")
	return nil
}

// expand is HKDF-Expand-Label without a context (RFC 8446, section 7.1).
func (f *forger) expand(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(append(info, byte(len(label))), label...), 0)
	out, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

func (f *forger) use(secret []byte) {
	block, err := aes.NewCipher(f.expand(secret, "key", 16))
	if err == nil {
		f.aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.secret, f.iv, f.seq = secret, f.expand(secret, "iv", 12), 0
}

// record is one record of a type: 23 application data, 22 handshake.
func (f *forger) record(kind byte, data []byte) []byte {
	nonce := bytes.Clone(f.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(f.seq >> (56 - 8*i))
	}
	f.seq++
	inner := append(bytes.Clone(data), kind)
	head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(inner)+f.aead.Overhead()))
	return f.aead.Seal(head, nonce, inner, head)
}

// keyUpdate asks for one in return.
func (f *forger) keyUpdate() []byte {
	r := f.record(22, []byte{24, 0, 0, 1, 1})
	f.use(f.expand(f.secret, "traffic upd", 32))
	return r
}

func TestKeyUpdate(t *testing.T) {
	var log bytes.Buffer
	server, client := machinesWith(t, tls.VersionTLS13, &log)
	f := newForger(t, log.String(), client.tls.ConnectionState())
	var wire []byte
	for range 3 {
		wire = append(wire, f.record(23, []byte("before "))...)
		wire = append(wire, f.keyUpdate()...)
		wire = append(wire, f.record(23, []byte("after "))...)
	}
	var got []byte
	buf := make([]byte, 100)
	for i := range wire {
		server.feed(wire[i : i+1])
		n, err := server.open(buf)
		if got = append(got, buf[:n]...); err != errAgain {
			t.Fatal(err)
		}
	}
	if want := strings.Repeat("before after ", 3); string(got) != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	if n := len(records(server.pipe.out)); n != 3 {
		t.Fatalf("%d answers", n)
	}
	// What the server sends from now on is under its new keys, behind its answers.
	transfer(t, server, client, sample(50_000), func() int { return 20_000 },
		func() int { return 1 << 20 }, func() int { return 1000 })
}

// A peer that asks for key updates without an end, and reads none of the answers, is ended.
func TestKeyUpdateFlood(t *testing.T) {
	r := newRig(t, Options{})
	if bestDriver == driverPortable {
		return // there crypto/tls itself waits for such a peer, and so does its goroutine alone
	}
	ours, theirs := tcpPair(t)
	server, client := testConfigs()
	client = client.Clone()
	var log bytes.Buffer
	client.KeyLogWriter = &log
	s, c := Server(ours, server), tls.Client(theirs, client)
	var wg sync.WaitGroup
	wg.Go(func() { mustNot(t, s.Shake(t.Context(), nil)) })
	mustNot(t, c.Handshake())
	wg.Wait()
	f := newForger(t, log.String(), c.ConnectionState())
	h := &recorder{}
	r.add(s, h, PrioritySession)
	for {
		var flood []byte
		for range 500 {
			flood = append(append(flood, f.keyUpdate()...), f.record(23, []byte("x"))...)
		}
		if _, err := theirs.Write(flood); err != nil {
			break
		}
	}
	r.until("OnClose", h.closed)
	if !errors.Is(h.errs[0], errUnread) {
		t.Errorf("got %v", h.errs)
	}
	_, _ = io.Copy(io.Discard, theirs)
}
