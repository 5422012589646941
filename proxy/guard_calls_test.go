package proxy_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// Beside a trash the guard's user has permissions of which servers log a warning each time when they are
// asked for the user. It is asked for when a user was changed, and not each second.
func TestGuardDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	for _, bin := range proxytest.Binaries(t) {
		t.Run(bin.String(), func(t *testing.T) {
			srv := proxytest.Spec{Kind: bin.Kind}.Start(t)
			serve(t, srv.Addr, withGuard, withTrash)
			proxytest.Poll(t, "there is a guard", func() bool { return len(guardUsers(srv)) == 1 })
			looks := func() int { // each asks for the user default
				text, _, _ := strings.Cut(srv.Info("commandstats")["cmdstat_acl|getuser"], ",")
				n, err := strconv.Atoi(strings.TrimPrefix(text, "calls="))
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			await := func(n int) {
				t.Helper()
				before := looks()
				proxytest.Poll(t, "the guard was looked at", func() bool { return looks() >= before+n })
			}
			warnings := func() int {
				text, err := os.ReadFile(filepath.Join(srv.Dir, "server.log"))
				if err != nil {
					t.Fatal(err)
				}
				return strings.Count(string(text), "Deprecation warning")
			}
			await(4) // the first of them may still ask for the user
			before := warnings()
			await(3)
			if n := warnings() - before; n > 0 {
				t.Errorf("%d warnings in the server's log while nothing changed", n)
			}
			for _, name := range guardUsers(srv) {
				srv.MustDo("ACL", "SETUSER", name, "+flushall")
				proxytest.Poll(t, "the guard is what it was", func() bool {
					reply, err := srv.Do("ACL", "DRYRUN", name, "FLUSHALL")
					text, _ := reply.(string)
					return err == nil && text != "OK"
				})
			}
		})
	}
}
