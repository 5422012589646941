package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// pkg is one package of the module, without its tests.
type pkg struct {
	path  string // without the module's name
	fset  *token.FileSet
	files map[string]*ast.File // by base name
	lines int
	types *types.Package
	info  *types.Info
}

// listed is a package in go list's output.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	Module                  *struct{ Main bool }
}

// load type-checks the module's packages against the export data of their imports.
func load(dir string) ([]*pkg, error) {
	list, err := goList(dir)
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, l := range list {
		exports[l.ImportPath] = l.Export
	}
	lookup := func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data for %s", path)
		}
		return os.Open(exports[path])
	}
	var pkgs []*pkg
	for _, l := range list {
		if l.Module == nil || !l.Module.Main {
			continue
		}
		p, err := l.check(lookup)
		if err != nil {
			return nil, err
		}
		pkgs = append(pkgs, p)
	}
	return pkgs, nil
}

func goList(dir string) ([]listed, error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,Module",
		"-trimpath", "./...")
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, errs.Bytes())
	}
	var list []listed
	for dec := json.NewDecoder(&out); ; {
		var l listed
		switch err := dec.Decode(&l); {
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			return nil, err
		}
		list = append(list, l)
	}
}

func (l *listed) check(lookup importer.Lookup) (*pkg, error) {
	_, path, _ := strings.Cut(l.ImportPath, "/")
	p := &pkg{path: path, fset: token.NewFileSet(), files: map[string]*ast.File{}}
	var files []*ast.File
	for _, name := range l.GoFiles {
		src, err := os.ReadFile(filepath.Join(l.Dir, name))
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(p.fset, name, src, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		p.files[name] = f
		p.lines += bytes.Count(src, []byte("\n"))
		files = append(files, f)
	}
	p.info = &types.Info{
		Selections: map[*ast.SelectorExpr]*types.Selection{}, Defs: map[*ast.Ident]types.Object{},
	}
	conf := types.Config{Importer: importer.ForCompiler(p.fset, "gc", lookup)}
	var err error
	p.types, err = conf.Check(l.ImportPath, p.fset, files, p.info)
	return p, err
}

// fileOf is the base name of the file at pos.
func (p *pkg) fileOf(pos token.Pos) string { return p.fset.Position(pos).Filename }
