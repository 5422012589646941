package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/proxy/proxytest"
)

// rig is a Set with one server and one client of an authority, and what they log.
type rig struct {
	t      *testing.T
	ca     *proxytest.Authority
	set    *Set
	server *Server
	client *Client
	log    bytes.Buffer
}

func newRig(t *testing.T, auth ClientAuth) *rig {
	t.Helper()
	r := &rig{t: t, ca: proxytest.NewAuthority(t)}
	r.set = NewSet(slog.New(slog.NewTextHandler(&r.log, nil)), nil)
	cert, key := r.ca.Issue("server", proxytest.Identity{})
	var err error
	o := ServerOptions{Cert: cert, Key: key, ClientAuth: auth}
	if auth != ClientAuthNone {
		o.ClientCA = r.ca.CA
	}
	if r.server, err = r.set.Server("listener a", o); err != nil {
		t.Fatal(err)
	}
	cert, key = r.ca.Issue("client", proxytest.Identity{Name: "app", URI: "spiffe://x/app"})
	r.client, err = r.set.Client("upstream", ClientOptions{CA: r.ca.CA, Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// shake is the handshake of the client with the server, as each side sees it.
func (r *rig) shake(config *tls.Config) (state tls.ConnectionState, serverErr, clientErr error) {
	r.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(r.t, err)
	defer ln.Close()
	b, err := net.Dial("tcp", ln.Addr().String())
	must(r.t, err)
	defer b.Close()
	a, err := ln.Accept()
	must(r.t, err)
	server, client := tls.Server(a, r.server.Config()), tls.Client(b, config)
	done := make(chan error, 1)
	go func() { done <- shakeAndRead(client) }()
	serverErr = server.Handshake()
	if serverErr == nil {
		_, serverErr = server.Write([]byte("x"))
	}
	clientErr = <-done
	a.Close()
	return client.ConnectionState(), serverErr, clientErr
}

// shakeAndRead sees also the refusal of a certificate, which comes behind the handshake of TLS 1.3.
func shakeAndRead(client *tls.Conn) error {
	if err := client.Handshake(); err != nil {
		return err
	}
	_, err := client.Read(make([]byte, 1))
	return err
}

// serial is the serial number that the server shows.
func (r *rig) serial() string {
	r.t.Helper()
	state, _, err := r.shake(r.client.Config("tcp", "localhost:1"))
	if err != nil {
		r.t.Fatal(err)
	}
	return state.PeerCertificates[0].SerialNumber.String()
}

func TestHandshakes(t *testing.T) {
	other := proxytest.NewAuthority(t)
	otherCert, otherKey := other.Issue("client", proxytest.Identity{Name: "stranger"})
	for _, tt := range []struct {
		name    string
		auth    ClientAuth
		address string
		with    func(o *ClientOptions)
		want    string // of the client's error; empty: none
	}{
		{"server only", ClientAuthNone, "localhost:1", nil, ""},
		{"by address", ClientAuthNone, "127.0.0.1:1", nil, ""},
		{"wrong name", ClientAuthNone, "example.com:1", nil, "tls.server_name"},
		{"server_name", ClientAuthNone, "example.com:1",
			func(o *ClientOptions) { o.ServerName = "localhost" }, ""},
		{"wrong authority", ClientAuthNone, "localhost:1",
			func(o *ClientOptions) { o.CA = other.CA }, "tls.ca"},
		{"required and shown", ClientAuthRequire, "localhost:1", nil, ""},
		{"required and not shown", ClientAuthRequire, "localhost:1",
			func(o *ClientOptions) { o.Cert, o.Key = "", "" }, "wants a client certificate"},
		{"requested and not shown", ClientAuthRequest, "localhost:1",
			func(o *ClientOptions) { o.Cert, o.Key = "", "" }, ""},
		{"of another authority", ClientAuthRequest, "localhost:1",
			func(o *ClientOptions) { o.Cert, o.Key = otherCert, otherKey }, "certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.auth)
			o := r.client.Options()
			if tt.with != nil {
				tt.with(&o)
			}
			client, err := r.set.Client("another", o)
			if err != nil {
				t.Fatal(err)
			}
			state, _, err := r.shake(client.Config("tcp", tt.address))
			err = Explain(err)
			if tt.want == "" && err != nil || tt.want != "" &&
				(err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err == nil && state.Version != tls.VersionTLS13 {
				t.Errorf("version %x", state.Version)
			}
		})
	}
}

// A certificate whose time is over, or has not come, is refused by either side.
func TestCertificatesOutOfTime(t *testing.T) {
	for name, id := range map[string]proxytest.Identity{
		"expired":       {To: time.Now().Add(-time.Minute)},
		"not yet valid": {From: time.Now().Add(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, ClientAuthRequire)
			id.Name = "app"
			cert, key := r.ca.Issue("odd", id)
			client, err := r.set.Client("odd", ClientOptions{CA: r.ca.CA, Cert: cert, Key: key})
			must(t, err)
			if _, serverErr, clientErr := r.shake(client.Config("tcp", "localhost:1")); serverErr == nil || clientErr == nil {
				t.Errorf("a client's: %v, %v", serverErr, clientErr)
			}
			id.Name = ""
			cert, key = r.ca.Issue("odd-server", id)
			r.server, err = r.set.Server("odd", ServerOptions{Cert: cert, Key: key})
			must(t, err)
			if _, _, err := r.shake(r.client.Config("tcp", "localhost:1")); err == nil ||
				!strings.Contains(err.Error(), "expired or is not yet valid") {
				t.Errorf("a server's: %v", err)
			}
		})
	}
}

// downgrading hides that its client can do TLS 1.3, as someone on the way could.
type downgrading struct {
	net.Conn
	done bool
}

func (c *downgrading) Write(p []byte) (int, error) {
	p = bytes.Clone(p)
	supported := []byte{0, 43, 0, 5, 4, 3, 4, 3, 3} // extension supported_versions: 1.3 and 1.2
	if i := bytes.Index(p, supported); i > 0 && !c.done {
		c.done = true
		p[i], p[i+1] = 0xfa, 0xfa // an unknown extension
	}
	return c.Conn.Write(p)
}

// A handshake that someone on the way has made one of an older version fails.
func TestDowngrade(t *testing.T) {
	r := newRig(t, ClientAuthNone)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	must(t, err)
	defer nc.Close()
	a, err := ln.Accept()
	must(t, err)
	defer a.Close()
	done := make(chan error, 1)
	go func() { done <- tls.Server(a, r.server.Config()).Handshake() }()
	between := &downgrading{Conn: nc}
	err = tls.Client(between, r.client.Config("tcp", "localhost:1")).Handshake()
	if !between.done || err == nil || !strings.Contains(err.Error(), "downgrade") {
		t.Errorf("the client: %v, with the extension found: %v", err, between.done)
	}
	nc.Close()
	if err := <-done; err == nil {
		t.Error("the server takes it for a good handshake")
	}
}

func TestOldVersionsAreRefused(t *testing.T) {
	r := newRig(t, ClientAuthNone)
	config := r.client.Config("tcp", "localhost:1")
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, serverErr, clientErr := r.shake(config); serverErr == nil || clientErr == nil {
		t.Errorf("TLS 1.1: %v, %v", serverErr, clientErr)
	}
	config.MaxVersion = tls.VersionTLS12
	if state, _, err := r.shake(config); err != nil || state.Version != tls.VersionTLS12 {
		t.Errorf("TLS 1.2: %v, %x", err, state.Version)
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	ca := proxytest.NewAuthority(t)
	cert, key := ca.Issue("a", proxytest.Identity{})
	_, otherKey := ca.Issue("b", proxytest.Identity{})
	garbage := filepath.Join(ca.Dir, "garbage")
	mustWrite(t, garbage, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	for _, tt := range []struct {
		name string
		o    ServerOptions
		want error
	}{
		{"missing", ServerOptions{Cert: "/nowhere", Key: key}, ErrFile},
		{"a folder", ServerOptions{Cert: ca.Dir, Key: key}, ErrFile},
		{"key in the certificate's place", ServerOptions{Cert: key, Key: key}, ErrFile},
		{"garbage", ServerOptions{Cert: garbage, Key: key}, ErrFile},
		{"another's key", ServerOptions{Cert: cert, Key: otherKey}, ErrPair},
		{"no authority", ServerOptions{Cert: cert, Key: key, ClientCA: key}, ErrFile},
	} {
		_, err := NewSet(slog.New(slog.DiscardHandler), nil).Server("x", tt.o)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

func mustWrite(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Files that are replaced in any way are in force after the next look.
func TestReplacedFiles(t *testing.T) {
	for name, replace := range map[string]func(r *rig, cert, key []byte){
		"in place": func(r *rig, cert, key []byte) {
			mustWrite(r.t, r.server.opts.Cert, cert)
			mustWrite(r.t, r.server.opts.Key, key)
		},
		"by rename": func(r *rig, cert, key []byte) {
			for path, text := range map[string][]byte{
				r.server.opts.Cert: cert, r.server.opts.Key: key,
			} {
				mustWrite(r.t, path+".new", text)
				must(r.t, os.Rename(path+".new", path))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, ClientAuthNone)
			before := r.serial()
			must(t, r.set.Check())
			if got := r.serial(); got != before {
				t.Error("another certificate without a change")
			}
			replace(r, pair(r.ca.PEM(proxytest.Identity{}))[0], nil)
			_ = r.set.Check()
			cert, key := r.ca.PEM(proxytest.Identity{Chain: true})
			replace(r, cert, key)
			must(t, r.set.Check())
			if got := r.serial(); got == before {
				t.Error("still the old certificate")
			}
			if !strings.Contains(r.log.String(), "certificate files were replaced") ||
				strings.Contains(r.log.String(), "ERROR") {
				t.Errorf("the log says\n%s", &r.log)
			}
		})
	}
}

func pair(a, b []byte) [2][]byte { return [2][]byte{a, b} }

// Kubernetes has each file behind a link into a folder that is itself a link, and switches that one.
func TestSwitchedLink(t *testing.T) {
	ca := proxytest.NewAuthority(t)
	dir := t.TempDir()
	fill := func(name string) {
		sub := filepath.Join(dir, name)
		must(t, os.Mkdir(sub, 0o700))
		cert, key := ca.PEM(proxytest.Identity{})
		mustWrite(t, filepath.Join(sub, "tls.crt"), cert)
		mustWrite(t, filepath.Join(sub, "tls.key"), key)
	}
	data := filepath.Join(dir, "..data")
	fill("..1")
	must(t, os.Symlink("..1", data))
	for _, name := range []string{"tls.crt", "tls.key"} {
		must(t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
	}
	r := newRig(t, ClientAuthNone)
	var err error
	r.server, err = r.set.Server("b", ServerOptions{
		Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"),
	})
	must(t, err)
	r.client, err = r.set.Client("b", ClientOptions{CA: ca.CA})
	must(t, err)
	before := r.serial()
	fill("..2")
	must(t, os.Symlink("..2", data+"_tmp"))
	must(t, os.Rename(data+"_tmp", data))
	must(t, os.RemoveAll(filepath.Join(dir, "..1")))
	must(t, r.set.Check())
	if r.serial() == before {
		t.Error("still the old certificate")
	}
}

// What cannot be used changes nothing, is said once, and is taken back when the files are good again.
func TestBadReplacement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ClientAuthNone)
		o, before := r.server.opts, r.serial()
		oldCert, err := os.ReadFile(o.Cert)
		must(t, err)
		expired, expiredKey := r.ca.PEM(proxytest.Identity{To: time.Now().Add(-time.Minute)})
		early, earlyKey := r.ca.PEM(proxytest.Identity{From: time.Now().Add(time.Minute)})
		lone, _ := r.ca.PEM(proxytest.Identity{})
		oldKey, err := os.ReadFile(o.Key)
		must(t, err)
		for _, tt := range []struct {
			name      string
			cert, key []byte
			want      error
		}{
			{"half written", oldCert[:100], oldKey, ErrFile},
			{"another key's", lone, oldKey, ErrPair},
			{"expired", expired, expiredKey, ErrNotValid},
			{"not yet valid", early, earlyKey, ErrNotValid},
		} {
			r.log.Reset()
			mustWrite(t, o.Cert, tt.cert)
			mustWrite(t, o.Key, tt.key)
			if err := r.set.Check(); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v", tt.name, err)
			}
			if r.log.Len() > 0 {
				t.Errorf("%s: spoken of at the first look:\n%s", tt.name, &r.log)
			}
			for range 3 {
				_ = r.set.Check()
			}
			if got := r.log.String(); strings.Count(got, "level=ERROR") != 1 ||
				!r.set.Certificates()[0].Unusable {
				t.Errorf("%s: the log says\n%s", tt.name, got)
			}
			if r.serial() != before {
				t.Errorf("%s: is in force", tt.name)
			}
		}
		// What was not yet valid becomes so, without another change of the files.
		time.Sleep(2 * time.Minute)
		must(t, r.set.Check())
		if r.serial() == before || r.set.Certificates()[0].Unusable {
			t.Error("the certificate that is valid by now is not in force")
		}
	})
}

// A file that is away, as between the two steps of some tools, is a bad replacement too.
func TestFileAway(t *testing.T) {
	r := newRig(t, ClientAuthNone)
	before := r.serial()
	away := r.server.opts.Key + ".away"
	must(t, os.Rename(r.server.opts.Key, away))
	for range 2 {
		if err := r.set.Check(); !errors.Is(err, ErrFile) {
			t.Errorf("got %v", err)
		}
	}
	if r.serial() != before || !r.set.Certificates()[0].Unusable {
		t.Error("the certificate was given up, or nothing says that its file is away")
	}
	must(t, os.Rename(away, r.server.opts.Key))
	must(t, r.set.Check())
	if r.set.Certificates()[0].Unusable {
		t.Error("still unusable")
	}
}

// A removed authority is refused at once, also to a client that resumes a session.
func TestRemovedAuthority(t *testing.T) {
	r := newRig(t, ClientAuthRequire)
	config := r.client.Config("tcp", "localhost:1")
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for range 2 {
		if _, _, err := r.shake(config); err != nil {
			t.Fatal(err)
		}
	}
	if state, _, _ := r.shake(config); !state.DidResume {
		t.Fatal("the session was not resumed: the test shows nothing")
	}
	other := proxytest.NewAuthority(t)
	text, err := os.ReadFile(other.CA)
	must(t, err)
	mustWrite(t, r.ca.CA, text)
	if err := r.server.look(true); err != nil {
		t.Fatal(err)
	}
	if _, serverErr, _ := r.shake(config); serverErr == nil {
		t.Error("a certificate of the removed authority is accepted")
	}
}

// A Set takes over what has not changed, and refuses a reload whose files cannot be used.
func TestSetAfterReload(t *testing.T) {
	r := newRig(t, ClientAuthNone)
	next := NewSet(r.set.log, r.set)
	same, err := next.Server("listener a", r.server.opts)
	must(t, err)
	if same != r.server {
		t.Error("the server was replaced")
	}
	o := r.server.opts
	o.ClientCA, o.ClientAuth = r.ca.CA, ClientAuthRequire
	if changed, err := next.Server("listener a", o); err != nil || changed == r.server {
		t.Errorf("other options: %v", err)
	}
	if same, err := next.Client("upstream", r.client.opts); err != nil || same != r.client {
		t.Errorf("the client was replaced, %v", err)
	}
	mustWrite(t, o.Key, []byte("nothing"))
	if _, err := NewSet(r.set.log, next).Server("listener a", r.server.opts); !errors.Is(err, ErrPair) {
		t.Errorf("got %v", err)
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ClientAuthNone)
		end := time.Now().Add(30 * 24 * time.Hour).Truncate(time.Second)
		r.ca.Issue("server", proxytest.Identity{To: end})
		r.ca.Issue("client", proxytest.Identity{Name: "app", To: end.Add(365 * 24 * time.Hour)})
		must(t, r.set.Check())
		c := r.set.Certificates()[0]
		if !c.NotAfter.Equal(end) || c.Subject != "CN=localhost" || c.Place != "listener a" ||
			strings.Join(c.Names, " ") != "localhost 127.0.0.1 ::1" {
			t.Errorf("got %+v", c)
		}
		for _, tt := range []struct {
			after time.Duration
			want  string // in the log; empty: nothing
		}{
			{0, ""},
			{10 * 24 * time.Hour, "a certificate expires soon"},
			{time.Hour, ""},
			{24 * time.Hour, "days=18"},
			{22 * 24 * time.Hour, "a certificate has expired"},
			{time.Hour, ""},
		} {
			r.log.Reset()
			time.Sleep(tt.after)
			must(t, r.set.Check())
			if got := r.log.String(); (tt.want == "") != (got == "") ||
				!strings.Contains(got, tt.want) {
				t.Errorf("after %v: got %q, want %q", tt.after, got, tt.want)
			}
		}
	})
}

