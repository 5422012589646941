package tap

import (
	"strings"
	"testing"
	"time"

	"holdfast/journal/stream"
)

// tailOf reads commands into a tail.
func tailOf(t *testing.T, commands ...[]string) *tail {
	t.Helper()
	out := newTail()
	for i, args := range commands {
		c := &stream.Command{Start: int64(100 * (i + 1)), DB: 0}
		for _, a := range args {
			c.Args = append(c.Args, []byte(a))
		}
		out.take(c)
	}
	return out
}

func words(list ...string) []string { return list }

// What a tail says it leaves behind.
func TestTail(t *testing.T) {
	for name, row := range map[string]struct {
		commands [][]string
		opaque   int64 // commands
		key      string
		want     match // with the key there and all questions answered as expected
		gone     match // with the key not there
	}{
		"set":              {[][]string{words("SET", "k", "v")}, 0, "k", same, differs},
		"set and delete":   {[][]string{words("SET", "k", "v"), words("DEL", "k")}, 0, "k", differs, same},
		"delete and set":   {[][]string{words("DEL", "k"), words("SET", "k", "v")}, 0, "k", same, differs},
		"set that is over": {[][]string{words("SET", "k", "v", "PXAT", "1000")}, 0, "k", same, unknown},
		"set with a deadline far away": {[][]string{words("SET", "k", "v", "PXAT", "99999999999999")}, 0,
			"k", same, differs},
		"keepttl of an unknown deadline": {[][]string{words("SET", "k", "v", "KEEPTTL")}, 0, "k", same,
			unknown},
		"an option of a later version": {[][]string{words("SET", "k", "v", "IFEQ", "w")}, 1, "k", unknown,
			unknown},
		"counter":          {[][]string{words("INCR", "k")}, 1, "k", unknown, unknown},
		"set, then append": {[][]string{words("SET", "k", "v"), words("APPEND", "k", "w")}, 1, "k", unknown, unknown},
		"append, then set": {[][]string{words("APPEND", "k", "w"), words("SET", "k", "v")}, 1, "k", same, differs},
		"hash":             {[][]string{words("HSET", "k", "f", "1")}, 0, "k", same, unknown},
		"hash made anew": {[][]string{words("DEL", "k"), words("HSET", "k", "f", "1")}, 0, "k", same,
			differs},
		"last member removed": {[][]string{words("SADD", "k", "m"), words("SREM", "k", "m")}, 0, "k", same,
			same},
		"score that is not written as asked for": {[][]string{words("ZADD", "k", "1.50", "m")}, 1, "k",
			unknown, unknown},
		"zadd with an option": {[][]string{words("ZADD", "k", "GT", "1", "m")}, 1, "k", unknown, unknown},
		"flushed":             {[][]string{words("FLUSHALL"), words("HSET", "k", "f", "1")}, 0, "k", same, differs},
		"set, then renamed over": {[][]string{words("SET", "k", "v"), words("RENAME", "o", "k")}, 1, "k",
			unknown, unknown},
		"set, then others moved": {[][]string{words("SET", "k", "v"), words("SWAPDB", "0", "1")}, 1, "k",
			unknown, unknown},
		"flushed, then made by another": {[][]string{words("FLUSHALL"), words("RENAME", "o", "k"),
			words("PEXPIREAT", "k", "99999999999999")}, 1, "k", unknown, unknown},
		"text, then a field": {[][]string{words("SET", "k", "v"), words("HSET", "k", "f", "1")}, 1, "k", unknown, unknown},
	} {
		tl := tailOf(t, row.commands...)
		e := tl.keys[keyName{0, row.key}]
		if tl.opaque != row.opaque || e == nil {
			t.Errorf("%s: %d opaque, key %+v", name, tl.opaque, e)
			continue
		}
		if got := e.judge(true, true, time.Now()); got != row.want {
			t.Errorf("%s: there: %v, want %v", name, got, row.want)
		}
		if got := e.judge(false, false, time.Now()); got != row.gone {
			t.Errorf("%s: not there: %v, want %v", name, got, row.gone)
		}
	}
}

