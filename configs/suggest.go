package configs

import "github.com/agnivade/levenshtein"

// closest is the candidate that word was probably meant to be, or empty if none is near: at most
// two letters changed, and no more than half of them.
func closest(word string, candidates []string) string {
	best, bestCost := "", 3
	for _, c := range candidates {
		if cost := levenshtein.ComputeDistance(word, c); cost < bestCost && 2*cost <= len(c) {
			best, bestCost = c, cost
		}
	}
	return best
}
