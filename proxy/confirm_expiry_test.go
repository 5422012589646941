package proxy

import (
	"fmt"
	"testing"
	"time"

	"holdfast/proxy/admin"
)

func TestApprovalsExpire(t *testing.T) {
	t.Parallel()
	a := newApprovals()
	start := time.Now()
	key := pendingKeyOf("u", 0, [][]byte{[]byte("flushall")})
	ask := func(at time.Duration) string {
		return a.ask(key, start.Add(at), func() admin.Pending { return admin.Pending{User: "u"} })
	}
	token := ask(0)
	if again := ask(9 * time.Minute); again != token {
		t.Errorf("%s became %s", token, again)
	}
	if a.decide(token, true, start.Add(20*time.Minute)) != nil {
		t.Error("approved after ten minutes without being asked for")
	}
	token = ask(20 * time.Minute)
	if a.decide(token, true, start.Add(21*time.Minute)) == nil {
		t.Fatal("not approved")
	}
	ask(25 * time.Minute) // asking again does not prolong an approval
	if _, ok := a.use(key, start.Add(26*time.Minute)); ok {
		t.Error("used after five minutes")
	}
	if got := len(a.list(start.Add(26 * time.Minute))); got != 0 {
		t.Errorf("%d left", got)
	}
}

// However many users ask, what waits is bounded; tokens are as many as there are commands.
func TestApprovalsAreBounded(t *testing.T) {
	t.Parallel()
	a, now, tokens := newApprovals(), time.Now(), map[string]bool{}
	for i := range 2 * maxPending {
		user := fmt.Sprint("u", i)
		key := pendingKeyOf(user, 0, nil)
		if token := a.ask(key, now, func() admin.Pending { return admin.Pending{User: user} }); token != "" {
			tokens[token] = true
		}
	}
	if len(tokens) != maxPending || len(a.list(now)) != maxPending {
		t.Errorf("%d tokens, %d wait", len(tokens), len(a.list(now)))
	}
}

func TestPendingKeysDiffer(t *testing.T) {
	t.Parallel()
	arg := func(args ...string) (out [][]byte) {
		for _, a := range args {
			out = append(out, []byte(a))
		}
		return out
	}
	seen := map[pendingKey]bool{
		pendingKeyOf("u", 0, arg("del", "a", "b")): true, pendingKeyOf("u", 0, arg("del", "ab")): true,
		pendingKeyOf("u", 0, arg("del", "a b")): true, pendingKeyOf("u", 1, arg("del", "ab")): true,
		pendingKeyOf("ud", 0, arg("el", "ab")): true, pendingKeyOf("u", 0, arg("dela", "b")): true,
		pendingKeyOf("", 0, arg("del", "ab")): true,
	}
	if len(seen) != 7 {
		t.Errorf("%d keys, want 7", len(seen))
	}
}
