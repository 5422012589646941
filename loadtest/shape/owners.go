package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
)

// owned is a struct type, with the writers of its fields.
type owned struct {
	pkg, name string
	home      string // the file that declares it
	fields    []string
	methods   int
	files     map[string]bool // that declare its methods
	writers   map[string]map[string]bool
}

// foreign is the number of fields that other files than the type's own write.
func (o *owned) foreign() (n int) {
	for _, files := range o.writers {
		if len(files) > 1 || len(files) == 1 && !files[o.home] {
			n++
		}
	}
	return n
}

// worst is the field that the most files write, and their number.
func (o *owned) worst() (name string, n int) {
	for _, f := range o.fields {
		if len(o.writers[f]) > n {
			name, n = f, len(o.writers[f])
		}
	}
	return name, n
}

// owners lists the struct types of a package.
func owners(p *pkg) []*owned {
	byType := map[*types.TypeName]*owned{}
	scope := p.types.Scope()
	for _, name := range scope.Names() {
		tn, ok := scope.Lookup(name).(*types.TypeName)
		if !ok || tn.IsAlias() {
			continue
		}
		st, ok := tn.Type().Underlying().(*types.Struct)
		named, isNamed := tn.Type().(*types.Named)
		if !ok || !isNamed {
			continue
		}
		o := &owned{pkg: p.path, name: name, home: p.fileOf(tn.Pos()), files: map[string]bool{},
			writers: map[string]map[string]bool{}, methods: named.NumMethods()}
		for f := range st.Fields() {
			o.fields = append(o.fields, f.Name())
		}
		for m := range named.Methods() {
			o.files[p.fileOf(m.Pos())] = true
		}
		byType[tn] = o
	}
	for name, file := range p.files {
		ast.Inspect(file, func(n ast.Node) bool {
			for _, target := range written(n) {
				noteWrite(p, byType, target, name)
			}
			return true
		})
	}
	return slices.SortedFunc(maps.Values(byType), func(a, b *owned) int {
		return len(b.fields) - len(a.fields)
	})
}

// written are the expressions that a node writes to.
func written(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	}
	return nil
}

// noteWrite notes the field that target selects, and those that hold it by value.
func noteWrite(p *pkg, byType map[*types.TypeName]*owned, target ast.Expr, file string) {
	for {
		switch x := target.(type) {
		case *ast.ParenExpr:
			target = x.X
			continue
		case *ast.IndexExpr:
			if _, isArray := typeOf(p, x.X).(*types.Array); !isArray {
				return
			}
			target = x.X
			continue
		case *ast.SelectorExpr:
			sel := p.info.Selections[x]
			if sel == nil || sel.Kind() != types.FieldVal {
				return
			}
			notePath(byType, sel, file)
			if _, isPointer := sel.Recv().(*types.Pointer); isPointer {
				return
			}
			target = x.X
			continue
		}
		return
	}
}

func typeOf(p *pkg, x ast.Expr) types.Type {
	if sel, ok := x.(*ast.SelectorExpr); ok && p.info.Selections[sel] != nil {
		return p.info.Selections[sel].Type().Underlying()
	}
	return nil
}

// notePath notes the selected field, and the embedded ones on the way to it.
func notePath(byType map[*types.TypeName]*owned, sel *types.Selection, file string) {
	for _, step := range fieldPath(sel) {
		o, field := byType[step.of], step.field.Name()
		if o == nil {
			continue
		}
		if o.writers[field] == nil {
			o.writers[field] = map[string]bool{}
		}
		o.writers[field][file] = true
	}
}

// fieldStep is a field of a named struct type.
type fieldStep struct {
	of    *types.TypeName
	field *types.Var
}

// fieldPath is the selected field, behind the embedded ones on the way to it.
func fieldPath(sel *types.Selection) (path []fieldStep) {
	t := sel.Recv()
	for _, i := range sel.Index() {
		if ptr, ok := t.Underlying().(*types.Pointer); ok {
			t = ptr.Elem()
		}
		st, ok := t.Underlying().(*types.Struct)
		if !ok {
			return path
		}
		if named, ok := t.(*types.Named); ok {
			path = append(path, fieldStep{named.Origin().Obj(), st.Field(i)})
		}
		t = st.Field(i).Type()
	}
	return path
}
