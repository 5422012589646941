package stream_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/journal/stream"
	"holdfast/proxy/proxytest"
)

// touched lists what commands touch: "0:key", "0:*" for a whole database, "*" for all.
func touched(t *testing.T, maxArg int, commands ...string) []string {
	t.Helper()
	var out []string
	s := stream.NewScanner(stream.Options{DB: 0, MaxArg: maxArg})
	for _, text := range commands {
		err := s.Feed(time.Time{}, []byte(proxytest.Command(strings.Fields(text)...)),
			func(c *stream.Command) error {
				c.Touches(func(db int, name []byte) { out = append(out, fmt.Sprintf("%d:%s", db, name)) },
					func(db int) {
						if db < 0 {
							out = append(out, "*")
							return
						}
						out = append(out, fmt.Sprintf("%d:*", db))
					})
				return nil
			})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestTouches(t *testing.T) {
	for _, row := range []struct{ commands, want string }{
		{"SET a 1", "0:a"},
		{"sEt a 1", "0:a"},
		{"SELECT 3|MULTI|DEL a b|EXEC|PING|PUBLISH c m", "3:a 3:b"},
		{"MSET a 1 b 2", "0:a 0:b"},
		{"MSETEX 2 a 1 b 2 PXAT 5", "0:a 0:b"},
		{"MSETEX x a 1", "0:*"},
		{"MSETEX 9 a 1", "0:*"},
		{"RENAME a b", "0:a 0:b"},
		{"MOVE a 4", "0:a 4:a"},
		{"MOVE a x", "0:a *"},
		{"COPY a b", "0:b"},
		{"COPY a b REPLACE DB 5", "5:b"},
		{"SWAPDB 1 7", "1:* 7:*"},
		{"SWAPDB 7 7", ""},
		{"FLUSHDB", "0:*"},
		{"FLUSHALL ASYNC", "*"},
		{"BITOP AND d s1 s2", "0:d"},
		{"XGROUP CREATE s g $", "0:s"},
		{"ZUNIONSTORE d 2 a b", "0:d"},
		{"SORT l BY nosort STORE d", "0:d"},
		{"SORT l", ""},
		{"GEORADIUS g 1 1 5 m STOREDIST d", "0:d"},
		{"MODULE.WRITE a b", "0:*"},
		{"FUNCTION LOAD x", ""},
		{"SET", ""},
		{"DEL", ""},
	} {
		got := strings.Join(touched(t, 0, strings.Split(row.commands, "|")...), " ")
		if got != row.want {
			t.Errorf("%s: %q, want %q", row.commands, got, row.want)
		}
	}
	if got := touched(t, 4, "SET longer x", "SET abc longer"); !slices.Equal(got,
		[]string{"0:*", "0:abc"}) {
		t.Errorf("cut arguments: %q", got)
	}
	unknown := stream.NewScanner(stream.Options{DB: -1})
	err := unknown.Feed(time.Time{}, []byte(proxytest.Command("SET", "a", "1")),
		func(c *stream.Command) error {
			c.Touches(func(int, []byte) { t.Error("a key of an unknown database") }, func(db int) {
				if db != -1 {
					t.Errorf("database %d", db)
				}
			})
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
}

// rewritten are the writing commands that a primary passes on as others, or that concern no key.
var rewritten = strings.Fields("lmpop zmpop blmpop bzmpop migrate xreadgroup pfdebug cluster|flushslot " +
	"function|delete function|flush function|load function|restore")

// TestTouchesKnowsTheServers compares the keys that servers say a writing command changes with those
// that Touches names.
func TestTouchesKnowsTheServers(t *testing.T) {
	for _, bin := range proxytest.Matrix(t) {
		t.Run(bin.String(), func(t *testing.T) {
			srv := proxytest.Spec{Kind: bin.Kind}.Start(t)
			list, err := srv.Client().Command(context.Background()).Result()
			if err != nil {
				t.Fatal(err)
			}
			for name, info := range list {
				if !slices.Contains(info.Flags, "write") || slices.Contains(rewritten, name) {
					continue
				}
				compareKeys(t, srv, info)
			}
		})
	}
}

// compareKeys asks the server for the keys of an invented command.
func compareKeys(t *testing.T, srv *proxytest.Server, info *redis.CommandInfo) {
	t.Helper()
	words := []string{info.Name}
	if info.Name == "xgroup" {
		words = append(words, "create", "s", "g", "$")
	}
	size := int(info.Arity)
	if size < 0 { // at least so many
		size = max(-size, 3)
	}
	for i := len(words); i < size; i++ {
		words = append(words, fmt.Sprint(i))
	}
	if info.Name == "msetex" {
		words = []string{"msetex", "1", "k", "v"}
	}
	for _, store := range []string{"zunionstore", "zinterstore", "zdiffstore"} {
		if info.Name == store {
			words[2] = "1"
		}
	}
	args := []any{"COMMAND", "GETKEYSANDFLAGS"}
	for _, w := range words {
		args = append(args, w)
	}
	v, err := srv.Do(args...)
	if err != nil && strings.Contains(err.Error(), "no key arguments") {
		return // FLUSHALL and its like
	}
	if err != nil {
		t.Errorf("%q: %v", words, err)
		return
	}
	got := touched(t, 0, strings.Join(words, " "))
	for _, k := range v.([]any) {
		pair := k.([]any)
		flags := fmt.Sprint(pair[1])
		changes := strings.Contains(flags, "RW") || strings.Contains(flags, "OW") ||
			strings.Contains(flags, "RM")
		if changes && !slices.Contains(got, fmt.Sprint("0:", pair[0])) {
			t.Errorf("%q: the server says that it changes %v (%s), Touches %q", words, pair[0], flags, got)
		}
	}
	for _, g := range got {
		if g == "0:*" {
			t.Errorf("%q is not in the table", words)
		}
	}
}
