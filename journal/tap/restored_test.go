package tap_test

import (
	"slices"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/proxy/proxytest"
)

// TestRestoredIsGoodOnce: the word of a restore that had nothing to close closes no incident that the
// same process brings about later.
func TestRestoredIsGoodOnce(t *testing.T) {
	t.Parallel()
	srv := proxytest.Spec{Args: slices.Concat(serverArgs, noFiles)}.Start(t)
	srv.MustDo("SET", "k", 1)
	r := newRig(t, srv.Addr)
	r.opts.Sample, r.opts.Mark = 2*time.Millisecond, true
	r.start().attached()
	before := offset(srv)
	srv.MustDo("SET", "k", 2)
	marked(t, r, srv, before)
	word := journal.Restored{RunID: srv.Info("server")["run_id"], Offset: 7, Time: time.Now()}
	if err := journal.LeaveRestored(r.journal.FS, r.journal.Dir, word); err != nil {
		t.Fatal(err)
	}
	reconnected(t, r, srv)
	proxytest.Poll(t, "the word to be taken", func() bool {
		_, ok, err := r.j.Restored()
		return !ok && err == nil
	})
	syncs := r.tap.Stats().FullResyncs
	other := proxytest.Spec{Kind: srv.Binary.Kind, Args: serverArgs}.Start(t)
	other.MustDo("SET", "other", 1)
	follow(t, srv, other)
	srv.MustDo("REPLICAOF", "NO", "ONE")
	proxytest.Poll(t, "a full resync", func() bool { return r.tap.Stats().FullResyncs > syncs })
	r.attached()
	before = offset(srv)
	srv.MustDo("SET", "again", 1)
	marked(t, r, srv, before)
	if r.j.Held() == nil {
		t.Errorf("nothing is held: %+v", r.j.Incidents())
	}
}
