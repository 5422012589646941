package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
	"testing"
)

// parse makes a package of sources by file name.
func parse(t *testing.T, sources map[string]string) *pkg {
	t.Helper()
	p := &pkg{path: "p", fset: token.NewFileSet(), files: map[string]*ast.File{}}
	var files []*ast.File
	for name, src := range sources {
		f, err := parser.ParseFile(p.fset, name, src, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		p.files[name] = f
		files = append(files, f)
	}
	p.info = &types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}}
	var err error
	p.types, err = (&types.Config{Importer: importer.Default()}).Check("p", p.fset, files, p.info)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFieldsAndWhoWritesThem(t *testing.T) {
	p := parse(t, map[string]string{
		"a.go": `package p
			type base struct{ deep int }
			type inner struct{ x int }
			type T struct { base; own, shared int; in inner; far *inner; list [2]int }
			func (t *T) f() { t.own = 1; t.shared++ }`,
		"b.go": `package p
			func (t *T) g() { t.shared, t.in.x = 1, 2; t.far.x = 3; t.list[0] = 1; t.deep++; _ = t.own }
			func h(t *T) { p := &t.in; p.x = 4 }`,
	})
	for _, o := range owners(p) {
		if o.name != "T" {
			continue
		}
		for field, want := range map[string]string{
			"own": "a.go", "shared": "a.go b.go", "in": "b.go", "far": "", "list": "b.go", "base": "b.go",
		} {
			if got := strings.Join(slices.Sorted(maps.Keys(o.writers[field])), " "); got != want {
				t.Errorf("%s is written by %q, want %q", field, got, want)
			}
		}
		if len(o.fields) != 6 || o.methods != 2 || len(o.files) != 2 || o.foreign() != 4 {
			t.Errorf("got %d fields, %d methods in %d files, %d written from other files",
				len(o.fields), o.methods, len(o.files), o.foreign())
		}
		return
	}
	t.Fatal("T was not found")
}

func TestUnread(t *testing.T) {
	p := parse(t, map[string]string{
		"a.go": `package p
			type base struct{ deep, shallow int }
			type T struct { base; set, counted, got, lent int; json int "tag" }
			func (t *T) f() int { t.set = 1; t.counted++; t.deep = 2; g(&t.lent); return t.got + t.shallow }
			func g(*int) {}`,
	})
	var out strings.Builder
	showUnread(&out, []*pkg{p})
	if got, want := out.String(), ".T.counted\n.T.set\n.base.deep\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestComplexity(t *testing.T) {
	p := parse(t, map[string]string{"a.go": `package p
		func f(a, b bool, c chan int) {
			if a && b || !a { }
			for range 3 { }
			switch { case a: case b: default: }
			select { case <-c: default: }
			func() { if a { } }()
		}`})
	if got := functions(p)[0].complexity; got != 9 {
		t.Errorf("got %d, want 9", got)
	}
}

func TestProse(t *testing.T) {
	var p prose
	p.add("What was lost is told anew to whoever reads it; nobody stands beside. It is to be read.")
	for i, n := range []int{1, 1, 1, 1, 1, 1, 1} {
		if p.found[i] != n {
			t.Errorf("%s: found %d times, want %d", constructions[i].name, p.found[i], n)
		}
	}
}

func TestProseLimits(t *testing.T) {
	page := &prose{name: "pages"}
	page.add(sentences("# What is it\n`what is quoted`\n```\nwhat was printed\n```\n<!-- begin x -->what is written<!-- end x -->\n" +
		strings.Repeat("word ", 10_000)))
	if found := page.excess(); len(found) > 0 {
		t.Errorf("quotations count: %q", found)
	}
	page.add(strings.Repeat("what was ", 3))
	if err := checkProse([]*prose{page}); err == nil || !strings.Contains(err.Error(), `pages: "what is, what was, all that"`) {
		t.Errorf("got %v", err)
	}
}