// A trail finds the last place where a value stood, and what came behind it.
func TestTrail(t *testing.T) {
	id := "0123456789012345678901234567890123456789"
	mark := func(n string) []string { return words("sEt", MarkKey, id+" "+n) }
	set := words("SET", "k", "v")
	for name, row := range map[string]struct {
		commands    [][]string
		held        string
		match       bool
		until, tail int64
		lost, since int64
		value       string
	}{
		"the last":       {[][]string{mark("1"), set, mark("2"), set}, id + " 2", true, -1, 1, 0, 2, id + " 2"},
		"an earlier one": {[][]string{mark("1"), set, mark("2"), set}, id + " 1", true, 300, 2, 1, 2, id + " 2"},
		"only the mark is lost": {[][]string{mark("1"), set, mark("2")}, id + " 1", true, 300, 1, 0, 1,
			id + " 2"},
		"none yet":    {[][]string{mark("1"), set}, id + " 7", false, -1, 1, 0, 1, id + " 1"},
		"flushed":     {[][]string{mark("1"), set, words("FLUSHALL"), set}, "", true, -1, 2, 0, 0, ""},
		"not flushed": {[][]string{mark("1"), words("FLUSHALL"), set}, id + " 1", true, 200, 2, 2, 0, ""},
		"deleted":     {[][]string{mark("1"), words("DEL", MarkKey)}, "", true, -1, 1, 0, 0, ""},
		"swapped":     {[][]string{mark("1"), words("SWAPDB", "0", "1"), set}, id + " 1", true, 200, 2, 2, 0, ""},
		"swapped elsewhere": {[][]string{mark("1"), words("SWAPDB", "2", "1")}, id + " 1", true, -1, 1, 0, 1,
			id + " 1"},
		"written twice": {[][]string{mark("1"), set, mark("1"), set}, id + " 1", true, -1, 2, 0, 2, id + " 1"},
		"written twice, and another": {[][]string{mark("1"), set, mark("1"), set, mark("2")}, id + " 1", true, 500,
			2, 0, 2, id + " 2"},
		"there, and not held": {[][]string{mark("1"), set, mark("2")}, "", false, -1, 1, 0, 1, id + " 2"},
	} {
		tr := newTrail(row.held, 0)
		for i, args := range row.commands {
			c := &stream.Command{Start: int64(100 * (i + 1)), End: int64(100 * (i + 2)), DB: 0}
			for _, a := range args {
				c.Args = append(c.Args, []byte(a))
			}
			tr.take(c)
		}
		if tr.match != row.match || tr.until != row.until || tr.tail.commands != row.tail ||
			tr.lost != row.lost || tr.since != row.since || tr.now.value != row.value {
			t.Errorf("%s: match %t until %d tail %d lost %d since %d now %+v", name, tr.match, tr.until,
				tr.tail.commands, tr.lost, tr.since, tr.now)
		}
	}
}

func TestMarkValues(t *testing.T) {
	a, b := "a123456789012345678901234567890123456789", "b123456789012345678901234567890123456789"
	for _, row := range [][3]string{
		{a + " 5", "", a + " 7"}, {a + " 5", a + " 5", a + " 7"},
		{b + " 5", b + " 5", a + " 7 " + b + " 5"}, {"nonsense", "nonsense", a + " 7"},
		{"", a + " 5 " + b + " 9", a + " 7 " + b + " 9"},
	} {
		if got := nextMark(markPair{a, 7}, row[1]); got != row[2] {
			t.Errorf("after %q: %q, want %q", row[1], got, row[2])
		}
	}
	for _, bad := range []string{"x", a, a + " -1", a + " x", a + " 1 " + b, "short 1"} {
		if got := parseMark(bad); got != nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
	long := ""
	for _, c := range "cdefgh" {
		long = nextMark(markPair{string(c) + a[1:], 1}, long)
	}
	if got := parseMark(long); len(got) != maxMarks || got[0].replID[0] != 'h' {
		t.Errorf("%v", got)
	}
}

func TestWhyEmpty(t *testing.T) {
	for evicted, want := range map[int64]string{-1: "started without its data", 0: "started without its data",
		2871: "it has evicted 2871 keys since"} {
		if got := whyEmpty(evicted); !strings.Contains(got, want) {
			t.Errorf("%d: %s", evicted, got)
		}
	}
}
