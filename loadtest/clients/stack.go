package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"holdfast/loadtest/harness"
)

// stack is a server that speaks only TLS, and a proxy with two TLS listeners before it.
type stack struct {
	keys          *harness.Keys
	otherCA       string // of an authority that signed nothing here
	server, proxy *harness.Process
	anyone        string // the listener that asks for no certificate
	known         string // the one at which a certificate stands for a user
}

// certified is the user for whom the clients' certificate stands: its common name.
const certified = "localhost"

func startStack(root, dir string) (s *stack, err error) {
	s = &stack{}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if s.keys, err = harness.NewKeys(dir); err != nil {
		return s, err
	}
	other := filepath.Join(dir, "other")
	if err := os.MkdirAll(other, 0o700); err != nil {
		return s, err
	}
	strange, err := harness.NewKeys(other)
	if err != nil {
		return s, err
	}
	s.otherCA = strange.CA
	var addrs [3]string
	for i := range addrs {
		if addrs[i], err = harness.FreeAddr(); err != nil {
			return s, err
		}
	}
	_, port, _ := net.SplitHostPort(addrs[0])
	s.anyone, s.known = addrs[1], addrs[2]
	s.server, _, err = harness.StartValkey(root, dir, "--tls-port", port, "--tls-cert-file", s.keys.Cert,
		"--tls-key-file", s.keys.Key, "--tls-ca-cert-file", s.keys.CA, "--tls-auth-clients", "yes",
		"--user", certified, "on", ">secret", "~*", "&*", "+@all")
	if err != nil {
		return s, err
	}
	password, config := filepath.Join(dir, "password"), filepath.Join(dir, "holdfast.yaml")
	text := fmt.Sprintf("listeners:\n  - address: %s\n    tls: {cert: %[2]q, key: %[3]q}\n  - address: %[4]s\n"+
		"    tls: {cert: %[2]q, key: %[3]q, client_ca: %[5]q, client_auth: require}\n    user_from: cn\n"+
		"users: [{name: %[6]s, password_file: %[7]q}]\nupstream:\n  address: %[8]s\n"+
		"  tls: {ca: %[5]q, cert: %[2]q, key: %[3]q}\nadmin: {address: off, http: off}\n",
		s.anyone, s.keys.Cert, s.keys.Key, s.known, s.keys.CA, certified, password, addrs[0])
	for path, text := range map[string]string{password: "secret\n", config: text} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return s, err
		}
	}
	s.proxy, err = harness.Start(dir, "proxy", s.anyone, filepath.Join(root, "bin", "proxy"), "serve", "--config", config)
	return s, err
}

func (s *stack) stop() {
	for _, p := range []*harness.Process{s.proxy, s.server} {
		if p != nil {
			p.Stop()
		}
	}
}

// environment is that of a client's program.
func (s *stack) environment(withCertificate bool, proto string) []string {
	addr, who, cert, key := s.anyone, "default", "", ""
	if withCertificate {
		addr, who, cert, key = s.known, certified, s.keys.Cert, s.keys.Key
	}
	host, port, _ := net.SplitHostPort(addr)
	return append(os.Environ(), "HOST="+host, "PORT="+port, "PROTO="+proto, "WHO="+who, "CA="+s.keys.CA,
		"OTHER_CA="+s.otherCA, "CERT="+cert, "KEY="+key)
}
