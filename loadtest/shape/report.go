package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// report writes the tables.
func report(w io.Writer, pkgs []*pkg, least int, words []*prose) {
	reportTypes(w, pkgs, least)
	reportFunctions(w, pkgs)
	reportPackages(w, pkgs)
	reportProse(w, words)
}

func reportTypes(w io.Writer, pkgs []*pkg, least int) {
	var all []*owned
	for _, p := range pkgs {
		all = append(all, owners(p)...)
	}
	slices.SortFunc(all, func(a, b *owned) int {
		return cmp.Or(len(b.fields)-len(a.fields), strings.Compare(a.pkg+a.name, b.pkg+b.name))
	})
	fmt.Fprintf(w, "Types with more than %d fields:\n\n", least)
	fmt.Fprintln(w, "| type | fields | methods | in files | fields written from other files | written by most files |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|---|")
	for _, o := range all {
		if len(o.fields) <= least {
			break
		}
		field, n := o.worst()
		most := ""
		if n > 0 {
			most = fmt.Sprintf("`%s`, %d", field, n)
		}
		fmt.Fprintf(w, "| %s.%s | %d | %d | %d | %d | %s |\n",
			o.pkg, o.name, len(o.fields), o.methods, len(o.files), o.foreign(), most)
	}
}

func reportFunctions(w io.Writer, pkgs []*pkg) {
	var all []function
	for _, p := range pkgs {
		all = append(all, functions(p)...)
	}
	slices.SortFunc(all, func(a, b function) int {
		return cmp.Or(b.complexity-a.complexity, strings.Compare(a.pkg+a.name, b.pkg+b.name))
	})
	fmt.Fprint(w, "\nThe most complex functions:\n\n| function | file | complexity |\n|---|---|--:|\n")
	for _, f := range all[:min(10, len(all))] {
		fmt.Fprintf(w, "| %s | %s/%s | %d |\n", f.name, f.pkg, f.file, f.complexity)
	}
}

func reportPackages(w io.Writer, pkgs []*pkg) {
	fmt.Fprint(w, "\nPackages, without tests:\n\n| package | files | lines |\n|---|--:|--:|\n")
	for _, p := range slices.SortedFunc(slices.Values(pkgs), func(a, b *pkg) int {
		return cmp.Or(b.lines-a.lines, strings.Compare(a.path, b.path))
	}) {
		fmt.Fprintf(w, "| %s | %d | %d |\n", p.path, len(p.files), p.lines)
	}
}

func reportProse(w io.Writer, words []*prose) {
	fmt.Fprint(w, "\nConstructions per 10,000 words:\n\n| construction |")
	for _, p := range words {
		fmt.Fprintf(w, " %s (%d words) |", p.name, p.words)
	}
	fmt.Fprintf(w, " limit |\n|---|%s--:|\n", strings.Repeat("--:|", len(words)))
	for i, c := range constructions {
		fmt.Fprintf(w, "| %s |", c.name)
		for _, p := range words {
			fmt.Fprintf(w, " %.1f |", p.rate(i))
		}
		fmt.Fprintf(w, " %.1f |\n", c.limit)
	}
}

// showType lists the fields of one type of package proxy and the files that write each.
func showType(w io.Writer, pkgs []*pkg, name string) error {
	for _, p := range pkgs {
		for _, o := range owners(p) {
			if o.name != name || p.path != "proxy" {
				continue
			}
			for _, f := range o.fields {
				fmt.Fprintf(w, "%-18s %s\n", f,
					strings.Join(slices.Sorted(maps.Keys(o.writers[f])), " "))
			}
			fmt.Fprintf(w, "%d fields, %d methods in %s\n", len(o.fields), o.methods,
				strings.Join(slices.Sorted(maps.Keys(o.files)), " "))
			return nil
		}
	}
	return fmt.Errorf("package proxy has no struct type %q", name)
}
