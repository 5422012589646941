package upstream

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// aheadOfAll has the slow log read before each command.
type aheadOfAll struct{}

func (aheadOfAll) Commands() [][]any   { return [][]any{{"sLoWlOg", "get", "3"}} }
func (aheadOfAll) Take([][]any, []any) {}

// What precedes the commands of the control connection precedes those of a login that is tried on a
// connection of its own as well.
func TestALoginIsPreceded(t *testing.T) {
	srv := proxytest.StartServer(t)
	direct := srv.MustDo
	direct("ACL", "SETUSER", "holdfast", "on", ">pw", "~*", "&*", "+@all")
	direct("CONFIG", "SET", "slowlog-max-len", "5000", "slowlog-log-slower-than", "0")
	o := testOptions(t, srv.Addr)
	o.Username, o.Password = "holdfast", "pw"
	u := New(o)
	u.Precede(aheadOfAll{})
	u.Start(t.Context())
	t.Cleanup(u.Stop)
	await(t, u, "the server", func(i *Info) bool { return i.Up })
	u.DoubtLogin()
	proxytest.Poll(t, "the login to be tried", func() bool {
		return strings.Count(fmt.Sprint(direct("SLOWLOG", "GET", "-1")), " [pInG") >= 2
	})
	u.Stop()
	before := ""
	entries := direct("SLOWLOG", "GET", "-1").([]any)
	for i := len(entries) - 1; i >= 0; i-- { // oldest first
		args := fmt.Sprint(entries[i].([]any)[3])
		if (strings.HasPrefix(args, "[pInG") || strings.HasPrefix(args, "[aUtH")) && !strings.HasPrefix(before, "[sLoWlOg") {
			t.Errorf("%s stands behind %s", args, before)
		}
		if !strings.HasPrefix(args, "[SLOWLOG") {
			before = args
		}
	}
}
