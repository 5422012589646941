package configs

// closest is the candidate that word was probably meant to be, or empty if none is near: at most
// two letters changed, and no more than half of them.
func closest(word string, candidates []string) string {
	best, bestCost := "", 3
	for _, c := range candidates {
		if cost := editCost(word, c); cost < bestCost && 2*cost <= len(c) {
			best, bestCost = c, cost
		}
	}
	return best
}

// editCost is the Levenshtein distance between a and b, in bytes: keys are ASCII.
func editCost(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
