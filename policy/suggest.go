package policy

import (
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// maxSuggestions bounds how many names an error proposes.
const maxSuggestions = 3

// didYouMean proposes the known names closest to an unknown one, as the end of an error: ": did you
// mean flushall?". It is empty when nothing is close.
func didYouMean(prefix, name string, known []string) string {
	best := 1 + len(name)/3 // more changes than that make another word
	var close []string
	for _, candidate := range known {
		d := levenshtein.ComputeDistance(name, candidate)
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
