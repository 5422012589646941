package drills

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/loadtest/harness"
)

// replyTimeout bounds the wait for one reply.
const replyTimeout = 60 * time.Second

// batch is how many commands go in one write.
const batch = 500

// The proxy's own keys begin with ownKeys; the journal's mark is another at each moment.
const ownKeys, markKey = "holdfast:", "holdfast:mark"

// dial connects to a server or proxy until the test ends.
func dial(t testing.TB, addr string) *harness.Client {
	t.Helper()
	c, err := harness.DialClient(addr, replyTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// must is one command whose reply is no error.
func must(t testing.TB, c *harness.Client, args ...string) any {
	t.Helper()
	v, err := c.Must(args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return v
}

// all sends n commands in batches; none may be answered with an error.
func all(t testing.TB, c *harness.Client, n int, command func(i int) []string) {
	t.Helper()
	for from := 0; from < n; from += batch {
		to := min(n, from+batch)
		for i := from; i < to; i++ {
			c.Put(command(i)...)
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		for i := from; i < to; i++ {
			v, err := c.Reply()
			if e, ok := v.(harness.ErrReply); ok {
				err = e
			}
			if err != nil {
				t.Fatalf("%v: %v", command(i), err)
			}
		}
	}
}

// fill writes n keys of several types, a sixth of them with a deadline of days, and a few in
// database 1.
func fill(t testing.TB, addr string, n int) {
	t.Helper()
	c := dial(t, addr)
	all(t, c, n, func(i int) []string {
		key, value := "item:"+strconv.Itoa(i), strconv.Itoa(i)
		switch i % 6 {
		case 0:
			return []string{"HSET", key, "name", key, "n", value}
		case 1:
			return []string{"RPUSH", key, value, key}
		case 2:
			return []string{"SET", key, value, "EX", strconv.Itoa(86400 + i)}
		case 3:
			return []string{"ZADD", key, value, key}
		case 4:
			return []string{"SADD", key, value, key}
		}
		return []string{"SET", key, value}
	})
	must(t, c, "SELECT", "1")
	must(t, c, "XADD", "log", "*", "filled", strconv.Itoa(n))
}

// contents is a server's data: "db key" → digest of the value, and deadline.
type contents map[string]string

// contentsOf reads a server, but for the proxy's own keys.
func contentsOf(t testing.TB, addr string) contents {
	t.Helper()
	c, out := dial(t, addr), contents{}
	defer c.Close()
	for line := range strings.Lines(must(t, c, "INFO", "keyspace").(string)) {
		db, _, ok := strings.Cut(strings.TrimPrefix(line, "db"), ":")
		if _, err := strconv.Atoi(db); !ok || err != nil {
			continue
		}
		must(t, c, "SELECT", db)
		for cursor := "0"; ; {
			page := must(t, c, "SCAN", cursor, "COUNT", strconv.Itoa(batch)).([]any)
			out.add(t, c, db, page[1].([]any))
			if cursor = page[0].(string); cursor == "0" {
				break
			}
		}
	}
	return out
}

func (out contents) add(t testing.TB, c *harness.Client, db string, keys []any) {
	keys = slices.DeleteFunc(keys, func(k any) bool {
		return strings.HasPrefix(k.(string), ownKeys)
	})
	if len(keys) == 0 {
		return
	}
	args := []string{"DEBUG", "DIGEST-VALUE"}
	for _, k := range keys {
		args = append(args, k.(string))
	}
	digests := must(t, c, args...).([]any)
	for _, k := range keys {
		c.Put("PEXPIRETIME", k.(string))
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for i, k := range keys {
		deadline, err := c.Reply()
		if err != nil {
			t.Fatal(err)
		}
		out[db+" "+k.(string)] = fmt.Sprint(digests[i], " ", deadline)
	}
}

// with returns a copy in which some keys are as in other.
func (out contents) with(other contents, keys func(name string) bool) contents {
	merged := maps.Clone(out)
	for k := range out {
		if keys(k) {
			delete(merged, k)
		}
	}
	for k, v := range other {
		if keys(k) {
			merged[k] = v
		}
	}
	return merged
}

// without lists the keys that are missing or different in other.
func (out contents) without(other contents) (names []string) {
	for k, v := range out {
		if other[k] != v {
			names = append(names, fmt.Sprintf("%s is %s, not %q", k, v, other[k]))
		}
	}
	slices.Sort(names)
	return names
}

// differences describes how two servers differ.
func differences(got, want contents) string {
	extra, missing := got.without(want), want.without(got)
	if len(extra)+len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("%d keys, want %d; of these %d are not as they should be: %q; the other way %q",
		len(got), len(want), len(missing), missing[:min(5, len(missing))], extra[:min(5, len(extra))])
}
