package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"

	"holdfast/configs"
	"holdfast/journal/keyspace"
	"holdfast/proxy/certs"
)

// A target is the server to rebuild.
type target struct {
	address, username, password string
	tls                         *certs.Client // nil: plain
}

// targetPasswordEnv may hold the target's password instead of the command line, which every user of
// the machine can read.
const targetPasswordEnv = "HOLDFAST_TARGET_PASSWORD"

// parseTarget reads redis://[user:password@]host[:port], rediss:// for TLS, host:port, unix:/path. Behind
// rediss:// stand, as in ?ca=ca.crt&cert=c.crt, the keys of upstream.tls: ca, server_name, cert, key. The
// errors are of usage, but for files that cannot be read.
func parseTarget(text, passwordFile string) (target, error) {
	return parseServer("target", text, passwordFile)
}

// endpoint is the target's address and login.
func (t target) endpoint() keyspace.Endpoint {
	e := keyspace.Endpoint{Address: t.address, Username: t.username, Password: t.password}
	e.Dial, e.Serve = t.dial(), t.tls.Serve()
	return e
}

// dial opens connections to the target; nil: plain ones.
func (t target) dial() func(ctx context.Context, network, address string) (net.Conn, error) {
	if t.tls == nil {
		return nil
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return t.tls.Dial(ctx, (&net.Dialer{}).DialContext, network, address)
	}
}

func withOrWithout(with bool) string {
	if with {
		return "with"
	}
	return "without"
}

// upstreamOf is the server behind the proxy of a configuration. Sentinels, or the candidates, are asked for it.
func upstreamOf(ctx context.Context, c *configs.Config) (keyspace.Endpoint, error) {
	u := c.Upstream
	s, err := securedOnce(c)
	if err != nil {
		return keyspace.Endpoint{}, unusable(err)
	}
	address := u.Address.One()
	switch {
	case len(u.Sentinels) > 0:
		v, err := askSentinels(ctx, c, s)
		if err != nil {
			return keyspace.Endpoint{}, err
		}
		address = v.Primary
	case len(u.Address) > 1:
		v, err := askCandidates(ctx, c, s)
		if err != nil {
			return keyspace.Endpoint{}, err
		}
		address = v.Primary
	}
	return target{address, u.Username, string(u.Password), s.upstream}.endpoint(), nil
}

// liveServer is upstreamOf for a configuration file.
func liveServer(ctx context.Context, path string) (keyspace.Endpoint, error) {
	c, err := configs.Load(path)
	if err != nil {
		return keyspace.Endpoint{}, unusable(err)
	}
	return upstreamOf(ctx, c)
}

// parseServer is parseTarget for a flag of another name.
func parseServer(flag, text, passwordFile string) (target, error) {
	var t target
	if strings.HasPrefix(text, "unix:") {
		t.address = "unix:" + strings.TrimPrefix(strings.TrimPrefix(text, "unix:"), "//")
	} else if err := t.parseURL(text); errors.Is(err, certs.ErrFile) || errors.Is(err, certs.ErrPair) {
		return t, fmt.Errorf("--%s: %w", flag, err)
	} else if err != nil {
		return t, usagef("--%s: %w", flag, err)
	}
	if passwordFile != "" {
		if t.password != "" {
			return t, usagef("give one password for the target")
		}
		text, err := os.ReadFile(passwordFile)
		t.password = strings.TrimRight(string(text), "\r\n")
		return t, err
	}
	if t.password == "" {
		t.password = os.Getenv(targetPasswordEnv)
	}
	return t, nil
}

func (t *target) parseURL(text string) error {
	if text == "ADDRESS" {
		return fmt.Errorf("ADDRESS stands for the server to rebuild: an empty one, such as redis://10.0.0.9:6379")
	}
	if !strings.Contains(text, "://") {
		text = "redis://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return fmt.Errorf("it is not a URL such as redis://127.0.0.1:6379") // err would hold the password
	}
	secure := u.Scheme == "rediss" || u.Scheme == "valkeys"
	switch {
	case !secure && u.Scheme != "redis" && u.Scheme != "valkey":
		return fmt.Errorf("%q is not redis", u.Scheme)
	case !secure && u.RawQuery != "":
		return fmt.Errorf("what stands behind ? is for rediss://")
	case u.Hostname() == "":
		return fmt.Errorf("it names no host")
	case strings.Trim(u.Path, "/") != "" && strings.Trim(u.Path, "/") != "0":
		return fmt.Errorf("a restore is of all databases; leave %q away", u.Path)
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	t.address = net.JoinHostPort(u.Hostname(), port)
	t.username = u.User.Username()
	t.password, _ = u.User.Password()
	if secure {
		return t.secure(u.Query())
	}
	return nil
}

// secure reads what stands behind the ? of a rediss:// URL.
func (t *target) secure(query url.Values) (err error) {
	var o certs.ClientOptions
	into := map[string]*string{
		"ca": &o.CA, "server_name": &o.ServerName, "cert": &o.Cert, "key": &o.Key,
	}
	for name, values := range query {
		if into[name] == nil || len(values) != 1 {
			return fmt.Errorf("%q behind ? must be one of ca, server_name, cert, key, each once", name)
		}
		*into[name] = values[0]
	}
	if (o.Cert == "") != (o.Key == "") {
		return fmt.Errorf("cert and key go together")
	}
	t.tls, err = certs.NewSet(slog.New(slog.DiscardHandler), nil).Client(t.address, o)
	return err
}
