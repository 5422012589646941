package main

import (
	"fmt"
	"go/ast"
	"go/types"
	"io"
	"slices"
	"strings"
)

// showUnread lists the fields that no code but tests reads: those that an expression selects only to
// write them. A whole struct that is compared, printed or encoded reads its fields unseen, so the list
// is for a person to judge. Fields with tags and blank ones are left out.
func showUnread(w io.Writer, pkgs []*pkg) {
	read := map[string]bool{}
	for _, p := range pkgs {
		readFields(p, read)
	}
	for _, p := range pkgs {
		for _, field := range declaredFields(p) {
			if !read[field] {
				fmt.Fprintln(w, field)
			}
		}
	}
}

// readFields adds the fields that a package reads, its own and those of other packages.
func readFields(p *pkg, read map[string]bool) {
	for _, file := range p.files {
		only := map[ast.Expr]bool{} // selected to be written
		ast.Inspect(file, func(n ast.Node) bool {
			if _, addressed := n.(*ast.UnaryExpr); !addressed { // a pointer may be read through
				for _, target := range written(n) {
					only[ast.Unparen(target)] = true
				}
			}
			x, ok := n.(*ast.SelectorExpr)
			if !ok || p.info.Selections[x] == nil || p.info.Selections[x].Kind() != types.FieldVal {
				return true
			}
			path := fieldPath(p.info.Selections[x])
			if only[x] && len(path) > 0 {
				path = path[:len(path)-1]
			}
			for _, step := range path {
				read[fieldName(step.of, step.field)] = true
			}
			return true
		})
	}
}

func fieldName(t *types.TypeName, f *types.Var) string {
	_, path, _ := strings.Cut(t.Pkg().Path(), "/")
	return path + "." + t.Name() + "." + f.Name()
}

// declaredFields names the fields of a package's struct types.
func declaredFields(p *pkg) (names []string) {
	for _, name := range p.types.Scope().Names() {
		tn, ok := p.types.Scope().Lookup(name).(*types.TypeName)
		if !ok || tn.IsAlias() {
			continue
		}
		st, ok := tn.Type().Underlying().(*types.Struct)
		if !ok {
			continue
		}
		for i := range st.NumFields() {
			if f := st.Field(i); st.Tag(i) == "" && f.Name() != "_" && !f.Embedded() {
				names = append(names, fieldName(tn, f))
			}
		}
	}
	slices.Sort(names)
	return names
}
