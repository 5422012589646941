package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Server is the TLS of the accepting side.
type Server struct {
	*source
	opts   ServerOptions
	config *tls.Config // hands out the state in force; owns the keys of session tickets
}

// Config returns the configuration for accepted connections. It is always the same one, and gives
// each connection the certificates in force at that moment.
func (s *Server) Config() *tls.Config { return s.config }

func (s *source) inForce(*tls.ClientHelloInfo) (*tls.Config, error) {
	return s.state.Load().config, nil
}

// DialSelf connects to the Server from the same machine. It accepts only the Server's own
// certificate, under any name, and shows the same one if asked. A nil Server is plain.
func (s *Server) DialSelf(ctx context.Context, dial DialFunc, network, address string) (net.Conn, error) {
	nc, err := dial(ctx, network, address)
	if err != nil || s == nil || network == "unix" {
		return nc, err
	}
	own := s.state.Load()
	return shake(ctx, nc, &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: own.config.Certificates,
		InsecureSkipVerify: true, // VerifyConnection is stricter: it accepts one certificate
		VerifyConnection: func(c tls.ConnectionState) error {
			if !c.PeerCertificates[0].Equal(own.leaf) {
				return fmt.Errorf("%w: %s shows another certificate than that of %s", ErrPair, address,
					s.opts.Cert)
			}
			return nil
		},
	})
}

// Options returns the options that the Server was built from.
func (s *Server) Options() ServerOptions { return s.opts }

func (o ServerOptions) build(st *state) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ClientAuth: o.ClientAuth.tls(),
		ClientCAs:  st.pool(),
		// Whole records from the beginning: replies are small, or wanted fast.
		DynamicRecordSizingDisabled: true,
	}
}

// Client is the TLS of the connecting side.
type Client struct {
	*source
	opts ClientOptions
}

// Config returns the configuration for one connection to address: host:port, or a path if the
// network is "unix".
func (c *Client) Config(network, address string) *tls.Config {
	config := c.state.Load().config.Clone()
	if config.ServerName == "" && network != "unix" {
		if host, _, err := net.SplitHostPort(address); err == nil {
			config.ServerName = host
		}
	}
	return config
}

// ShowsCertificate reports whether the client has a certificate to show. A nil Client has none.
func (c *Client) ShowsCertificate() bool { return c != nil && c.opts.Cert != "" }

// Serve returns the configuration for a server that connects back to the client's side, as a
// replica does for its data. Such a server sees the client's certificate and must show one of the
// same authorities. Serve returns nil if the Client is nil or has no certificate.
func (c *Client) Serve() *tls.Config {
	if !c.ShowsCertificate() {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			st := c.state.Load()
			return &tls.Config{
				MinVersion: tls.VersionTLS12, Certificates: st.config.Certificates,
				ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: st.pool(),
			}, nil
		},
	}
}

// Options returns the options that the Client was built from.
func (c *Client) Options() ClientOptions { return c.opts }

func (o ClientOptions) build(st *state) *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		RootCAs:                     st.pool(),
		ServerName:                  o.ServerName,
		DynamicRecordSizingDisabled: true,
	}
}

// DialFunc opens a connection, as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Dial opens a connection by dial and shakes hands on it; ctx bounds both. A nil Client opens a
// plain connection.
func (c *Client) Dial(ctx context.Context, dial DialFunc, network, address string) (net.Conn, error) {
	nc, err := dial(ctx, network, address)
	if err != nil || c == nil {
		return nc, err
	}
	return shake(ctx, nc, c.Config(network, address))
}

// shake makes nc a connection of TLS, or closes it.
func shake(ctx context.Context, nc net.Conn, config *tls.Config) (net.Conn, error) {
	conn := tls.Client(nc, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("TLS handshake: %w", Explain(err))
	}
	return conn, nil
}

// Every is the interval at which callers should run Check.
const Every = 5 * time.Second

// A Set holds all certificates of one configuration, and the passwords of its users.
type Set struct {
	log     *slog.Logger
	servers []*Server
	clients []*Client
	users   []*user

	knownServers []*Server // of the previous Set
	knownClients []*Client
	knownUsers   []*user
}

// NewSet returns an empty Set. If before has a Server or Client with the same place and options,
// the new Set takes it over and reads its files again, so that its users keep their pointer. before
// may be nil.
func NewSet(log *slog.Logger, before *Set) *Set {
	s := &Set{log: log}
	if before != nil {
		s.knownServers, s.knownClients, s.knownUsers = before.servers, before.clients, before.users
	}
	return s
}

// Server adds the TLS of a place that accepts connections. The error wraps one of the package's.
func (s *Set) Server(place string, o ServerOptions) (*Server, error) {
	if o.ClientAuth != ClientAuthRequest && o.ClientAuth != ClientAuthRequire {
		o.ClientAuth = ClientAuthNone
	}
	for _, old := range s.knownServers {
		if old.place == place && old.opts == o {
			s.servers = append(s.servers, old)
			return old, old.look(true)
		}
	}
	src, err := newSource(place, files{cert: o.Cert, key: o.Key, ca: o.ClientCA}, o.build, s.log)
	if err != nil {
		return nil, err
	}
	src.usage = x509.ExtKeyUsageServerAuth
	server := &Server{src, o, &tls.Config{
		MinVersion: tls.VersionTLS12, GetConfigForClient: src.inForce,
	}}
	s.servers = append(s.servers, server)
	return server, nil
}

// Client adds the TLS of a place that connects, as Server does.
func (s *Set) Client(place string, o ClientOptions) (*Client, error) {
	for _, old := range s.knownClients {
		if old.place == place && old.opts == o {
			s.clients = append(s.clients, old)
			return old, old.look(true)
		}
	}
	src, err := newSource(place, files{cert: o.Cert, key: o.Key, ca: o.CA}, o.build, s.log)
	if err != nil {
		return nil, err
	}
	src.usage = x509.ExtKeyUsageClientAuth
	client := &Client{src, o}
	s.clients = append(s.clients, client)
	return client, nil
}

// Keep adds a Server of the previous Set unchanged, whatever the configuration says.
func (s *Set) Keep(server *Server) { s.servers = append(s.servers, server) }

func (s *Set) sources() (all []*source) {
	if s == nil {
		return nil
	}
	for _, server := range s.servers {
		all = append(all, server.source)
	}
	for _, client := range s.clients {
		all = append(all, client.source)
	}
	for _, u := range s.users {
		all = append(all, u.source)
	}
	return all
}

// Check reads all files again, puts new contents in force, and warns of certificates that expire
// soon. It logs unusable files and returns their errors.
func (s *Set) Check() error {
	var errs []error
	for _, src := range s.sources() {
		if err := src.look(false); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", src.place, err))
		}
		src.warn()
	}
	return errors.Join(errs...)
}

// Certificates describes each certificate in the order of addition. A nil Set has none.
func (s *Set) Certificates() (all []Certificate) {
	for _, src := range s.sources() {
		all = append(all, src.describe())
	}
	return all
}
