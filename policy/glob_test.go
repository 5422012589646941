package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

var globSamples = []struct {
	pattern, name string
	want          bool
}{
	{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "A", false}, {"ab", "a", false},
	{"*", "", true}, {"*", "abc", true}, {"**", "x", true}, {"a*", "a", true}, {"a*", "ba", false},
	{"*a", "ba", true}, {"*a", "ab", false}, {"a*b", "ab", true}, {"a*b", "aXbX", false},
	{"a*b*c", "aXbbXc", true}, {"**", "", true}, {"*ab*ab", "abab", true}, {"*ab*ab", "aab", false},
	{"?", "", false}, {"?", "x", true}, {"?*", "x", true}, {"*?", "", false}, {"??", "x", false},
	{"[abc]", "b", true}, {"[abc]", "d", false}, {"[a-c]", "b", true}, {"[c-a]", "b", true},
	{"[^a]", "b", true}, {"[^a]", "a", false}, {"[^]", "x", true}, {"[]", "x", false},
	{"[]]", "]", false}, {"[a", "a", true}, {"[", "[", false}, {"[^", "x", true},
	{"[a-", "a", true}, {"[a-", "-", true}, {"[a-]", "]", true}, {"[a-]", "^", true},
	{`[\]]`, "]", true}, {`[\a-c]`, "a", true}, {`[\a-c]`, "b", false}, {`[a\-c]`, "b", false},
	{`[\`, `\`, true}, {`\*`, "*", true}, {`\*`, "x", false}, {`\`, `\`, true}, {`a\`, `a\`, true},
	{`\a`, "a", true}, {`\\`, `\`, true}, {"a[b]*", "abx", true}, {"[a-c]*[x-z]", "bmmz", true},
	{"h[^e]llo", "hallo", true}, {"user:*:name", "user:1:2:name", true}, {"a\x00*", "a\x00b", true},
	{"*[", "x", false}, {"x[", "x", false}, {"*[]", "", false},
}

func TestGlob(t *testing.T) {
	for _, tt := range globSamples {
		g := CompileGlob(tt.pattern)
		if g.Match([]byte(tt.name)) != tt.want || g.MatchString(tt.name) != tt.want {
			t.Errorf("%q matches %q: want %v", tt.pattern, tt.name, tt.want)
		}
		if g.String() != tt.pattern {
			t.Errorf("%q prints as %q", tt.pattern, g.String())
		}
	}
	var zero Glob
	if !zero.MatchString("") || zero.MatchString("x") {
		t.Error("the zero Glob")
	}
}

func TestGlobKinds(t *testing.T) {
	for pattern, want := range map[string]globKind{
		"": globExact, "abc": globExact, `a\*b`: globExact, "a*": globPrefix, "a**": globPrefix,
		"*a": globSuffix, "*": globAny, "**": globAny, "a*b": globParts, "a?": globParts,
	} {
		if g := CompileGlob(pattern); g.kind != want {
			t.Errorf("%q: kind %d, want %d", pattern, g.kind, want)
		}
	}
}

// TestGlobIsBounded has a pattern that takes a recursive matcher exponential time.
func TestGlobIsBounded(t *testing.T) {
	g := CompileGlob("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b")
	name := slices.Repeat([]byte("a"), 1<<14)
	done := make(chan bool, 1)
	go func() { done <- g.Match(name) }()
	select {
	case matched := <-done:
		if matched {
			t.Error("matches")
		}
	case <-time.After(time.Minute):
		t.Fatal("no end in sight")
	}
}

// TestServerGlob asks real servers which of many keys each pattern matches.
func TestServerGlob(t *testing.T) {
	var patterns, names []string
	for _, tt := range globSamples {
		patterns, names = append(patterns, tt.pattern), append(names, tt.name)
	}
	for c := 1; c < 128; c++ {
		names = append(names, string(rune(c)))
	}
	for _, a := range []string{"a", "*", "?", "[", "]", "^", "-", `\`, "[a-c]", "[^b]"} {
		for _, b := range []string{"a", "*", "?", "[", "]", "^", "-", `\`, "[]", "c]"} {
			patterns = append(patterns, a+b, a+b+"b", "a"+a+b, a+b+a)
			names = append(names, a+b)
		}
	}
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		ctx, client := context.Background(), srv.Client()
		for _, name := range names {
			if err := client.Set(ctx, name, "", 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		for _, pattern := range patterns {
			got, err := client.Keys(ctx, pattern).Result()
			if err != nil {
				t.Fatal(err)
			}
			matched := make(map[string]bool)
			for _, name := range got {
				matched[name] = true
			}
			g := CompileGlob(pattern)
			for _, name := range names {
				if name == "" && strings.Trim(pattern, "*") == "" {
					continue // see Glob
				}
				if g.MatchString(name) != matched[name] {
					t.Errorf("%q and %q: server says %v", pattern, name, matched[name])
				}
			}
		}
	})
}

// FuzzGlob compares with a matcher that follows the server's, step by step.
func FuzzGlob(f *testing.F) {
	for _, tt := range globSamples {
		f.Add([]byte(tt.pattern), []byte(tt.name))
	}
	f.Fuzz(func(t *testing.T, pattern, name []byte) {
		if len(pattern) > 30 || len(name) > 30 {
			return // the plain matcher is exponential
		}
		g := CompileGlob(string(pattern))
		if got, want := g.Match(name), plainGlob(pattern, name); got != want {
			t.Errorf("%q and %q: %v, want %v", pattern, name, got, want)
		}
	})
}

// plainGlob is stringmatchlen in its shape.
func plainGlob(p, s []byte) bool {
	for len(p) > 0 && len(s) > 0 {
		switch {
		case p[0] == '*':
			for len(p) > 1 && p[1] == '*' {
				p = p[1:]
			}
			if len(p) == 1 {
				return true
			}
			for ; len(s) > 0; s = s[1:] {
				if plainGlob(p[1:], s) {
					return true
				}
			}
			return false
		case p[0] == '?':
		case p[0] == '[':
			var match bool
			p, match = plainSet(p[1:], s[0])
			if !match {
				return false
			}
			s = s[1:]
			continue
		default:
			if p[0] == '\\' && len(p) >= 2 {
				p = p[1:]
			}
			if p[0] != s[0] {
				return false
			}
		}
		p, s = p[1:], s[1:]
	}
	for len(s) == 0 && len(p) > 0 && p[0] == '*' {
		p = p[1:]
	}
	return len(p) == 0 && len(s) == 0
}

func plainSet(p []byte, c byte) (rest []byte, match bool) {
	not := len(p) > 0 && p[0] == '^'
	if not {
		p = p[1:]
	}
	for len(p) > 0 && p[0] != ']' {
		switch {
		case p[0] == '\\' && len(p) >= 2:
			p = p[1:]
			match = match || p[0] == c
		case len(p) >= 3 && p[1] == '-':
			from, to := min(p[0], p[2]), max(p[0], p[2])
			match = match || from <= c && c <= to
			p = p[2:]
		default:
			match = match || p[0] == c
		}
		p = p[1:]
	}
	if len(p) > 0 {
		p = p[1:]
	}
	return p, match != not
}

func BenchmarkGlob(b *testing.B) {
	name := []byte("session:0123456789abcdef:data")
	for _, pattern := range []string{"session:*", "*:data", "session:*:data", "s[a-e]ss?on:*:d*a"} {
		b.Run(fmt.Sprint(pattern), func(b *testing.B) {
			g := CompileGlob(pattern)
			b.ReportAllocs()
			for b.Loop() {
				g.Match(name)
			}
		})
	}
}
