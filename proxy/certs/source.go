package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/journal/seldom"
)

// maxFile bounds a certificate file: the bundles of operating systems have some 200 KiB.
const maxFile = 4 << 20

// files are the paths that a source reads. Any may be empty.
type files struct {
	cert, key, ca, secret string

	// bears, if set, is a name that cert must bear: the server knows its user by it.
	bears string
}

// contents are the bytes of those files.
type contents struct{ cert, key, ca, secret []byte }

func (c contents) same(d contents) bool {
	return bytes.Equal(c.cert, d.cert) && bytes.Equal(c.key, d.key) && bytes.Equal(c.ca, d.ca) &&
		bytes.Equal(c.secret, d.secret)
}

// state is built from contents and immutable.
type state struct {
	config *tls.Config
	leaf   *x509.Certificate   // the first certificate of cert; nil: none
	ends   time.Time           // when the first certificate of cert's chain ends
	roots  []*x509.Certificate // of ca
	secret string              // a user's password
}

// source keeps one TLS configuration in step with its files.
type source struct {
	// Immutable after newSource.
	place string
	usage x509.ExtKeyUsage // that the certificate is shown for
	files files
	build func(*state) *tls.Config // differs between Server and Client
	log   *slog.Logger

	state    atomic.Pointer[state]
	unusable atomic.Bool // the files are unusable; state is older

	mu     sync.Mutex  // held by a look
	inUse  contents    // of state
	seen   contents    // at the last look
	told   seldom.Pace // of errors
	warned time.Time   // time of the last warning of the certificate's end
}

// newSource reads the files for the first time. It has no older state to fall back on.
func newSource(place string, f files, build func(*state) *tls.Config,
	log *slog.Logger) (*source, error) {
	s := &source{place: place, files: f, build: build, log: log}
	texts, err := f.read()
	if err != nil {
		return nil, err
	}
	next, err := s.make(texts)
	if err != nil {
		return nil, err
	}
	s.state.Store(next)
	s.inUse, s.seen = texts, texts
	return s, nil
}

// read reads every file with a path.
func (f files) read() (c contents, err error) {
	for _, part := range []struct {
		path string
		into *[]byte
	}{{f.cert, &c.cert}, {f.key, &c.key}, {f.ca, &c.ca}, {f.secret, &c.secret}} {
		if part.path == "" {
			continue
		}
		if *part.into, err = readFile(part.path); err != nil {
			return contents{}, err
		}
	}
	return c, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrFile, path, maxFile)
	}
	return text, nil
}

// make builds a state from contents.
func (s *source) make(c contents) (*state, error) {
	next := &state{}
	if s.files.cert != "" {
		if err := next.takePair(s.files, c); err != nil {
			return nil, err
		}
	}
	if s.files.ca != "" {
		roots, err := parseCertificates(s.files.ca, c.ca)
		if err != nil {
			return nil, err
		}
		next.roots = roots
	}
	if s.files.secret != "" {
		secret, err := parseSecret(s.files.secret, c.secret)
		if err != nil {
			return nil, err
		}
		next.secret = secret
	}
	config := s.build(next)
	if s.files.cert != "" {
		pair, err := tls.X509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, fmt.Errorf("%w: %s and %s: %w", ErrPair, s.files.cert, s.files.key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	next.config = config
	return next, nil
}

// takePair reads the certificate and its chain.
func (st *state) takePair(f files, c contents) error {
	chain, err := parseCertificates(f.cert, c.cert)
	if err != nil {
		return err
	}
	st.leaf, st.ends = chain[0], chain[0].NotAfter
	for _, cert := range chain {
		if cert.NotAfter.Before(st.ends) {
			st.ends = cert.NotAfter
		}
	}
	if f.bears != "" && !namesUser(st.leaf, f.bears) {
		return fmt.Errorf("%w: %s, of %s, bears %q neither as common name nor as URI", ErrNoName, f.cert,
			st.leaf.Subject, f.bears)
	}
	return nil
}

// parseCertificates reads all certificates of a PEM file. A file without one is an error.
func parseCertificates(path string, text []byte) (all []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrFile, path, err)
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: %s holds no certificate in PEM", ErrFile, path)
	}
	return all, nil
}

// pool returns the authorities. Nil, without a file of them, means the system's.
func (st *state) pool() *x509.CertPool {
	if st.roots == nil {
		return nil
	}
	pool := x509.NewCertPool()
	for _, cert := range st.roots {
		pool.AddCert(cert)
	}
	return pool
}

// validAt reports whether the certificate and its chain are valid at now. No certificate is valid.
func (st *state) validAt(now time.Time) bool {
	return st.leaf == nil || !now.Before(st.leaf.NotBefore) && !now.After(st.ends)
}

// look reads the files again and puts new contents in force. firm reports unusable files at the
// first look already, not only at the second.
func (s *source) look(firm bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	texts, err := s.files.read()
	if err == nil && texts.same(s.inUse) {
		s.seen = texts
		s.usable()
		return nil
	}
	if err == nil {
		err = s.replace(texts)
	}
	if err == nil {
		s.seen = texts
		s.usable()
		return nil
	}
	firm = firm || texts.same(s.seen)
	s.seen = texts
	s.refuse(err, firm)
	return err
}

// replace puts texts in force, unless they are unusable.
func (s *source) replace(texts contents) error {
	next, err := s.make(texts)
	if err != nil {
		return err
	}
	if err := s.fit(next); err != nil {
		return err
	}
	s.state.Store(next)
	s.inUse, s.warned = texts, time.Time{}
	attrs := []any{"for", s.place}
	if s.files.secret != "" {
		s.log.Info("a password file was replaced and is in force", attrs...)
		return nil
	}
	if next.leaf != nil {
		attrs = append(attrs, "subject", next.leaf.Subject.String(), "not_after", next.ends)
	}
	s.log.Info("certificate files were replaced and are in force", attrs...)
	return nil
}

// fit refuses to replace a valid certificate by one that is not valid now.
func (s *source) fit(next *state) error {
	now := time.Now()
	if next.validAt(now) || !s.state.Load().validAt(now) {
		return nil
	}
	return fmt.Errorf("%w: %s is valid from %s to %s", ErrNotValid, s.files.cert,
		next.leaf.NotBefore.UTC().Format(time.RFC3339), next.ends.UTC().Format(time.RFC3339))
}

// usable notes that the files' contents are in force.
func (s *source) usable() {
	s.told.Changes("")
	s.unusable.Store(false)
}

// refuse notes that the files are unusable. It logs the same error once.
func (s *source) refuse(err error, firm bool) {
	if !firm || !s.told.Changes(err.Error()) {
		return
	}
	s.unusable.Store(true)
	what := "certificate files"
	if s.files.secret != "" {
		what = "password files"
	}
	s.log.Error(what+" cannot be used; the previous ones stay in force", "for", s.place, "error", err)
}
