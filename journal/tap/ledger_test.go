package tap_test

import (
	"testing"

	"holdfast/proxy/proxytest"
)

// What the trash kept before the journal began is emptied later without an event, also behind a gap;
// a flush of a database that the trash did not have is one.
func TestTheTrashOfBefore(t *testing.T) {
	t.Parallel()
	srv := proxytest.Spec{Args: append([]string{"--repl-backlog-size", "16kb",
		"--repl-diskless-sync-delay", "0"}, noFiles...)}.Start(t)
	keep := func(id, db, slot string) {
		srv.MustDo("SELECT", slot)
		srv.MustDo("SET", "kept", id)
		srv.MustDo("SELECT", "15")
		srv.MustDo("HSET", "holdfast:trash", id, `{"id":`+id+`,"command":"flushall","dbs":[{"db":`+db+
			`,"slot":`+slot+`,"keys":1}]}`)
	}
	empty := func(id, slot string) {
		for _, c := range [][]any{{"SELECT", "15"}, {"MULTI"}, {"HDEL", "holdfast:trash", id},
			{"SELECT", slot}, {"FLUSHDB", "ASYNC"}, {"EXEC"}} {
			srv.MustDo(c...)
		}
	}
	keep("7", "0", "8")
	r := newRig(t, srv.Addr).start().attached()
	empty("7", "8")
	r.caughtUp(srv)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	keep("8", "1", "10")
	fill(srv, 1<<20)
	r.start().attached()
	if gaps := r.view().Gaps(); len(gaps) != 1 {
		t.Fatalf("gaps: %+v", gaps)
	}
	empty("8", "10")
	srv.MustDo("SELECT", "9")
	srv.MustDo("SET", "a", "1")
	srv.MustDo("FLUSHDB")
	proxytest.Poll(t, "the event of the flush", func() bool { return len(r.j.Events()) > 0 })
	events := r.j.Events()
	if text := events[0].Text(); len(events) != 1 || text != "1 FLUSHDB in db9" {
		t.Fatalf("%d events, the first: %s", len(events), text)
	}
}
