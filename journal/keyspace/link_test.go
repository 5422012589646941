package keyspace

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// TestLinkBreaks cuts the connection to the target at each step. Each key is known to be written, or
// named unsure, or was not written; the next run finishes.
func TestLinkBreaks(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		fault  proxytest.Fault
		unsure bool
	}{
		{"while it is compared", proxytest.Fault{Op: proxytest.Cut, On: proxytest.Replies, Trigger: "PEXPIRETIME"}, false},
		{"at MULTI", proxytest.Fault{Op: proxytest.Cut, On: proxytest.Replies, Trigger: "MULTI\r\n"}, false},
		{"before EXEC arrives", proxytest.Fault{Op: proxytest.Cut, On: proxytest.Requests,
			Trigger: "RESTORE\r\n$2\r\nk", After: 0}, true},
		{"after EXEC", proxytest.Fault{Op: proxytest.Cut, On: proxytest.Replies, Trigger: "\r\nEXEC\r\n"}, true},
		{"within its reply", proxytest.Fault{Op: proxytest.Cut, On: proxytest.Replies, Trigger: "\r\nEXEC\r\n",
			After: 300}, true},
		{"while a large one is built", proxytest.Fault{Op: proxytest.Cut, On: proxytest.Replies,
			Trigger: "SETRANGE"}, false},
		{"while a large one is renamed", proxytest.Fault{Op: proxytest.Cut, On: proxytest.Replies,
			Trigger: "\r\nRENAME\r\n"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a, b, o := two(t)
			want := make(map[Key]bool)
			for i := range 30 {
				a.MustDo("SET", fmt.Sprint("k", i), strings.Repeat("v", 100))
				want[Key{0, fmt.Sprint("k", i)}] = true
			}
			a.MustDo("SET", "large", strings.Repeat("x", 4*SmallBytes))
			want[Key{0, "large"}] = true
			relay := proxytest.StartFaultProxy(t, b.Addr)
			target, err := Open(context.Background(), Endpoint{Address: relay.Addr})
			if err != nil {
				t.Fatal(err)
			}
			defer target.Close()
			o.Target, o.Verify = target, false
			relay.Arm(row.fault)
			keys := all(t, o.Source)
			got := make(map[Key]Outcome)
			err = Sync(context.Background(), o, KeysOf(keys), func(r Result) error {
				got[r.Key] = r.Outcome
				if (r.Outcome == Unsure) != (r.Reason != nil) {
					t.Errorf("%v: %v, %v", r.Key, r.Outcome, r.Reason)
				}
				return nil
			})
			var link *LinkError
			if !errors.As(err, &link) || link.Address != relay.Addr {
				t.Fatalf("it ended with %v", err)
			}
			unsure := false
			for k := range want {
				there := b.MustDo("EXISTS", k.Name) == int64(1)
				outcome, known := got[k]
				switch {
				case known && outcome == Unsure:
					unsure = true
				case there != (known && outcome == Written):
					t.Errorf("%v: there %v, outcome %v (%v)", k, there, outcome, known)
				}
			}
			if unsure != row.unsure {
				t.Errorf("unsure: %v", unsure)
			}
			o.Target, o.Verify = open(t, b), true
			for k, r := range outcomes(t, o, keys) {
				if r.Outcome != Written && r.Relation != Same {
					t.Errorf("again, %v: %v %v", k, r.Outcome, r.Relation)
				}
			}
			compared(t, o, keys, true)
		})
	}
}
