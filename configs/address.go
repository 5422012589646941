package configs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// off is how the file turns off a listener of the admin section.
const off = "off"

// maxUnixPath is the room for a path in Linux's sockaddr_un, less the NUL at its end.
const maxUnixPath = 107

// unixPrefix begins the address of a unix socket.
const unixPrefix = "unix:"

func isUnix(address string) bool { return strings.HasPrefix(address, unixPrefix) }

// checkListen checks an address to listen on. An empty host means every interface; port 0 lets the
// system choose.
func checkListen(address string) error {
	if isUnix(address) {
		return checkUnix(address)
	}
	host, _, err := splitAddress(address)
	if err != nil || host == "" {
		return err
	}
	return checkHost(host)
}

// checkDial checks an address to connect to.
func checkDial(address string) error {
	if isUnix(address) {
		return checkUnix(address)
	}
	host, port, err := splitAddress(address)
	if err != nil {
		return err
	}
	if host == "" {
		return errors.New("the host is missing")
	}
	if port == 0 {
		return errors.New("port 0 cannot be connected to")
	}
	return checkHost(host)
}

func checkUnix(address string) error {
	file := strings.TrimPrefix(address, unixPrefix)
	switch {
	case !path.IsAbs(file):
		return fmt.Errorf("the path of a unix socket must be absolute: %sPATH", unixPrefix)
	case len(file) > maxUnixPath:
		return fmt.Errorf("the path of a unix socket has at most %d bytes", maxUnixPath)
	case strings.ContainsRune(file, 0):
		return errors.New("the path of a unix socket has no NUL")
	}
	return nil
}

func splitAddress(address string) (host string, port int, err error) {
	if address == "" {
		return "", 0, errors.New("the address is missing")
	}
	if scheme, rest, found := strings.Cut(address, "://"); found {
		return "", 0, fmt.Errorf("write %s instead of the URL %s://%[1]s", rest, scheme)
	}
	host, digits, err := net.SplitHostPort(address)
	if err != nil {
		if _, v6 := netip.ParseAddr(address); v6 == nil && strings.Contains(address, ":") {
			return "", 0, errors.New("an IPv6 address with a port is written [address]:port")
		}
		return "", 0, errors.New("expected host:port, [v6]:port or unix:/path")
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("the port must be a number up to 65535, got %q", digits)
	}
	return host, int(n), nil
}

// checkHost accepts addresses and possible names in DNS or a hosts file.
func checkHost(host string) error {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	for _, r := range host {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && r != '.' && r != '-' && r != '_' {
			return fmt.Errorf("the host %q is neither an address nor a name", host)
		}
	}
	return nil
}

// isLoopback reports whether only this machine can reach a listener at address.
func isLoopback(address string) bool {
	if isUnix(address) {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// Exposed reports whether other machines can reach the listener.
func (l Listener) Exposed() bool { return Exposed(l.Address) }

// Exposed reports whether a connection to the address can leave the machine: it is neither a
// loopback address nor a unix socket.
func Exposed(address string) bool { return !isLoopback(address) }

// samePlace reports whether a connection to dial, made on this machine, would reach a listener at
// listen. It looks no names up other than localhost, and answers no in doubt.
func samePlace(listen, dial string) bool {
	if listen == dial {
		return listen != ""
	}
	if isUnix(listen) || isUnix(dial) {
		return false
	}
	host, port, err := net.SplitHostPort(listen)
	_, dialPort, dialErr := net.SplitHostPort(dial)
	if err != nil || dialErr != nil || port != dialPort || port == "0" || !isLoopback(dial) {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "" || isLoopback(listen) || err == nil && ip.IsUnspecified()
}

// ParsePrefix reads an address, or a prefix as in 10.0.0.0/8.
func ParsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("must be an address or a prefix such as 10.0.0.0/8, got %q", text)
	}
	return p.Masked(), nil
}
