package main

import (
	"cmp"
	"fmt"
	"log/slog"

	"holdfast/configs"
	"holdfast/proxy/certs"
)

// secured is the TLS of a configuration.
type secured struct {
	set       *certs.Set
	accepting []*certs.Server // by listener; nil: plain
	upstream  *certs.Client   // nil: plain
	sentinel  *certs.Client   // likewise
	admin     *certs.Server   // likewise
}

// secure reads the certificates of a configuration. It takes over unchanged ones from before, the
// previous set; nil: there is none. Then listening holds the listeners' certificates since the
// start, which stay whatever c says. The error is configs.Errors: all of them, each with its place.
func secure(c *configs.Config, before *certs.Set, listening []*certs.Server,
	log *slog.Logger) (*secured, error) {
	out := &secured{set: certs.NewSet(log, before), accepting: make([]*certs.Server, len(c.Listeners))}
	listeners := out.set
	if before != nil {
		listeners = certs.NewSet(log, before) // only to validate them
		for _, server := range listening {
			if server != nil {
				out.set.Keep(server)
			}
		}
	}
	var errs configs.Errors
	note := func(path string, err error) {
		if err != nil {
			errs = append(errs, c.At(path, err.Error()))
		}
	}
	for i, l := range c.Listeners {
		if l.TLS == nil {
			continue
		}
		var err error
		out.accepting[i], err = listeners.Server("listener "+cmp.Or(l.Name, l.Address), serverTLS(l.TLS))
		note(fmt.Sprintf("listeners[%d].tls", i), err)
	}
	if t := c.Admin.TLS; t != nil {
		var err error
		out.admin, err = listeners.Server("admin", serverTLS(t))
		note("admin.tls", err)
	}
	connecting := func(place, path string, t *configs.ClientTLS) *certs.Client {
		if t == nil {
			return nil
		}
		client, err := out.set.Client(place, certs.ClientOptions{
			CA: t.CA, ServerName: t.ServerName, Cert: t.Cert, Key: t.Key,
		})
		note(path, err)
		return client
	}
	for i, u := range c.Users {
		err := out.set.User(certs.UserOptions{Name: u.Name, PasswordFile: u.PasswordFile, Cert: u.Cert, Key: u.Key})
		path := "password_file"
		if u.Cert != "" {
			path = "cert"
		}
		note(fmt.Sprintf("users[%d].%s", i, path), err)
	}
	out.upstream = connecting("upstream", "upstream.tls", c.Upstream.TLS)
	out.sentinel = connecting("sentinels", "upstream.sentinel_tls", c.Upstream.SentinelTLS)
	if len(errs) > 0 {
		return nil, errs
	}
	return out, nil
}

// securedOnce is secure for a command that does one thing: its files are not looked at again.
func securedOnce(c *configs.Config) (*secured, error) {
	return secure(c, nil, nil, slog.New(slog.DiscardHandler))
}

func serverTLS(t *configs.ServerTLS) certs.ServerOptions {
	return certs.ServerOptions{
		Cert: t.Cert, Key: t.Key, ClientCA: t.ClientCA, ClientAuth: certs.ClientAuth(t.ClientAuth),
	}
}
