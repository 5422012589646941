package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"holdfast/configs"
	"holdfast/proxy/certs"
	"holdfast/proxy/upstream"
)

// soon is the time before a certificate's expiry from which check warns.
const soon = 21 * 24 * time.Hour

// checkCertificates reads all certificate files, and reports when each certificate expires.
func checkCertificates(r *report, c *configs.Config) {
	s, err := securedOnce(c)
	var all configs.Errors
	if errors.As(err, &all) {
		addErrors(r, all)
		return
	}
	for _, cert := range s.set.Certificates() {
		checkCertificate(r, cert, time.Now())
	}
}

func checkCertificate(r *report, c certs.Certificate, now time.Time) {
	end := c.Ends()
	what := "authorities"
	if c.Subject != "" {
		what = c.Subject
	}
	if len(c.Names) > 0 {
		what += " (" + strings.Join(c.Names, ", ") + ")"
	}
	switch {
	case c.Secret != "":
		r.ok("tls", "%s: for its certificates, by the password in %s", c.Place, c.Secret)
	case end.IsZero():
		r.ok("tls", "%s: the system's authorities", c.Place)
	case now.Before(c.NotBefore):
		r.fail("tls", "%s: %s is not valid before %s", c.Place, what, c.NotBefore.UTC().Format(time.RFC3339))
	case c.Misfit:
		r.fail("tls", "%s: %s is not for this side: its extended key usage lacks serverAuth (for listeners and "+
			"admin) or clientAuth (for the upstream and users)", c.Place, what)
	case now.After(end):
		r.fail("tls", "%s: %s has expired on %s", c.Place, what, day(end))
	case end.Sub(now) < soon:
		r.warn("tls", "%s: %s expires on %s", c.Place, what, day(end))
	default:
		r.ok("tls", "%s: %s, until %s", c.Place, what, day(end))
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// checkPlain warns of connections that leave the machine unencrypted.
func checkPlain(r *report, c *configs.Config) {
	for _, l := range c.Listeners {
		if l.TLS == nil && l.Exposed() {
			r.warn("tls", "the listener %s is plain, and other machines can reach it: passwords and data can be "+
				"read on the network (listeners[].tls)", l.Address)
		}
	}
	for _, a := range []struct{ what, address string }{
		{"the console at", c.Admin.Address}, {"HTTP at", c.Admin.HTTP},
	} {
		if c.Admin.TLS == nil && a.address != "" && configs.Exposed(a.address) {
			r.warn("tls", "%s %s is plain, and other machines can reach it (admin.tls)", a.what, a.address)
		}
	}
	u, away := c.Upstream, slices.ContainsFunc(c.Upstream.Sentinels, configs.Exposed)
	if u.TLS == nil && (away || u.Address.Exposed()) {
		r.warn("tls", "the connections to the server %s are plain: passwords and data can be read on the network "+
			"(upstream.tls)", upstreamName(c))
	}
	if u.SentinelTLS == nil && away {
		r.warn("tls", "the connections to the sentinels are plain: who can change what they say on the network, "+
			"names the server (upstream.sentinel_tls)")
	}
}

// checkServing connects to the places with TLS where a proxy serves already, and compares its
// certificate with the file's.
func checkServing(ctx context.Context, r *report, c *configs.Config, s *secured) {
	for i, l := range c.Listeners {
		if l.ProxyProtocol != configs.ProxyProtocolOn {
			checkServingAt(ctx, r, c, s.accepting[i], "listener", l.Address)
		}
	}
	checkServingAt(ctx, r, c, s.admin, "console", c.Admin.Address)
	checkServingAt(ctx, r, c, s.admin, "HTTP", c.Admin.HTTP)
}

// checkServingAt is checkServing for one place; nil: it is plain.
func checkServingAt(ctx context.Context, r *report, c *configs.Config, s *certs.Server, what, address string) {
	if s == nil || strings.HasPrefix(address, "unix:") || address == "" || address == "off" {
		return
	}
	d := &net.Dialer{Timeout: c.Upstream.ConnectTimeout}
	nc, err := s.DialSelf(ctx, d.DialContext, "tcp", address)
	switch {
	case err == nil:
		nc.Close()
		r.ok("tls", "%s %s: it serves now, with the certificate of %s", what, address, s.Options().Cert)
	case errors.Is(err, syscall.ECONNREFUSED): // it does not serve yet
	default:
		r.warn("tls", "%s %s: something else answers there, or a proxy that has not read its files again: "+
			"%v", what, address, err)
	}
}

// checkUsers tries the logins of the users for whom client certificates stand.
func checkUsers(ctx context.Context, r *report, c *configs.Config, u *upstream.Upstream, users *certs.Users) {
	for _, user := range c.Users {
		cred, _ := users.Credential(user.Name)
		var err error
		if cred.Certificate != nil {
			err = u.TryCertificate(ctx, user.Name, cred.Certificate)
		} else {
			err = u.TryLogin(ctx, user.Name, cred.Password)
		}
		switch {
		case cred.Certificate != nil && err != nil:
			r.fail("users", "the server does not take %s for the user %s: the user must be there and on, and "+
				"tls-auth-clients-user set (Valkey 9.0, Redis 8.6) to the part of the certificate that has the name: %v",
				user.Cert, user.Name, err)
		case errors.Is(err, upstream.ErrLogin):
			r.fail("users", "the server refuses the login of the user %s: it is missing or off there, or %s has "+
				"another password", user.Name, user.PasswordFile)
		case err != nil:
			r.warn("users", "the login of the user %s could not be tried: %v", user.Name, err)
		case needsNoPassword(ctx, u, user.Name):
			r.fail("users", "the user %s has no password on the server (nopass), so that any client can become it "+
				"without a certificate: ACL SETUSER %s resetpass, and then >PASSWORD", user.Name, user.Name)
		case cred.Certificate != nil:
			r.ok("users", "the server takes %s for the user %s", user.Cert, user.Name)
		default:
			r.ok("users", "the server accepts the password of the user %s", user.Name)
		}
		secret := cmp.Or(user.PasswordFile, user.Key)
		info, err := os.Stat(secret)
		if err == nil && info.Mode().Perm()&0o004 != 0 {
			r.warn("users", "everyone can read %s (mode %04o)", secret, info.Mode().Perm())
		}
	}
}

// needsNoPassword reports that the server knows the user as nopass.
func needsNoPassword(ctx context.Context, u *upstream.Upstream, name string) bool {
	v, err := u.Do(ctx, "ACL", "GETUSER", name)
	fields, _ := v.([]any)
	if err != nil || len(fields) < 2 {
		return false
	}
	flags, _ := fields[1].([]any)
	return slices.Contains(flags, any("nopass"))
}
