package main

import (
	"errors"
	"strings"
	"time"

	"holdfast/configs"
	"holdfast/proxy/certs"
)

// soon is the time before a certificate's expiry from which check warns.
const soon = 21 * 24 * time.Hour

// checkCertificates reads all certificate files, and reports when each certificate expires.
func checkCertificates(r *report, c *configs.Config) {
	s, err := securedOnce(c)
	var all configs.Errors
	if errors.As(err, &all) {
		addErrors(r, all)
		return
	}
	for _, cert := range s.set.Certificates() {
		checkCertificate(r, cert, time.Now())
	}
}

func checkCertificate(r *report, c certs.Certificate, now time.Time) {
	end := c.Ends()
	what := "authorities"
	if c.Subject != "" {
		what = c.Subject
	}
	if len(c.Names) > 0 {
		what += " (" + strings.Join(c.Names, ", ") + ")"
	}
	switch {
	case end.IsZero():
		r.ok("tls", "%s: the system's authorities", c.Place)
	case now.After(end):
		r.fail("tls", "%s: %s has expired on %s", c.Place, what, day(end))
	case end.Sub(now) < soon:
		r.warn("tls", "%s: %s expires on %s", c.Place, what, day(end))
	default:
		r.ok("tls", "%s: %s, until %s", c.Place, what, day(end))
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
