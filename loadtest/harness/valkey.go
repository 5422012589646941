package harness

import "net"

// StartValkey starts a fresh Valkey on a free loopback port, without files of its own, and returns its address.
// The server's log is in dir; args are further arguments of the server's.
func StartValkey(root, dir string, args ...string) (p *Process, addr string, err error) {
	program, err := Program(root, "valkey", "valkey-server")
	if err != nil {
		return nil, "", err
	}
	if addr, err = FreeAddr(); err != nil {
		return nil, "", err
	}
	_, port, _ := net.SplitHostPort(addr)
	argv := append([]string{program, "--port", port, "--bind", "127.0.0.1", "--save", ""}, args...)
	p, err = Start(dir, "server", addr, argv...)
	return p, addr, err
}
