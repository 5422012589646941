package configs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// UpstreamPasswordEnv is the environment variable for upstream.password when the file has neither
// password nor password_file.
const UpstreamPasswordEnv = "HOLDFAST_UPSTREAM_PASSWORD"

// maxFile bounds a configuration file, and maxSecret a password file. The YAML parser's time grows
// with the square of the nesting, so that a wrong path (a dump, a device) must not reach it whole.
const (
	maxFile   = 256 << 10
	maxSecret = 4 << 10
)

// Load reads, decodes and validates the file at path, then fetches the passwords from other files.
// Relative paths in it are relative to its folder. An empty path means Default with the passwords
// of the environment. Errors in the file are [Errors].
func Load(path string) (*Config, error) { return orNothing(Inspect(path)) }

// Inspect is Load for callers that look for more kinds of errors: with [Errors] comes the readable
// part of the Config, unless the file is not YAML at all.
func Inspect(path string) (*Config, error) {
	if path == "" {
		c := Default()
		return c, c.readSecrets(".")
	}
	text, err := readBounded(path, maxFile)
	if err != nil {
		return nil, err
	}
	c, err := parse(path, text)
	if err != nil {
		return c, err
	}
	dir := filepath.Dir(path)
	for _, p := range append([]*string{&c.Journal.Dir, &c.Audit.File}, c.certificates()...) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	return c, c.readSecrets(dir)
}

// certificates are the paths of all certificate files, and of the users' passwords.
func (c *Config) certificates() (all []*string) {
	for i := range c.Listeners {
		all = append(all, c.Listeners[i].TLS.files()...)
	}
	all = append(all, c.Admin.TLS.files()...)
	for _, t := range []*ClientTLS{c.Upstream.TLS, c.Upstream.SentinelTLS} {
		if t != nil {
			all = append(all, &t.CA, &t.Cert, &t.Key)
		}
	}
	for i := range c.Users {
		u := &c.Users[i]
		all = append(all, &u.PasswordFile, &u.Cert, &u.Key)
	}
	return all
}

func (t *ServerTLS) files() []*string {
	if t == nil {
		return nil
	}
	return []*string{&t.Cert, &t.Key, &t.ClientCA}
}

// Parse decodes and validates text; name stands for the file in errors. It reads neither files nor
// the environment, so that password files stay unread. Errors are [Errors]: all of them at once.
func Parse(name string, text []byte) (*Config, error) { return orNothing(parse(name, text)) }

func parse(name string, text []byte) (*Config, error) {
	c, errs := decode(name, text)
	if c != nil {
		errs = append(errs, c.validate(errs)...)
	}
	return c, errs.orNil()
}

// orNothing withholds a Config with errors from callers that would serve with it.
func orNothing(c *Config, err error) (*Config, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

// readSecrets fills the passwords from files below dir or from the environment.
func (c *Config) readSecrets(dir string) error {
	var errs Errors
	read := func(path, file string, into *Secret) {
		if file == "" {
			return
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		secret, err := readSecret(file)
		if err != nil {
			errs = append(errs, c.At(path, err.Error()))
		}
		*into = secret
	}
	read("upstream.password_file", c.Upstream.PasswordFile, &c.Upstream.Password)
	read("upstream.sentinel_password_file", c.Upstream.SentinelPasswordFile, &c.Upstream.SentinelPassword)
	read("admin.password_file", c.Admin.PasswordFile, &c.Admin.Password)
	_, written := c.origin.at["upstream.password"]
	if c.Upstream.Password == "" && c.Upstream.PasswordFile == "" && !written {
		c.Upstream.Password = Secret(os.Getenv(UpstreamPasswordEnv))
	}
	return errs.orNil()
}

// HoldsPassword reports whether the configuration file itself contains a password, so that every
// reader of the file knows it.
func (c *Config) HoldsPassword() bool {
	written := func(path string, p Secret) bool {
		_, ok := c.origin.at[path]
		return ok && p != ""
	}
	return written("upstream.password", c.Upstream.Password) &&
		c.Upstream.PasswordFile == "" ||
		written("upstream.sentinel_password", c.Upstream.SentinelPassword) &&
			c.Upstream.SentinelPasswordFile == "" ||
		written("admin.password", c.Admin.Password) && c.Admin.PasswordFile == ""
}

// readSecret is the text of a file without the newline that editors put at its end.
func readSecret(file string) (Secret, error) {
	text, err := readBounded(file, maxSecret)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if secret == "" {
		return "", fmt.Errorf("%s: the file is empty", file)
	}
	return Secret(secret), nil
}

// readBounded reads the file at path, which must be no larger than limit.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s: larger than %v", path, Bytes(limit))
	}
	return text, nil
}
