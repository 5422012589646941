package proxy

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"text/tabwriter"
)

var writeStates = flag.Bool("write-states", false, "rewrite testdata/states.txt")

// behaviourNames are the rows of testdata/states.txt.
var behaviourNames = [behaviourCount]string{
	plain: "plain", otherDB: "otherDB", script: "script", aside: "aside", blocking: "blocking",
	maybeBlocking: "maybeBlocking", waitAcks: "waitAcks", named: "named", stateful: "stateful",
	multi: "multi", exec: "exec", discard: "discard", watch: "watch", unwatch: "unwatch",
	selectDB: "selectDB", auth: "auth", hello: "hello", resetConn: "resetConn", quit: "quit",
	subscribe: "subscribe", monitor: "monitor", rawStream: "rawStream", replconf: "replconf", scriptDebug: "scriptDebug",
	publish: "publish", clientID: "clientID", clientName: "clientName", clientInfo: "clientInfo",
	clientList: "clientList", clientKill: "clientKill", clientUnblock: "clientUnblock",
	clientTracking: "clientTracking", clientRedirect: "clientRedirect", clientReply: "clientReply",
	clientPause: "clientPause", info: "info", commandLog: "commandLog", login: "login",
}

// TestStates holds the table of states and behaviours to the page that shows it. A change of the table
// shows there; go test ./proxy -run TestStates -write-states writes it.
func TestStates(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "behaviour\tno link\twatching\town link\tmuted\ttransaction\tno MULTI")
	for b, row := range handlers {
		if behaviourNames[b] == "" {
			t.Errorf("behaviour %d has no name", b)
		}
		fmt.Fprint(w, behaviourNames[b])
		for mode, h := range row {
			if h == nil {
				t.Fatalf("%s has no handler in mode %d", behaviourNames[b], mode)
			}
			fmt.Fprint(w, "\t", handlerName(h))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	const file = "testdata/states.txt"
	if *writeStates {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("the table is not the one of %s:\n%s", file, out.String())
	}
}

func handlerName(h handler) string {
	name := runtime.FuncForPC(reflect.ValueOf(h).Pointer()).Name()
	return name[strings.LastIndex(name, ".")+1:]
}
