package configs

import "regexp"

// later is the keys of features that do not exist in this version. They are refused by name, so
// that nobody takes a typing error for the reason or believes himself protected.
var later = map[string]string{
	"routes": "there are no durability routes yet",
}

var index = regexp.MustCompile(`\[\d+\]`)

// generic is path without the numbers of list items: "rules[].keep".
func generic(path string) string { return index.ReplaceAllString(path, "[]") }
