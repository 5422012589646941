// Shape measures the shape of the code: which types own their fields, how large packages are, which
// functions are complex, and how often comments and pages use stumbling constructions. It reads the
// repository and runs nothing of it.
//
//	go run ./loadtest/shape                 # as Markdown
//	go run ./loadtest/shape --type session  # one type: each field and the files that write it
//	go run ./loadtest/shape --unread        # fields that no code but tests reads
//	go run ./loadtest/shape --check         # fails if a construction stands more often than its limit
//
// A field counts as written where it, or a field within it, stands on the left of an assignment or
// an increment, or where its address is taken. Complexity is one, and one more for each if, for,
// case, && and ||, closures included.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	dir := flag.String("dir", ".", "the repository")
	one := flag.String("type", "", "show the fields of this type of package proxy and who writes them")
	least := flag.Int("fields", 20, "list types with more fields than this")
	check := flag.Bool("check", false, "fail if the prose exceeds a limit, and print nothing else")
	unread := flag.Bool("unread", false, "list the fields that no code but tests reads, and print nothing else")
	flag.Parse()
	if err := run(*dir, *one, *least, *check, *unread); err != nil {
		fmt.Fprintln(os.Stderr, "shape:", err)
		os.Exit(1)
	}
}

func run(dir, one string, least int, check, unread bool) error {
	pkgs, err := load(dir)
	if err != nil {
		return err
	}
	if one != "" {
		return showType(os.Stdout, pkgs, one)
	}
	if unread {
		showUnread(os.Stdout, pkgs)
		return nil
	}
	words, err := proseOf(dir, pkgs)
	if err != nil {
		return err
	}
	if check {
		return checkProse(words)
	}
	report(os.Stdout, pkgs, least, words)
	return nil
}

// checkProse names every construction that exceeds its limit.
func checkProse(words []*prose) error {
	var found []string
	for _, p := range words {
		found = append(found, p.excess()...)
	}
	if len(found) > 0 {
		return errors.New(strings.Join(found, "\n"))
	}
	return nil
}