func TestDial(t *testing.T) {
	r := newRig(t, ClientAuthRequire)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", r.server.Config())
	must(t, err)
	defer ln.Close()
	served := make(chan error, 1)
	go func() {
		nc, err := ln.Accept()
		if err == nil {
			_, err = nc.Write([]byte("hello"))
			nc.Close()
		}
		served <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), proxytest.PollTimeout)
	defer cancel()
	nc, err := r.client.Dial(ctx, (&net.Dialer{}).DialContext, "tcp", ln.Addr().String())
	must(t, err)
	buf := make([]byte, 5)
	if _, err := nc.Read(buf); err != nil || string(buf) != "hello" {
		t.Errorf("got %q, %v", buf, err)
	}
	nc.Close()
	must(t, <-served)
}

func TestDialAPlainServer(t *testing.T) {
	r := newRig(t, ClientAuthNone)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	served := make(chan error, 1)
	go func() {
		nc, err := ln.Accept()
		if err == nil {
			_, err = nc.Write([]byte("-ERR Protocol error\r\n"))
			_, _ = nc.Read(make([]byte, 4<<10))
			nc.Close()
		}
		served <- err
	}()
	_, err = r.client.Dial(t.Context(), (&net.Dialer{}).DialContext, "tcp", ln.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "speaks no TLS") {
		t.Errorf("got %v", err)
	}
	must(t, <-served)
}
