package proxytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"holdfast/proxy/proxytest/local"
)

// Authority issues certificates for tests, into files of its folder.
type Authority struct {
	CA  string // its own certificate's file
	Dir string

	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Identity is the content of a certificate. The zero value is a server of this machine.
type Identity struct {
	Name  string // common name; empty: localhost
	URI   string // an additional URI
	Hosts []string
	// From and To bound its validity; zero: from an hour ago on, for 90 days.
	From, To time.Time
	// Chain has an intermediate authority, included in the file, sign the key.
	Chain bool
	// Change, if set, makes the last changes to the certificate before it is signed.
	Change func(*x509.Certificate)
}

// NewAuthority makes an authority with files in a folder of the test.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, Dir: t.TempDir()}
	now := time.Now()
	a.cert, a.key = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:  x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		NotBefore: now.Add(-365 * 24 * time.Hour), NotAfter: now.Add(10 * 365 * 24 * time.Hour),
	}, nil, nil)
	a.CA = a.write("ca.crt", "CERTIFICATE", a.cert.Raw)
	return a
}

// Issue writes NAME.crt and NAME.key into the folder and replaces existing files.
func (a *Authority) Issue(name string, id Identity) (cert, key string) {
	a.t.Helper()
	certText, keyText := a.PEM(id)
	cert, key = filepath.Join(a.Dir, name+".crt"), filepath.Join(a.Dir, name+".key")
	a.put(cert, certText)
	a.put(key, keyText)
	return cert, key
}

// ServerArgs are the options of a server that also listens for TLS, at the address that is returned,
// and asks clients for certificates of this authority.
func (a *Authority) ServerArgs() (args []string, address string) {
	a.t.Helper()
	port, err := local.FreePort()
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key := a.Issue(fmt.Sprint("server-", port), Identity{})
	return []string{"--tls-port", strconv.Itoa(port), "--tls-cert-file", cert, "--tls-key-file", key,
		"--tls-ca-cert-file", a.CA, "--tls-auth-clients", "yes"}, loopback(port)
}

// PEM returns a certificate and its key.
func (a *Authority) PEM(id Identity) (cert, key []byte) {
	a.t.Helper()
	now := time.Now()
	template := &x509.Certificate{
		Subject:  pkix.Name{CommonName: id.Name},
		KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth,
			x509.ExtKeyUsageClientAuth},
		NotBefore: id.From, NotAfter: id.To,
		DNSNames: id.Hosts,
	}
	if id.Name == "" {
		template.Subject.CommonName = "localhost"
		template.DNSNames = append(template.DNSNames, "localhost")
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	if id.From.IsZero() {
		template.NotBefore = now.Add(-time.Hour)
	}
	if id.To.IsZero() {
		template.NotAfter = now.Add(90 * 24 * time.Hour)
	}
	if id.URI != "" {
		uri, err := url.Parse(id.URI)
		if err != nil {
			a.t.Fatal(err)
		}
		template.URIs = []*url.URL{uri}
	}
	if id.Change != nil {
		id.Change(template)
	}
	issuer, issuerKey := a.cert, a.key
	var chain []byte
	if id.Chain {
		issuer, issuerKey = a.sign(&x509.Certificate{
			Subject: pkix.Name{CommonName: "between"}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign, NotBefore: template.NotBefore, NotAfter: template.NotAfter,
		}, a.cert, a.key)
		chain = encode("CERTIFICATE", issuer.Raw)
	}
	leaf, leafKey := a.sign(template, issuer, issuerKey)
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		a.t.Fatal(err)
	}
	return append(encode("CERTIFICATE", leaf.Raw), chain...), encode("PRIVATE KEY", der)
}

// sign makes a certificate with a new key; without an issuer it signs itself.
func (a *Authority) sign(template, issuer *x509.Certificate,
	issuerKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		a.t.Fatal(err)
	}
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func (a *Authority) write(name, kind string, der []byte) string {
	path := filepath.Join(a.Dir, name)
	a.put(path, encode(kind, der))
	return path
}

func (a *Authority) put(path string, text []byte) {
	a.t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		a.t.Fatal(err)
	}
}
