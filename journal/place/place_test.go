package place

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// zone is a resolver.
type zone struct {
	mu    sync.Mutex
	names map[string]string // addresses, apart by spaces; "": it does not answer
	asked int
}

func (z *zone) lookup(ctx context.Context, name string) (out []netip.Addr, err error) {
	z.mu.Lock()
	z.asked++
	text, known := z.names[name]
	z.mu.Unlock()
	if !known {
		return nil, errors.New("no such host")
	}
	if text == "" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, a := range strings.Fields(text) {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

func (z *zone) set(name, addrs string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names[name] = addrs
}

func TestSame(t *testing.T) {
	z := &zone{names: map[string]string{"db1": "10.0.0.5", "db2.example": "10.0.0.6 fd00::6", "six": "fd00::6", "v4": "::ffff:10.0.0.5"}}
	for _, row := range []struct {
		x, y string
		same bool
	}{
		{"10.0.0.5:6379", "10.0.0.5:6379", true},
		{"10.0.0.5:6379", "10.0.0.5:6380", false},
		{"10.0.0.5:6379", "10.0.0.6:6379", false},
		{"db1:6379", "10.0.0.5:6379", true},
		{"10.0.0.5:6379", "db1:6379", true},
		{"db1:6379", "10.0.0.5:6380", false},
		{"db1:6379", "10.0.0.6:6379", false},
		{"db1:6379", "db2.example:6379", false},
		{"db2.example:6379", "DB2.example.:6379", true},
		{"db2.example:6379", "[fd00::6]:6379", true},
		{"db2.example:6379", "six:6379", true},
		{"v4:6379", "db1:6379", true},
		{"[fd00::6]:6379", "[fd00:0:0::0006]:6379", true},
		{"[::ffff:10.0.0.5]:6379", "10.0.0.5:6379", true},
		{"[fe80::1%a]:6379", "[fe80::1%b]:6379", false},
		{"unknown:6379", "10.0.0.5:6379", false},
		{"Unknown:6379", "unknown.:6379", true},
		{"unix:/run/a", "unix:/run/a", true},
		{"unix:/run/a", "unix:/run/b", false},
		{"", "10.0.0.5:6379", false},
	} {
		b := &Book{Lookup: z.lookup}
		err := b.Learn(t.Context(), row.x, row.y)
		if got := b.Same(row.x, row.y); got != row.same {
			t.Errorf("%s, %s: got %v", row.x, row.y, got)
		}
		if unknown := strings.Contains(strings.ToLower(row.x), "unknown"); (err != nil) != unknown {
			t.Errorf("%s, %s: got %v", row.x, row.y, err)
		}
	}
}

// A resolver is asked seldom, and waited for shortly. One that fails does not make a server another one.
func TestLearn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{names: map[string]string{"db1": "10.0.0.5", "slow": ""}}
		b := &Book{Lookup: z.lookup}
		same := func() bool { return b.Same("db1:1", "10.0.0.5:1") }
		if same() {
			t.Error("known before it was looked up")
		}
		for range 3 {
			if err := b.Learn(t.Context(), "db1:1", "db1:2", "10.0.0.9:1", "unix:/run/a", ""); err != nil || !same() {
				t.Error(err)
			}
		}
		if z.asked != 1 {
			t.Errorf("asked %d times", z.asked)
		}
		began := time.Now()
		if err := b.Learn(t.Context(), "slow:1"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != patience {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		if err := b.Learn(t.Context(), "slow:1"); err == nil || time.Since(began) != patience {
			t.Errorf("once more: %v after %v", err, time.Since(began))
		}
		z.set("db1", "")
		time.Sleep(fresh)
		if err := b.Learn(t.Context(), "db1:1"); err != nil || !same() {
			t.Errorf("after a failure: %v", err)
		}
		z.set("db1", "10.0.0.7")
		time.Sleep(failed)
		if err := b.Learn(t.Context(), "db1:1"); err != nil || same() {
			t.Errorf("it has moved, and is taken for the old one: %v", err)
		}
	})
}
