package certs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

func TestNames(t *testing.T) {
	ca := proxytest.NewAuthority(t)
	cn := func(names ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Subject = pkix.Name{Organization: []string{"x"}}
			for _, name := range names {
				c.Subject.ExtraNames = append(c.Subject.ExtraNames,
					pkix.AttributeTypeAndValue{Type: commonName, Value: name})
			}
		}
	}
	uri := func(uris ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			for _, text := range uris {
				u, err := url.Parse(text)
				must(t, err)
				c.URIs = append(c.URIs, u)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		from   UserFrom
		change func(*x509.Certificate)
		want   string // empty: ErrNoName
	}{
		{"a name", UserFromCN, cn("app"), "app"},
		{"odd bytes", UserFromCN, cn("a b\r\n\x00ü"), "a b\r\n\x00ü"},
		{"no common name", UserFromCN, cn(), ""},
		{"an empty one", UserFromCN, cn(""), ""},
		{"two", UserFromCN, cn("app", "admin"), ""},
		{"twice the same", UserFromCN, cn("app", "app"), ""},
		{"a URI", UserFromURI, uri("spiffe://x/ns/a/sa/app"), "spiffe://x/ns/a/sa/app"},
		{"no URI", UserFromURI, cn("app"), ""},
		{"two URIs", UserFromURI, uri("spiffe://x/app", "spiffe://x/admin"), ""},
		{"a URI is no common name", UserFromCN, func(c *x509.Certificate) { cn()(c); uri("spiffe://x/app")(c) }, ""},
	} {
		text, _ := ca.PEM(proxytest.Identity{Name: "replaced", Change: tt.change})
		block, _ := pem.Decode(text)
		c, err := x509.ParseCertificate(block.Bytes)
		must(t, err)
		got, err := tt.from.Name(c)
		if got != tt.want || (err == nil) != (tt.want != "") || err != nil && !errors.Is(err, ErrNoName) {
			t.Errorf("%s: got %q, %v", tt.name, got, err)
		}
	}
}

func TestUsers(t *testing.T) {
	r := newRig(t, ClientAuthNone)
	file := filepath.Join(t.TempDir(), "app.password")
	mustWrite(t, file, []byte("one\n"))
	must(t, r.set.User(UserOptions{Name: "app", PasswordFile: file}))
	users := r.set.Users()
	expect := func(want string) {
		t.Helper()
		if got, ok := users.Credential("app"); got.Password != want || got.Certificate != nil || !ok {
			t.Errorf("got %q, %v, want %q", got.Password, ok, want)
		}
	}
	expect("one")
	for _, name := range []string{"", "App", "ap", "app\x00"} {
		if users.Has(name) {
			t.Errorf("there is a user %q", name)
		}
	}
	if (*Users)(nil).Has("app") {
		t.Error("there is a user without users")
	}

	mustWrite(t, file, []byte("two\r\n"))
	must(t, r.set.Check())
	expect("two")
	mustWrite(t, file, nil)
	_ = r.set.Check()
	if err := r.set.Check(); !errors.Is(err, ErrFile) {
		t.Errorf("an empty file: %v", err)
	}
	expect("two")
	must(t, os.Remove(file))
	_ = r.set.Check()
	expect("two")
	for _, c := range r.set.Certificates() {
		if c.Secret != "" && (c.Place != "user app" || c.Secret != file || !c.Unusable || !c.Ends().IsZero()) {
			t.Errorf("got %+v", c)
		}
	}

	// A new set takes the user over, and so its holders see the next password.
	mustWrite(t, file, []byte("three"))
	next := NewSet(r.set.log, r.set)
	must(t, next.User(UserOptions{Name: "app", PasswordFile: file}))
	expect("three")
	if err := next.User(UserOptions{Name: "b", PasswordFile: file + ".none"}); !errors.Is(err, ErrFile) {
		t.Errorf("a missing file: %v", err)
	}
	mustWrite(t, file+".large", []byte(strings.Repeat("x", maxSecret+1)))
	if err := next.User(UserOptions{Name: "b", PasswordFile: file + ".large"}); !errors.Is(err, ErrFile) {
		t.Errorf("a large file: %v", err)
	}
	for _, secret := range []string{"one", "two", "three"} {
		if strings.Contains(r.log.String(), "\""+secret) || strings.Contains(r.log.String(), "="+secret) {
			t.Errorf("the log has a password:\n%s", &r.log)
		}
	}
}

// A user's certificate follows its files like all others, and must bear the user's name.
func TestUserWithCertificate(t *testing.T) {
	const spiffe = "spiffe://x/app"
	r := newRig(t, ClientAuthNone)
	old := proxytest.Identity{To: time.Now().Add(-time.Minute), Name: "app"}
	for _, tt := range []struct {
		user  string
		id    proxytest.Identity
		other bool // the key is another certificate's
		want  error
	}{
		{"app", proxytest.Identity{Name: "app"}, false, nil},
		{spiffe, proxytest.Identity{Name: "whatever", URI: spiffe}, false, nil},
		{"app", proxytest.Identity{Name: "batch"}, false, ErrNoName},
		{"app", proxytest.Identity{Name: "App", URI: "spiffe://x/other"}, false, ErrNoName},
		{"app", proxytest.Identity{Name: "app"}, true, ErrPair},
	} {
		cert, key := r.ca.Issue("user", tt.id)
		if tt.other {
			_, key = r.ca.Issue("other", tt.id)
		}
		set := NewSet(r.set.log, nil)
		if err := set.User(UserOptions{Name: tt.user, Cert: cert, Key: key}); !errors.Is(err, tt.want) {
			t.Errorf("%+v: got %v, want %v", tt, err, tt.want)
		}
	}

	cert, key := r.ca.Issue("link", proxytest.Identity{Name: "app"})
	must(t, r.set.User(UserOptions{Name: "app", Cert: cert, Key: key}))
	users := r.set.Users()
	serial := func() string {
		c, ok := users.Credential("app")
		if !ok || c.Certificate == nil || c.Password != "" {
			t.Fatalf("got %+v, %v", c, ok)
		}
		return c.Certificate.Leaf.SerialNumber.String()
	}
	described := func() Certificate { all := r.set.Certificates(); return all[len(all)-1] }
	first := serial()
	if c := described(); c.Place != "user app" || c.NotAfter.IsZero() || c.Misfit {
		t.Errorf("it is described as %+v", c)
	}
	for _, tt := range []struct {
		id   proxytest.Identity
		want error
	}{{proxytest.Identity{Name: "batch"}, ErrNoName}, {old, ErrNotValid}} {
		r.ca.Issue("link", tt.id)
		_ = r.set.Check()
		if err := r.set.Check(); !errors.Is(err, tt.want) || serial() != first || !described().Unusable {
			t.Errorf("got %v, want %v and the old certificate", err, tt.want)
		}
	}
	r.ca.Issue("link", proxytest.Identity{Name: "app"})
	must(t, r.set.Check())
	if serial() == first {
		t.Error("the new certificate is not in force")
	}
}
