package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// A target is a server that is to be rebuilt.
type target struct{ address, username, password string }

// targetPasswordEnv is where the target's password may stand instead of on the command line, where
// everyone on the machine can read it.
const targetPasswordEnv = "HOLDFAST_TARGET_PASSWORD"

// parseTarget reads redis://[user:password@]host[:port], host:port, unix:/path. The errors are of
// usage, but for a password file that cannot be read.
func parseTarget(text, passwordFile string) (target, error) {
	var t target
	if strings.HasPrefix(text, "unix:") {
		t.address = "unix:" + strings.TrimPrefix(strings.TrimPrefix(text, "unix:"), "//")
	} else if err := t.parseURL(text); err != nil {
		return t, usagef("--target: %w", err)
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
	if !strings.Contains(text, "://") {
		text = "redis://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return fmt.Errorf("it is not a URL such as redis://127.0.0.1:6379") // err would hold the password
	}
	switch {
	case u.Scheme == "rediss" || u.Scheme == "valkeys":
		return fmt.Errorf("TLS is not supported by this version")
	case u.Scheme != "redis" && u.Scheme != "valkey":
		return fmt.Errorf("%q is not redis", u.Scheme)
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
	return nil
}
