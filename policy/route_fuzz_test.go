package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// FuzzRoutes compares the index over the globs of many routes with a look at each of them, for
// every key of a request.
func FuzzRoutes(f *testing.F) {
	f.Add("pay:*\nledger:*\npay:1\npay:\n*", "pay:1\npay:\npay\n\nledger:x")
	f.Add("a\nab\nabc\nabd*\nab*\nb?c\n[ab]c\n\\a*\n", "a\nab\nabc\nabdx\nbxc\nac\n*a\n")
	f.Add("tenant:1:*\ntenant:10:*\ntenant:2*", "tenant:1:x\ntenant:10:\ntenant:100:")
	f.Add("{a}:*:b\n{a}:*\n{a\n\\{a}*", "{a}:x:b\n{a}:\n{a")
	f.Fuzz(func(t *testing.T, patterns, names string) {
		checkRoutesOfKeys(t, strings.Split(patterns, "\n"), strings.Split(names, "\n"))
	})
}

// TestRoutesIndex does the same with globs and keys that share much.
func TestRoutesIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	text := func(letters string, most int) string {
		b := make([]byte, rng.IntN(most+1))
		for i := range b {
			b[i] = letters[rng.IntN(len(letters))]
		}
		return string(b)
	}
	for range 100 {
		var patterns, names []string
		for range 60 {
			patterns = append(patterns, text("aaabbb:", 5)+text("*?[ab]", 2)+text("ab", 2))
			names = append(names, text("aaabbb:", 7))
		}
		checkRoutesOfKeys(t, patterns, names)
	}
}

// checkRoutesOfKeys has a route for each pattern, in a database of its own, so that the test can
// distinguish the routes found.
func checkRoutesOfKeys(t *testing.T, patterns, names []string) {
	t.Helper()
	const most = 80
	patterns, names = patterns[:min(len(patterns), most)], names[:min(len(names), most)]
	var specs []RouteSpec
	var list []Glob
	for i, pattern := range patterns {
		specs = append(specs, RouteSpec{Name: fmt.Sprint(i), Keys: []string{pattern},
			Databases: []int{i}, Demand: Demand{Journal: true}})
		list = append(list, CompileGlob(pattern))
	}
	r := mustRoutes(t, specs)
	request := func(words ...string) *Request {
		args := make([][]byte, len(words))
		for i, word := range words {
			args[i] = []byte(word)
		}
		return &Request{Cmd: r.table.Lookup(args), Args: args, Client: NewClient(Identity{})}
	}
	one, all := make([]*Request, len(names)), request(append([]string{"DEL"}, names...)...)
	for i, name := range names {
		one[i] = request("SET", name, "v")
	}
	for db := range list {
		any := false
		for i, name := range names {
			want := list[db].MatchString(name)
			any = any || want
			one[i].DB = db
			if got := r.Match(one[i]).Route != nil; got != want {
				t.Errorf("%q and the key %q: %v, want %v, among %q", patterns[db], name, got, want,
					patterns)
			}
		}
		all.DB = db
		if got := r.Match(all).Route != nil; got != any {
			t.Errorf("%q and the keys %q: %v, want %v, among %q", patterns[db], names, got, any,
				patterns)
		}
	}
}
