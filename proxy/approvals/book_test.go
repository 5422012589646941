package approvals

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/proxy/admin"
	"holdfast/proxy/audit"
)

// recorder is the audit log of a test.
type recorder []audit.Entry

func (r *recorder) Note(e audit.Entry) { *r = append(*r, e) }

// desk is a book, for the command FLUSHALL of the user u.
type desk struct {
	*Book
	log recorder
}

func newDesk() *desk {
	d := &desk{}
	d.Book = New(&d.log)
	return d
}

var flushall = KeyOf("u", 0, [][]byte{[]byte("flushall")})

func (d *desk) ask() string {
	return d.Ask(flushall, func() admin.Pending {
		return admin.Pending{Rule: "r", User: "u", Addr: "1:1", Name: "web", Command: "flushall"}
	})
}

func (d *desk) approve(token string) bool {
	p, err := d.Approve(context.Background(), token, "op")
	return p != nil && err == nil
}

func (d *desk) pending() []admin.Pending {
	list, _ := d.Pending(context.Background())
	return list
}

// An approval is for one command, once, and each decision has its line.
func TestApproval(t *testing.T) {
	t.Parallel()
	d := newDesk()
	token := d.ask()
	if again := d.ask(); again != token || len(token) != 9 {
		t.Errorf("token %q, then %q", token, again)
	}
	if _, ok := d.Use(flushall); ok {
		t.Error("used before the approval")
	}
	if !d.approve(strings.ToUpper(token)) {
		t.Fatal("not approved")
	}
	if list := d.pending(); len(list) != 1 || !list[0].Approved || list[0].Asked != 2 || list[0].Token != token {
		t.Errorf("pending: %+v", list)
	}
	if _, ok := d.Use(KeyOf("u", 1, [][]byte{[]byte("flushall")})); ok {
		t.Error("used in another database")
	}
	if got, ok := d.Use(flushall); !ok || got != token {
		t.Errorf("used: %q, %t", got, ok)
	}
	if _, ok := d.Use(flushall); ok {
		t.Error("used twice")
	}
	second := d.ask()
	if p, _ := d.Reject(t.Context(), second, "op"); p == nil || second == token || len(d.pending()) != 0 {
		t.Errorf("rejected %v, %d wait", p, len(d.pending()))
	}
	if d.approve(second) {
		t.Error("approved after the rejection")
	}
	want := []audit.Entry{
		{Verdict: "approve", Token: token, Operator: "op", Result: "OK", Rule: "r", Command: "flushall",
			User: "u", Client: "1:1", Name: "web"},
		{Verdict: "reject", Token: second, Operator: "op", Result: "OK", Rule: "r", Command: "flushall",
			User: "u", Client: "1:1", Name: "web"},
		{Verdict: "approve", Token: second, Operator: "op", Result: "nothing waits under this token"},
	}
	if fmt.Sprint(d.log) != fmt.Sprint(want) {
		t.Errorf("entries\n%+v\nwant\n%+v", d.log, want)
	}
}

func TestApprovalsExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		token := d.ask()
		time.Sleep(pendingFor - time.Minute)
		if again := d.ask(); again != token {
			t.Errorf("%s became %s", token, again)
		}
		time.Sleep(pendingFor)
		if d.approve(token) {
			t.Error("approved after ten minutes without being asked for")
		}
		token = d.ask()
		time.Sleep(time.Minute)
		if !d.approve(token) {
			t.Fatal("not approved")
		}
		time.Sleep(approvedFor - time.Minute)
		d.ask() // asking again does not prolong an approval
		time.Sleep(time.Minute)
		if _, ok := d.Use(flushall); ok {
			t.Error("used after five minutes")
		}
		if n := len(d.pending()); n != 0 {
			t.Errorf("%d left", n)
		}
	})
}

// However many users ask, what waits is bounded; tokens are as many as there are commands.
func TestApprovalsAreBounded(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		users, want int
	}{"one user": {1, maxPendingUser}, "many users": {maxPending + 50, maxPending}} {
		d, tokens := newDesk(), map[string]bool{}
		for i := range maxPending + 50 {
			user := fmt.Sprint("u", i%row.users)
			key := KeyOf(user, 0, [][]byte{fmt.Append(nil, i)})
			if token := d.Ask(key, func() admin.Pending { return admin.Pending{User: user} }); token != "" {
				tokens[token] = true
			}
		}
		if len(tokens) != row.want || len(d.pending()) != row.want {
			t.Errorf("%s: %d tokens, %d wait, want %d", name, len(tokens), len(d.pending()), row.want)
		}
		d.Forget()
		for token := range tokens {
			if d.approve(token) || len(d.pending()) != 0 {
				t.Fatalf("%s: %s is not forgotten", name, token)
			}
		}
	}
}

func TestKeysDiffer(t *testing.T) {
	t.Parallel()
	arg := func(args ...string) (out [][]byte) {
		for _, a := range args {
			out = append(out, []byte(a))
		}
		return out
	}
	seen := map[Key]bool{
		KeyOf("u", 0, arg("del", "a", "b")): true, KeyOf("u", 0, arg("del", "ab")): true,
		KeyOf("u", 0, arg("del", "a b")): true, KeyOf("u", 1, arg("del", "ab")): true,
		KeyOf("ud", 0, arg("el", "ab")): true, KeyOf("u", 0, arg("dela", "b")): true,
		KeyOf("", 0, arg("del", "ab")): true,
	}
	if len(seen) != 7 {
		t.Errorf("%d keys, want 7", len(seen))
	}
}
