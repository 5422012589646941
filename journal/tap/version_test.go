package tap_test

import (
	"context"
	"testing"

	"holdfast/proxy/proxytest"
)

// TestBasesOfEachVersion: every server gives a base, also where the data needs the newest format,
// and to a user who may not ask INFO.
func TestBasesOfEachVersion(t *testing.T) {
	for _, bin := range proxytest.Matrix(t) {
		for _, rights := range []string{"+info", ""} {
			t.Run(bin.String()+" "+rights, func(t *testing.T) {
				srv := proxytest.Spec{Kind: bin.Kind, Args: serverArgs}.Start(t)
				srv.MustDo("ACL", "SETUSER", "tap", "on", ">secret", "+psync", "+replconf")
				if rights != "" {
					srv.MustDo("ACL", "SETUSER", "tap", rights)
				}
				srv.MustDo("HSET", "h", "f", "v")
				if _, err := srv.Do("HEXPIRE", "h", 1000, "FIELDS", 1, "f"); err != nil {
					t.Logf("no field deadlines: %v", err)
				}
				r := newRig(t, srv.Addr)
				r.opts.Username, r.opts.Password = "tap", "secret"
				r.start().attached()
				if _, err := r.tap.Snapshot(context.Background()); err != nil {
					t.Errorf("a second base: %v", err)
				}
			})
		}
	}
}
