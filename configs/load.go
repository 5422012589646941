package configs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// UpstreamPasswordEnv is the environment variable that gives upstream.password when the file gives
// neither password nor password_file.
const UpstreamPasswordEnv = "HOLDFAST_UPSTREAM_PASSWORD"

// maxFile bounds a configuration file, and maxSecret a password file. The YAML parser takes time
// that grows with the square of the nesting, so that a wrong path (a dump, a device) must not reach
// it whole.
const (
	maxFile   = 256 << 10
	maxSecret = 4 << 10
)

// Load reads, decodes and validates the file at path, then fetches the passwords that it keeps
// elsewhere. Paths in it that are not absolute are looked for beside it. An empty path means Default
// with the passwords of the environment. Errors in the file are [Errors].
func Load(path string) (*Config, error) { return orNothing(Inspect(path)) }

// Inspect is Load for whoever wants to find more errors than the first kind: with [Errors] comes
// the Config as far as it could be read, unless the file is not even YAML.
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
	for _, p := range []*string{&c.Journal.Dir, &c.Audit.File} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	return c, c.readSecrets(dir)
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

// orNothing keeps a Config with errors from whoever would serve with it.
func orNothing(c *Config, err error) (*Config, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

// readSecrets fills the passwords that stand in files below dir or in the environment.
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
	read("admin.password_file", c.Admin.PasswordFile, &c.Admin.Password)
	_, written := c.origin.at["upstream.password"]
	if c.Upstream.Password == "" && c.Upstream.PasswordFile == "" && !written {
		c.Upstream.Password = Secret(os.Getenv(UpstreamPasswordEnv))
	}
	return errs.orNil()
}

// HoldsPassword says whether a password stands in the configuration file itself, so that whoever
// may read the file knows it.
func (c *Config) HoldsPassword() bool {
	written := func(path string, p Secret) bool {
		_, ok := c.origin.at[path]
		return ok && p != ""
	}
	return written("upstream.password", c.Upstream.Password) &&
		c.Upstream.PasswordFile == "" ||
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
