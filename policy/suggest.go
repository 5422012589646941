package policy

import (
	"slices"
	"strings"
)

// maxSuggestions bounds how many names an error proposes.
const maxSuggestions = 3

// didYouMean proposes the known names closest to an unknown one, as the end of an error: ": did you
// mean flushall?". It is empty when nothing is close.
func didYouMean(prefix, name string, known []string) string {
	best := 1 + len(name)/3 // more changes than that make another word
	var close []string
	for _, candidate := range known {
		d := distance(name, candidate)
		if d < best {
			best, close = d, close[:0]
		}
		if d == best {
			close = append(close, prefix+candidate)
		}
	}
	if len(close) == 0 {
		return ""
	}
	slices.Sort(close)
	close = close[:min(len(close), maxSuggestions)]
	return ": did you mean " + strings.Join(close, " or ") + "?"
}

// distance is the Levenshtein distance in bytes: how many must be added, removed or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
