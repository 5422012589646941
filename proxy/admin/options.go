package admin

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"holdfast/proxy/eventloop"
)

// Defaults of Options.
const (
	defaultMaxClients  = 100
	defaultIdleTimeout = 10 * time.Minute
)

// Options of New. Address is required.
type Options struct {
	// Address is "host:port" or "unix:/path". A socket file is made with mode 0600.
	Address string
	// Password, if not empty, is required of every client. An address that is not on loopback
	// requires one.
	Password string
	// Attempts throttles wrong passwords; nil: those on this console alone.
	Attempts *Attempts
	// Listen opens Address; nil: on a new socket.
	Listen func(address string) (net.Listener, error)
	// TLS secures a network address; a unix socket stays plain. nil: plain.
	TLS *tls.Config
	// Version of the proxy, for HELLO and INFO; "unknown" by default.
	Version string
	// MaxClients is 100 when zero.
	MaxClients int
	// IdleTimeout closes a client that has sent nothing for so long; 10 minutes when zero.
	IdleTimeout time.Duration
	// Logger logs operators' actions and errors; slog's default if nil.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.Version == "" {
		o.Version = "unknown"
	}
	if o.MaxClients == 0 {
		o.MaxClients = defaultMaxClients
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = defaultIdleTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Listen == nil {
		o.Listen = eventloop.Listen
	}
	if o.Attempts == nil {
		o.Attempts = &Attempts{}
	}
	if network, addr := eventloop.SplitAddress(o.Address); network == "unix" && addr == "" {
		return o, fmt.Errorf("%w: %q: no path", ErrAddress, o.Address)
	} else if network == "tcp" {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return o, fmt.Errorf("%w: %w", ErrAddress, err)
		}
	}
	return o, checkPassword(o.Address, o.Password)
}

// checkPassword requires a password on a network address, where any host could stop the proxy.
func checkPassword(address, password string) error {
	if password == "" && !Local(address) {
		return fmt.Errorf("%w: %s is not on loopback", ErrNoPassword, address)
	}
	return nil
}

// Local reports whether only this machine reaches address. A host name other than localhost is not
// resolved, since its address can change later.
func Local(address string) bool {
	network, addr := eventloop.SplitAddress(address)
	if network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
