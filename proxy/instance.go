package proxy

import (
	"crypto/rand"
	"encoding/hex"

	"holdfast/proxy/upstream"
)

// newInstance returns a random name for this process.
func newInstance() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// newUpstream makes an upstream whose control connections have the name of this process.
func (srv *Server) newUpstream(o upstream.Options) *upstream.Upstream {
	if o.ClientName == "" {
		o.ClientName = controlName(srv.instance)
	}
	up := upstream.New(o)
	up.Precede(srv.logs)
	return up
}

func controlName(instance string) string { return upstream.DefaultClientName + "-" + instance }
