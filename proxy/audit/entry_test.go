package audit

import (
	"encoding/json"
	"testing"
	"time"
)

// The lines are those that encoding/json makes.
func TestAuditEntryJSON(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_763_812_345_120).UTC()
	for _, e := range []Entry{
		{},
		{Time: at, Verdict: "throttled", Rule: "flush", Command: "flushall", User: "default",
			Client: "127.0.0.1:39542", Listener: "127.0.0.1:36847"},
		{Time: at.Add(890 * time.Microsecond), Verdict: "held", Command: `set "a b" …`, User: "bób",
			Client: "[::1]:1", Name: "a\tb\\c<d>&\u2028\x7f", DB: 15, Token: "t", Trash: "7", Count: 12,
			Operator: "\xff\xfe", Result: "ERR no"},
	} {
		want, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(e.appendJSON(nil)); got != string(want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
