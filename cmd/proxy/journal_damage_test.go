package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// Damage in the last segment costs only the damaged frames. Everything else can be listed, shown,
// exported and restored, and each command reports the damage.
func TestJournalDamaged(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	fill(t, p, 20)
	middle := srv.MustDo("DEBUG", "DIGEST")
	p.recordedAll(srv)
	before := fmt.Sprint(srv.Info("replication")["master_repl_offset"])
	p.must("SET", "hit", "a-value-to-be-found")
	p.recordedAll(srv)
	p.operate("SNAPSHOT")
	p.must("SET", "behind", 1)
	want := srv.MustDo("DEBUG", "DIGEST")
	p.recordedAll(srv)
	p.stop()
	segment := filepath.Join(p.folder(), "0000000001.seg")
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), "a-value-to-be-found")
	flipByte(t, segment, at)
	dir := []string{"--dir", p.folder()}

	code, stdout, stderr := execute(t, append([]string{"journal", "ls", "--json"}, dir...)...)
	var v journalView
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || code != exitDone ||
		len(v.Damages) != 1 || v.Segments[0].State != "damaged" || len(v.Bases) != 2 ||
		!strings.Contains(stderr, "warning: journal is damaged: 0000000001.seg at byte") {
		t.Errorf("ls: %d %v\n%s%s", code, err, stdout, stderr)
	}
	code, stdout, _ = execute(t, append([]string{"journal", "verify"}, dir...)...)
	if code != exitFailed || !strings.Contains(stdout, "FAIL  0000000001.seg") {
		t.Errorf("verify: %d\n%s", code, stdout)
	}
	_, stdout, stderr = execute(t, append([]string{"journal", "show"}, dir...)...)
	if !strings.Contains(stdout, "LPUSH l 19 19") || !strings.Contains(stdout, "SET behind 1") ||
		!strings.Contains(stdout+stderr, "damaged") {
		t.Errorf("show:\n%s%s", stdout, stderr)
	}
	aof := filepath.Join(t.TempDir(), "aof")
	mustRun(t, append([]string{"journal", "export", "--end", "--aof", aof}, dir...)...)
	for _, row := range []struct {
		args   []string
		digest any
	}{{[]string{"--end"}, want}, {[]string{"--to", before}, middle}} {
		dst := proxytest.StartServer(t, recordedArgs...)
		mustRun(t, append(append([]string{"restore", "--target", dst.Addr}, dir...), row.args...)...)
		if got := dst.MustDo("DEBUG", "DIGEST"); got != row.digest {
			t.Errorf("%v: digest %v, want %v", row.args, got, row.digest)
		}
	}
}
