// Command gomod plays the checks of loadtest/clients with a client for Go: goredis or rueidis. Each
// line of its output is a check.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"
)

// patience bounds a check.
const patience = 20 * time.Second

// settings are the environment that loadtest/clients gives.
type settings struct {
	addr, user string
	proto      int
	tls, wrong *tls.Config // wrong knows another authority
}

func main() {
	s, err := read()
	if err != nil {
		fmt.Println("FAIL start:", err)
		os.Exit(1)
	}
	run := map[string]func(*settings) []check{"goredis": goRedis, "rueidis": rueidisChecks}[os.Args[1]]
	failed := false
	for _, c := range run(s) {
		if err := c.run(); err != nil {
			fmt.Printf("FAIL %s: %v\n", c.name, err)
			failed = true
			continue
		}
		fmt.Println("ok", c.name)
	}
	if failed {
		os.Exit(1)
	}
}

type check struct {
	name string
	run  func() error
}

func read() (*settings, error) {
	s := &settings{addr: os.Getenv("HOST") + ":" + os.Getenv("PORT"), user: os.Getenv("WHO"), proto: 3}
	if os.Getenv("PROTO") == "2" {
		s.proto = 2
	}
	var err error
	if s.tls, err = config(os.Getenv("CA")); err != nil {
		return nil, err
	}
	s.wrong, err = config(os.Getenv("OTHER_CA"))
	return s, err
}

func config(ca string) (*tls.Config, error) {
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	c.RootCAs.AppendCertsFromPEM(text)
	if cert := os.Getenv("CERT"); cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, os.Getenv("KEY"))
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// is compares a result.
func is(got any, err error, want any) error {
	if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
		err = fmt.Errorf("got %.80q, want %.80q", fmt.Sprint(got), fmt.Sprint(want))
	}
	return err
}

// has looks for a text in a result.
func has(got string, err error, want string) error {
	if err == nil && !strings.Contains(got, want) {
		err = fmt.Errorf("%q lacks %q", got, want)
	}
	return err
}

// until polls until f is true.
func until(f func() bool) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if f() {
			return nil
		}
	}
	return fmt.Errorf("it did not come in %v", patience)
}

var large = strings.Repeat("0123456789\r\n\x00\xff", 20_000)
