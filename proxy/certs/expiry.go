package certs

import (
	"crypto/x509"
	"slices"
	"time"
)

// warnBefore is the time before a certificate's end from which the log warns of it once a day.
const warnBefore = 21 * 24 * time.Hour

const warnEvery = 24 * time.Hour

// Certificate describes the files of one place.
type Certificate struct {
	Place    string // a listener, the upstream, the console, a user
	Secret   string // a user's password file, which is all that a user has
	Subject  string
	Names    []string  // DNS names, addresses, URIs
	NotAfter time.Time // the earliest in its chain
	// NotBefore is the begin of the validity of the certificate itself.
	NotBefore time.Time
	// Misfit says that the certificate is not for this side: its extended key usage lacks the
	// authentication of servers for a place that accepts, or of clients for one that connects.
	Misfit bool
	// RootsEnd is the latest end of the authorities that verify the other side; zero: the system's
	// authorities, or none.
	RootsEnd time.Time
	// Unusable says that the files are unusable now and the previous ones are in force.
	Unusable bool
}

// Ends is the time by which the place needs new files: the end of its certificate or of the last
// authority by which it verifies the other side, whichever comes first. Zero: it has neither.
func (c *Certificate) Ends() time.Time {
	if c.NotAfter.IsZero() || !c.RootsEnd.IsZero() && c.RootsEnd.Before(c.NotAfter) {
		return c.RootsEnd
	}
	return c.NotAfter
}

// describe returns the source's present Certificate.
func (s *source) describe() Certificate {
	st := s.state.Load()
	c := Certificate{Place: s.place, Secret: s.files.secret, NotAfter: st.ends,
		Unusable: s.unusable.Load()}
	if st.leaf != nil {
		c.Subject, c.NotBefore = st.leaf.Subject.String(), st.leaf.NotBefore
		c.Misfit = !isFor(st.leaf, s.usage)
		c.Names = append(c.Names, st.leaf.DNSNames...)
		for _, ip := range st.leaf.IPAddresses {
			c.Names = append(c.Names, ip.String())
		}
		for _, uri := range st.leaf.URIs {
			c.Names = append(c.Names, uri.String())
		}
	}
	for _, root := range st.roots {
		if root.NotAfter.After(c.RootsEnd) {
			c.RootsEnd = root.NotAfter
		}
	}
	return c
}

// isFor reports whether a certificate's extended key usage allows u. Without one all are allowed (RFC
// 5280, section 4.2.1.12).
func isFor(c *x509.Certificate, u x509.ExtKeyUsage) bool {
	return len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 || slices.Contains(c.ExtKeyUsage, u) ||
		slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// warn logs, once a day, a certificate that ends soon or has ended.
func (s *source) warn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, c := time.Now(), s.describe()
	end := c.Ends()
	if end.IsZero() || now.Before(end.Add(-warnBefore)) || now.Before(s.warned.Add(warnEvery)) {
		return
	}
	s.warned = now
	if now.After(end) {
		s.log.Error("a certificate has expired", "for", s.place, "subject", c.Subject,
			"not_after", end)
		return
	}
	s.log.Warn("a certificate expires soon", "for", s.place, "subject", c.Subject,
		"not_after", end, "days", int(end.Sub(now)/(24*time.Hour)))
}
